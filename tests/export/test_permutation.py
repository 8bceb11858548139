"""XLNet as a graph: hidden tokens, memories in and out, padding on either side."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

from plmlight import runtime
from plmlight.export import Limits, export_bundle
from plmlight.export.permutation_export import PermutationReference
from plmlight.networks import XLNet
from plmlight.tasks import PermutationLM, SentenceEmbedding
from plmlight.text import train_tokenizer
from tests.runtime.encoders import small_embedder

TEXTS = ["Paris is the capital of France .", "she opened the door and went into the garden", "a b c d"] * 5


@cache
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, "xlnet", 96)


def small_task(**arguments: Any) -> PermutationLM:
    torch.manual_seed(0)
    sizes = {"vocab_size": 101, "d_model": 24, "num_layers": 2, "num_heads": 3, "max_length": 37}
    task = PermutationLM(XLNet(**{**sizes, **arguments}))
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    task.tokenizer = tokenizer()
    return task.eval()


@pytest.fixture(scope="module")
def remembering(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PermutationLM]:
    """A bundle of a network with memories, and its task."""
    task, folder = small_task(memory_length=11), tmp_path_factory.mktemp("xlnet") / "bundle"
    verdict = export_bundle(task, None, folder)
    assert verdict.passed, verdict.summary()
    return folder, task


def test_the_shapes_of_the_contract_are_tested_with_memories(remembering: tuple[Path, PermutationLM]) -> None:
    content = json.loads((remembering[0] / "verdict.json").read_text())
    found = {tuple(each[name] for name in ("batch", "length", "past", "padded")) for each in content["measurements"]}
    even = {(batch, length, past, "") for batch in (1, 2, 5) for length in (1, 7, 33) for past in (0, 1, 17)}
    padded = {(b, t, past, side) for b in (2, 5) for t in (7, 33) for past in (0, 1, 17) for side in ("left", "right")}
    assert found == even | padded
    assert max(each["error"] for each in content["measurements"]) < 1e-4


def test_memories_go_in_and_come_out(remembering: tuple[Path, PermutationLM]) -> None:
    folder, task = remembering
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = ["input_ids", "attention_mask", "token_type_ids", "mems.0", "mems.1"]
    assert [value.name for value in session.get_inputs()] == names
    assert [value.name for value in session.get_outputs()] == ["logits", "present_mems.0", "present_mems.1"]
    assert session.get_inputs()[3].shape == ["batch", "past", 24]
    kept = task.network.empty_memories(2)
    for length in (7, 1, 6, 3):  # a text in four parts: what comes out is what goes in next
        ids = torch.randint(9, 101, (2, length))
        past = kept[0].shape[1]
        inputs = {
            "input_ids": ids,
            "attention_mask": torch.ones(2, past + length, dtype=torch.int64),
            "token_type_ids": torch.zeros_like(ids),
            **{f"mems.{i}": memory for i, memory in enumerate(kept)},
        }
        expected = task(**inputs)
        found = session.run(None, {name: tensor.detach().numpy() for name, tensor in inputs.items()})
        for name, values in zip(("logits", "present_mems.0", "present_mems.1"), found, strict=True):
            np.testing.assert_allclose(values, expected[name].detach(), atol=1e-4)
        kept = tuple(torch.from_numpy(values) for values in found[1:])
        assert kept[0].shape == (2, min(past + length, 11), 24)


@pytest.mark.parametrize("arguments", [{"memory_length": 3, "reuse_length": 2}, {"causal": True}, {"clamp_length": 4}])
def test_every_setting_passes_its_verdict(arguments: dict[str, Any], tmp_path: Path) -> None:
    verdict = export_bundle(small_task(**arguments), None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()


def test_a_bundle_fills_masks_as_torch_does(remembering: tuple[Path, PermutationLM]) -> None:
    folder, task = remembering
    model = runtime.load(folder)
    text = "she opened the <mask> and went into the <mask>"
    (found,) = model.fill([text], top_k=3)
    ids = torch.tensor([model.tokenizer.encode(text).ids])
    types = torch.tensor([model.tokenizer.encode(text).type_ids])
    hidden = torch.eq(ids, int(task.mask_token_id or 0))
    every = torch.eye(ids.shape[1])[None]
    with torch.no_grad():
        query = task.network.two_stream(ids, None, types, hidden[:, None].expand(-1, ids.shape[1], -1), every)[1]
        assert query is not None
        expected = task.head(query[hidden]).softmax(-1).topk(3)
    assert [[each.token_id for each in mask] for mask in found] == expected.indices.tolist()
    np.testing.assert_allclose([[each.score for each in mask] for mask in found], expected.values, atol=1e-5)
    assert [each.difference for each in runtime.replay(model)] == [""] * 4


def test_a_network_without_memories_has_none_in_its_graph(tmp_path: Path) -> None:
    verdict = export_bundle(small_task(), None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    graph = onnx.load(tmp_path / "bundle" / "model.onnx", load_external_data=False).graph
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask", "token_type_ids"]
    assert [value.name for value in graph.output] == ["logits"]
    assert [each.difference for each in runtime.replay(runtime.load(tmp_path / "bundle"))] == [""] * 4


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "pooler"])
def test_xlnet_embeds(pooling: str, tmp_path: Path) -> None:
    network = XLNet(vocab_size=101, d_model=24, num_layers=2, num_heads=3, max_length=37)
    task = small_embedder(network, pooling=pooling)
    assert isinstance(task, SentenceEmbedding)
    task.tokenizer = tokenizer()
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    vector, _ = runtime.load(tmp_path / "bundle").embed(["she opened the door", "she opened the door again and again"])
    ids = tokenizer().encode("she opened the door")
    with torch.no_grad():
        outputs = task(torch.tensor([ids.ids]), None, torch.tensor([ids.type_ids]))
    np.testing.assert_allclose(vector, outputs["sentence_embedding"][0], atol=1e-4)
    if pooling == "cls":
        assert ids.tokens[-1] == "<cls>"
        np.testing.assert_allclose(vector, outputs["last_hidden_state"][0, -1], atol=1e-4)


def test_memories_segments_and_hidden_tokens_reach_the_answers() -> None:
    """Otherwise the verdict would compare nothing."""
    reference = PermutationReference(small_task(memory_length=11))
    case = next(c for c in reference.cases if c.padding == "left" and c.inputs["mems.0"].shape[:2] == (5, 17))
    expected = case.valid("logits", case.expected["logits"])
    assert reference.task.mask_token_id in case.inputs["input_ids"]
    for name in ("token_type_ids", "mems.1", "attention_mask"):
        values = case.inputs[name]
        other = {**case.inputs, name: values * 0 if name != "attention_mask" else np.ones_like(values)}
        assert np.abs(case.valid("logits", reference(other)["logits"]) - expected).max() > 0.01
    alike = {**case.inputs, "input_ids": np.where(case.inputs["input_ids"] == 6, 9, case.inputs["input_ids"])}
    assert np.abs(case.valid("logits", reference(alike)["logits"]) - expected).max() > 0.01


def test_a_changed_weight_fails(remembering: tuple[Path, PermutationLM], tmp_path: Path) -> None:
    from plmlight.export.encoder import encoder_graphs
    from plmlight.export.tasks import exporter

    folder, task = remembering
    other = small_task(memory_length=11)
    with torch.no_grad():
        dict(other.network.named_parameters())["layers.0.attention.distance.weight"].mul_(1.01)
    export = exporter(other, tokenizer())
    spec = encoder_graphs(task, torch.float32)["portable"]
    limits = Limits(logit_error=1e-4, greedy_agreement=1.0)
    (check, *_) = export.checks(folder / "model.onnx", spec, limits, [])
    assert not check.passed
