"""N-gram models: graphs of lookups, equal to torch to the last bit, and what the runtime writes with them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer

from plmlight import CausalLM, NGram, runtime
from plmlight.decoding import DecodingOptions, TextGenerator
from plmlight.export import export_bundle, load_recipe
from plmlight.runtime.golden import replay
from plmlight.tasks import TorchLanguageModel

ROOT = Path(__file__).parents[2]
V = 290


def small(order: int, tokenizer: Tokenizer) -> CausalLM:
    """Counted on a text of frequent and rare tokens."""
    network = NGram(V, order)
    ids = torch.from_numpy(np.random.default_rng(0).zipf(1.2, 1501) % V)[None]
    network.count({"input_ids": ids[:, :-1], "labels": ids[:, 1:]})
    network.estimate([7])
    task = CausalLM(network).eval()
    task.tokenizer = tokenizer
    return task


@pytest.fixture(scope="module", params=[1, 3])
def exported(request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(f"order{request.param}") / "bundle"
    task = small(request.param, tokenizer)
    return folder, export_bundle(task, None, folder), task


def test_the_bundle_is_proven_on_every_shape(exported: Any) -> None:
    _, verdict, _ = exported
    assert verdict.passed, verdict.summary()
    shapes = {(m["batch"], m["length"], m["past"]) for m in verdict.measurements}
    assert shapes == {(b, t, p) for b in (1, 2, 5) for t in (1, 7, 33) for p in (0, 1, 17)}
    assert any(m["padded"] for m in verdict.measurements)
    assert max(m["error"] for m in verdict.measurements) == 0


def test_the_window_is_an_input_and_an_output(exported: Any) -> None:
    folder, _, _ = exported
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask", "past_state.window"]
    assert [value.name for value in graph.output] == ["logits", "present_state.window"]
    assert json.loads((folder / "manifest.json").read_text())["max_length"] is None
    assert {node.domain for node in graph.node} == {""}


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"num_beams": 3, "temperature": 0}, {"temperature": 0.9, "top_p": 0.9, "seed": 3}]
)
def test_the_runtime_writes_what_torch_writes(exported: Any, options: dict[str, Any]) -> None:
    folder, _, task = exported
    texts = ["def main", "1", "in the beginning 1 + 1"]
    asked = DecodingOptions(max_new_tokens=40, eos_token_id=(), **options)
    torch_model = TextGenerator(TorchLanguageModel(task), task.tokenizer, asked)
    found, expected = runtime.load(folder).generate(texts, asked), torch_model.generate(texts, asked)
    assert [row[0].token_ids for row in found] == [row[0].token_ids for row in expected]


def test_golden_requests_are_replayed(exported: Any) -> None:
    folder, _, _ = exported
    assert [each.difference for each in replay(runtime.load(folder))] == [""] * 4


def test_a_quantised_recipe_says_that_there_is_nothing_to_quantise(tokenizer: Tokenizer, tmp_path: Path) -> None:
    said: list[str] = []
    recipe = load_recipe(ROOT / "export" / "cpu-int8.yaml")
    verdict = export_bundle(small(1, tokenizer), recipe, tmp_path / "bundle", progress=said.append)
    assert verdict.passed, verdict.summary()
    assert any("nothing to quantise" in line for line in said)


def test_half_precision_keeps_its_limits(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(2, tokenizer)
    verdict = export_bundle(task, load_recipe(ROOT / "export" / "cuda-fp16.yaml"), tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    assert task.head.weight.dtype == torch.float32
