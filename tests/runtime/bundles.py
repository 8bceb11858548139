"""Bundles for the tests: a one-layer attention model in both kinds of graph, and the same in numpy."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from plmlight.decoding import DecodingOptions, TextGenerator

VOCAB, HEADS, SIZE, LENGTH, EOS = 257, 2, 8, 300, 256
WIDTH = HEADS * SIZE
_random = np.random.default_rng(5)
WEIGHTS = {
    "tokens": _random.normal(size=(VOCAB, WIDTH)),
    "positions": _random.normal(size=(LENGTH, WIDTH)),
    "query": _random.normal(size=(WIDTH, WIDTH)),
    "key": _random.normal(size=(WIDTH, WIDTH)),
    "value": _random.normal(size=(WIDTH, WIDTH)),
    "output": _random.normal(size=(WIDTH, VOCAB)),
}
WEIGHTS = {name: weight.astype(np.float32) / 2 for name, weight in WEIGHTS.items()}


class Reference:
    """The model in numpy, without padding and without a cache."""

    max_length: int | None = LENGTH

    def start(self, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        self.rows = [list(prompt) for prompt in prompts]
        return self._run()

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)
        return self._run()

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[row]) for row in rows]

    def _run(self) -> np.ndarray:
        return np.stack([self._logits(row) for row in self.rows])

    def _logits(self, row: list[int]) -> np.ndarray:
        hidden = WEIGHTS["tokens"][row] + WEIGHTS["positions"][: len(row)]  # [T, D]
        query, key, value = ((hidden @ WEIGHTS[name]).reshape(-1, HEADS, SIZE) for name in ("query", "key", "value"))
        scores = np.einsum("hd,thd->ht", query[-1], key) / np.sqrt(SIZE)
        weights = np.exp(scores - scores.max(1, keepdims=True))
        mixed = np.einsum("ht,thd->hd", weights / weights.sum(1, keepdims=True), value)
        logits: np.ndarray = mixed.reshape(-1) @ WEIGHTS["output"]
        return logits


class _Graph:
    """Collects nodes: a call adds one and returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants = {name: numpy_helper.from_array(weight, name) for name, weight in WEIGHTS.items()}

    def __call__(self, operator: str, *inputs: str | int | list[int] | np.ndarray, **settings: Any) -> str:
        name = settings.pop("name", f"v{len(self.nodes)}")
        outputs = settings.pop("outputs", [name])
        names = [value if isinstance(value, str) else self._constant(value) for value in inputs]
        self.nodes.append(helper.make_node(operator, names, outputs, **settings))
        return str(outputs[0])

    def _constant(self, value: int | list[int] | np.ndarray) -> str:
        array = value if isinstance(value, np.ndarray) else np.asarray(value, dtype=np.int64)
        name = f"c{len(self.constants)}"
        self.constants[name] = numpy_helper.from_array(array, name)
        return name

    def save(self, path: Path, past: str | int, present: str | int) -> None:
        def declare(name: str, kind: int, *shape: str | int) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(name, kind, list(shape))

        inputs = [
            declare("input_ids", TensorProto.INT64, "batch", "sequence"),
            declare("attention_mask", TensorProto.INT64, "batch", "total"),
        ]
        outputs = [declare("logits", TensorProto.FLOAT, "batch", 1, VOCAB)]
        for part in ("key", "value"):
            inputs.append(declare(f"past_key_values.0.{part}", TensorProto.FLOAT, "batch", HEADS, past, SIZE))
            outputs.append(declare(f"present.0.{part}", TensorProto.FLOAT, "batch", HEADS, present, SIZE))
        graph = helper.make_graph(
            self.nodes,
            "decoder",
            inputs,
            outputs,
            list(self.constants.values()),
        )
        opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)


def _number(value: float) -> np.ndarray:
    return np.asarray(value, dtype=np.float32)


