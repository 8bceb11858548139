"""Language models whose cache is a state: their graphs, and what the runtime writes with them."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from tokenizers import Tokenizer

from plmlight import LSTMLM, NNLM, CausalLM, runtime
from plmlight.decoding import DecodingOptions, TextGenerator
from plmlight.export import export_bundle, load_recipe
from plmlight.heads import AdaptiveSoftmax
from plmlight.nn import Decoder
from plmlight.runtime.golden import replay
from plmlight.tasks import TorchLanguageModel

ROOT = Path(__file__).parents[2]


def small(kind: str, tokenizer: Tokenizer) -> CausalLM:
    torch.manual_seed(0)
    network: Decoder
    if kind == "lstm":
        network = LSTMLM(290, 20, 2, d_embedding=12, locked_dropout=True, weight_dropout=0.5, initial_range=0.5)
        task = CausalLM(network)
    else:
        network = NNLM(290, d_model=20, order=4, d_embedding=8, direct_connections=True)
        task = CausalLM(network, tie_head=False, projection=AdaptiveSoftmax([40, 150]))
        task.use_token_counts(torch.randint(1000, (280,)))
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    task.tokenizer = tokenizer
    return task.eval()


@pytest.fixture(scope="module", params=["lstm", "nnlm"])
def exported(request: pytest.FixtureRequest, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp(request.param) / "bundle"
    task = small(request.param, tokenizer)
    return folder, export_bundle(task, None, folder), task


def test_the_bundle_is_proven_on_every_shape(exported: Any) -> None:
    _, verdict, _ = exported
    assert verdict.passed, verdict.summary()
    shapes = {(m["batch"], m["length"], m["past"]) for m in verdict.measurements}
    assert shapes == {(b, t, p) for b in (1, 2, 5) for t in (1, 7, 33) for p in (0, 1, 17)}
    assert any(m["padded"] for m in verdict.measurements)
    assert max(m["error"] for m in verdict.measurements) < 1e-4


def test_states_are_inputs_and_outputs(exported: Any) -> None:
    folder, _, task = exported
    graph = onnx.load(folder / "model.onnx", load_external_data=False).graph
    names = task.network.cache_names()
    assert [value.name for value in graph.input] == ["input_ids", "attention_mask", *(f"past_{n}" for n in names)]
    assert [value.name for value in graph.output] == ["logits", *(f"present_{n}" for n in names)]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["default_graph"] == "portable"
    assert manifest["max_length"] is None
    assert "num_heads" not in manifest


@pytest.mark.parametrize(
    "options", [{"temperature": 0}, {"num_beams": 3, "temperature": 0}, {"temperature": 0.9, "top_p": 0.9, "seed": 3}]
)
def test_the_runtime_writes_what_torch_writes(exported: Any, options: dict[str, Any]) -> None:
    folder, _, task = exported
    texts = ["def main", "1", "in the beginning 1 + 1"]
    asked = DecodingOptions(max_new_tokens=90, eos_token_id=(), **options)  # more than max_length
    torch_model = TextGenerator(TorchLanguageModel(task), task.tokenizer, asked)
    found, expected = runtime.load(folder).generate(texts, asked), torch_model.generate(texts, asked)
    for row, other in zip(found, expected, strict=True):
        assert row[0].token_ids == other[0].token_ids
        assert len(row[0].token_ids) == 90


def test_golden_requests_are_replayed(exported: Any) -> None:
    folder, _, _ = exported
    assert [each.difference for each in replay(runtime.load(folder))] == [""] * 4


def test_tensorrt_knows_its_operators_and_gets_every_shape(tokenizer: Tokenizer, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    verdict = export_bundle(small("lstm", tokenizer), load_recipe(ROOT / "export" / "tensorrt-fp16.yaml"), folder)
    assert verdict.passed, verdict.summary()
    profiles = json.loads((folder / "manifest.json").read_text())["profiles"]
    assert all("past_state.1.cell:" in shapes for profile in profiles.values() for shapes in profile.values())