def portable_graph(path: Path) -> None:
    """Plain ONNX: left padding, a cache that is concatenated."""
    g = _Graph()
    sequence = g("Shape", "input_ids", start=1, end=2)
    places = g("Max", g("Sub", g("CumSum", "attention_mask", 1), 1), 0)
    places = g("Slice", places, g("Neg", sequence), [np.iinfo(np.int64).max], [1])
    hidden = g("Add", g("Gather", "tokens", "input_ids"), g("Gather", "positions", places))
    parts = {}
    for part in ("query", "key", "value"):
        split = g("Reshape", g("MatMul", hidden, part), [0, 0, HEADS, SIZE])
        parts[part] = g("Transpose", split, perm=[0, 2, 1, 3])
    for part in ("key", "value"):
        parts[part] = g("Concat", f"past_key_values.0.{part}", parts[part], axis=2, name=f"present.0.{part}")
    query = g("Slice", parts["query"], [-1], [np.iinfo(np.int64).max], [2])
    scores = g("MatMul", query, g("Transpose", parts["key"], perm=[0, 1, 3, 2]))
    scores = g("Div", scores, _number(SIZE**0.5))
    shown = g("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden_by = g("Mul", g("Sub", shown, _number(1)), _number(1e9))
    weights = g("Softmax", g("Add", scores, g("Unsqueeze", hidden_by, [1, 2])), axis=-1)
    mixed = g("Reshape", g("Transpose", g("MatMul", weights, parts["value"]), perm=[0, 2, 1, 3]), [0, 1, WIDTH])
    g("MatMul", mixed, "output", name="logits")
    g.save(path, "past", "total")


def in_place_graph(path: Path, buffer: str | int = "buffer") -> None:
    """GroupQueryAttention: right padding, one buffer for past and present."""
    g = _Graph()
    sequence = g("Shape", "input_ids", start=1, end=2)
    total = g("Shape", "attention_mask", start=1, end=2)
    before = g("Sub", total, sequence)
    past = g("ReduceSum", g("Slice", "attention_mask", [0], before, [1]), [1], keepdims=1)
    new = g("ReduceSum", g("Slice", "attention_mask", before, total, [1]), [1], keepdims=1)
    steps = g("Range", 0, g("Squeeze", sequence), 1)
    places = g("Min", g("Add", past, steps), LENGTH - 1)
    hidden = g("Add", g("Gather", "tokens", "input_ids"), g("Gather", "positions", places))
    last = g("Sub", g("Add", past, new), 1)
    mixed = g(
        "GroupQueryAttention",
        *(g("MatMul", hidden, part) for part in ("query", "key", "value")),
        "past_key_values.0.key",
        "past_key_values.0.value",
        g("Cast", g("Squeeze", last, [1]), to=TensorProto.INT32),
        g("Cast", g("Squeeze", total), to=TensorProto.INT32),
        outputs=["mixed", "present.0.key", "present.0.value"],
        domain="com.microsoft",
        num_heads=HEADS,
        kv_num_heads=HEADS,
    )
    final = g("GatherND", mixed, g("Max", g("Sub", new, 1), 0), batch_dims=1)
    g("MatMul", g("Unsqueeze", final, [1]), "output", name="logits")
    g.save(path, buffer, buffer)


def byte_tokenizer() -> Tokenizer:
    """One token a byte, and the end of text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def make_bundle(folder: Path, buffer: str | int = "buffer", **changes: Any) -> Path:
    """Writes a whole bundle; ``changes`` replace keys of the manifest, None removes them."""
    folder.mkdir(exist_ok=True)
    portable_graph(folder / "model.onnx")
    in_place_graph(folder / "model_in_place.onnx", buffer)
    byte_tokenizer().save(str(folder / "tokenizer.json"))
    manifest = {
        "format": 2,
        "plmlight": "0.1.0",
        "task": "CausalLM",
        "provider": "cpu",
        "max_length": LENGTH,
        "special_tokens": {"pad": EOS, "eos": EOS, "bos": EOS},
        "graphs": {
            "portable": {"file": "model.onnx", "files": ["model.onnx"], "cache": "concatenated"},
            "in_place": {"file": "model_in_place.onnx", "files": ["model_in_place.onnx"], "cache": "in_place"},
        },
        "default_graph": "in_place",
        "decoding": {"max_new_tokens": 12},
        "tokenizer": {"file": "tokenizer.json"},
        **changes,
    }
    manifest = {key: value for key, value in manifest.items() if value is not None}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    reference = TextGenerator(Reference(), byte_tokenizer(), DecodingOptions(eos_token_id=EOS))
    with (folder / "golden.jsonl").open("w") as golden:
        for prompt in ("def f(", "中文"):
            answer = reference.generate([prompt], max_new_tokens=9)[0][0]
            record = {"prompt": prompt, "prompt_ids": reference.encode(prompt), "options": {"max_new_tokens": 9}}
            golden.write(json.dumps({**record, "token_ids": answer.token_ids, "text": answer.text}) + "\n")
    seal(folder)
    return folder


def seal(folder: Path, **changes: Any) -> None:
    """Writes the verdict for the files as they are."""
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith("verdict")}
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
        for name, content in contents.items()
    }
    verdict = {"passed": True, "checks": [], "files": files, **changes}
    (folder / "verdict.json").write_text(json.dumps(verdict))
