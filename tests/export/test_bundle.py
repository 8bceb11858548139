import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from tokenizers import Tokenizer

import plmlight.export.bundle as bundle_module
from plmlight import runtime
from plmlight.decoding import DecodingOptions, TextGenerator
from plmlight.export import Limits, Recipe, Verdict, export_bundle
from plmlight.export.graph import WeightFile
from plmlight.export.tasks import TaskExport, exporter
from plmlight.tasks import CausalLM
from plmlight.tasks.generation import TorchLanguageModel
from tests.runtime.encoders import small_encoder

from .conftest import small_task

Bundle = tuple[Path, Verdict, CausalLM]
PORTABLE = Recipe("portable", Limits(logit_error=1e-4), graphs=["portable"])


def test_float32_bundle_passes_all_checks(bundle: Bundle) -> None:
    _, verdict, _ = bundle
    names = {(check.graph, check.name) for check in verdict.checks}
    expected = {(graph, name) for graph in ("in_place", "portable") for name in ("logit error", "greedy agreement")}
    assert verdict.passed, verdict.summary()
    assert expected <= names


def test_every_shape_of_the_contract_was_tested(bundle: Bundle) -> None:
    _, verdict, _ = bundle
    for graph in ("in_place", "portable"):
        shapes = {(m["batch"], m["length"], m["past"]) for m in verdict.measurements if m["graph"] == graph}
        assert shapes == {(b, t, p) for b in (1, 2, 5) for t in (1, 7, 33) for p in (0, 1, 17)}


def test_padded_rows_were_tested(bundle: Bundle) -> None:
    _, verdict, _ = bundle
    padded = [m for m in verdict.measurements if m["padded"]]
    assert {m["graph"] for m in padded} == {"in_place", "portable"}
    assert max(m["error"] for m in padded) < 1e-4


def test_verdict_hashes_every_file_but_its_own(bundle: Bundle) -> None:
    folder, _, _ = bundle
    content = json.loads((folder / "verdict.json").read_text())
    names = {path.name for path in folder.iterdir()} - {"verdict.json", "verdict.html"}
    assert set(content["files"]) == names
    for name in names:
        assert content["files"][name]["sha256"] == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_manifest_says_what_the_graphs_are(bundle: Bundle) -> None:
    folder, verdict, _ = bundle
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["default_graph"] == "in_place"
    assert (manifest["num_layers"], manifest["num_heads"], manifest["head_dim"]) == (2, 3, 8)
    assert manifest["weights_sha256"] == verdict.weights_sha256
    for described in manifest["graphs"].values():
        graph = onnx.load(folder / described["file"], load_external_data=False).graph
        assert [value.name for value in graph.input] == [each["name"] for each in described["inputs"]]
        assert [value.name for value in graph.output] == [each["name"] for each in described["outputs"]]
        for value, each in zip(graph.input, described["inputs"], strict=True):
            dims = [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]
            assert dims == each["shape"]


def test_both_graphs_share_one_copy_of_the_weights(bundle: Bundle) -> None:
    folder, _, task = bundle
    matrices = sum(p.nbytes for p in task.parameters() if p.dim() == 2)
    size = (folder / "model.onnx.data").stat().st_size
    padding = 4096 * 2 * len(list(task.parameters()))
    assert matrices < size < 1.5 * matrices + padding


def test_golden_requests_are_the_models_greedy_answers(bundle: Bundle) -> None:
    folder, _, task = bundle
    lines = [json.loads(line) for line in (folder / "golden.jsonl").read_text().splitlines()]
    assert len(lines) == 4
    for line in lines:
        ids = list(line["prompt_ids"])
        for token in line["token_ids"]:
            assert int(task(torch.tensor([ids]))["logits"][0, -1].argmax()) == token
            ids.append(token)


@pytest.mark.parametrize("graph", ["in_place", "portable"])
def test_contrastive_search_is_torchs(bundle: Bundle, graph: str) -> None:
    """For prompts of different lengths, which the one graph pads on the right, the other on the left."""
    folder, _, task = bundle
    texts = ["def main(argv): return", "1", "in the beginning"]
    asked = DecodingOptions(max_new_tokens=20, penalty_alpha=0.6, top_k=4, eos_token_id=())
    assert task.tokenizer is not None
    expected = TextGenerator(TorchLanguageModel(task), task.tokenizer).generate(texts, asked)
    assert runtime.load(folder, graph=graph).generate(texts, asked) == expected
    greedy = dataclasses.replace(asked, penalty_alpha=0.0, top_k=0)
    assert runtime.load(folder, graph=graph).generate(texts, greedy) != expected


def test_page_stands_alone_and_says_that_it_passed(bundle: Bundle) -> None:
    page = (bundle[0] / "verdict.html").read_text()
    assert ">passed<" in page
    assert "<script" not in page
    assert "http" not in page


def test_graphs_do_not_tell_where_they_were_made(bundle: Bundle) -> None:
    folder, _, _ = bundle
    for name in ("model.onnx", "model_in_place.onnx", "manifest.json", "verdict.json", "verdict.html"):
        assert str(Path(bundle_module.__file__).parent).encode() not in (folder / name).read_bytes(), name


def test_task_is_left_as_it_was(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small_task(tokenizer, num_layers=1).train()
    task.network.token_embedding.weight.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in task.state_dict().items()}
    export_bundle(task, PORTABLE, tmp_path / "bundle")
    assert all(module.training for module in task.modules())
    frozen = [name for name, parameter in task.named_parameters() if not parameter.requires_grad]
    assert frozen == ["network.token_table.weight"]
    assert all(torch.equal(tensor, before[name]) for name, tensor in task.state_dict().items())


@pytest.mark.parametrize(
    ("share", "failing"),
    [(1.0, {"logit error", "files changed since written"}), (0.001, {"files changed since written"})],
    ids=["all", "one row that no test may reach"],
)
def test_changed_weight_fails_the_verdict(
    share: float, failing: set[str], tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bundle_module.prove

    def tampered(task: Any, export: TaskExport, graphs: Any, recipe: Any, folder: Path, progress: Any) -> Verdict:
        weights = np.fromfile(folder / "model.onnx.data", np.float32)
        weights[: max(1, int(share * len(weights)))] += 0.05
        weights.tofile(folder / "model.onnx.data")
        return real(task, export, graphs, recipe, folder, progress)

    monkeypatch.setattr(bundle_module, "prove", tampered)
    verdict = export_bundle(small_task(tokenizer, num_layers=1), PORTABLE, tmp_path / "bundle")
    assert failing <= {check.name for check in verdict.checks if not check.passed}
    assert not verdict.passed
    assert json.loads((tmp_path / "bundle" / "verdict.json").read_text())["passed"] is False
    assert "failed" in (tmp_path / "bundle" / "verdict.html").read_text()


def test_graph_that_does_not_load_fails_the_verdict(
    tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = bundle_module.prove

    def broken(task: Any, export: TaskExport, graphs: Any, recipe: Any, folder: Path, progress: Any) -> Verdict:
        (folder / "model.onnx.data").write_bytes(b"short")
        return real(task, export, graphs, recipe, folder, progress)

    monkeypatch.setattr(bundle_module, "prove", broken)
    verdict = export_bundle(small_task(tokenizer, num_layers=1), PORTABLE, tmp_path / "bundle")
    failed = [check for check in verdict.checks if not check.passed]
    assert any(check.measured is None and "could not" in check.detail for check in failed)


def test_tiny_max_length_is_tested_as_far_as_it_goes(tokenizer: Tokenizer, tmp_path: Path) -> None:
    verdict = export_bundle(small_task(tokenizer, num_layers=1, max_length=7), PORTABLE, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    assert max(m["length"] + m["past"] for m in verdict.measurements) == 7


def test_missing_tokenizer_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--tokenizer"):
        export_bundle(small_task(None), PORTABLE, tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_tokenizer_larger_than_the_vocabulary_is_an_error(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the network only 40"):
        export_bundle(small_task(tokenizer, vocab_size=40), PORTABLE, tmp_path / "bundle")


def test_recipe_of_graphs_that_the_task_has_not_is_an_error(tmp_path: Path) -> None:
    recipe = Recipe("wrong", Limits(logit_error=1e-4), graphs=["in_place"])
    with pytest.raises(ValueError, match="this model has no 'in_place'"):
        export_bundle(small_encoder(), recipe, tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_float16_graphs_leave_the_task_in_float32(tokenizer: Tokenizer) -> None:
    task = small_task(tokenizer, num_layers=1)
    before = task.network.token_embedding.weight.clone()
    graphs = exporter(task, tokenizer).graphs(torch.float16)
    assert {parameter.dtype for parameter in graphs["portable"].module.parameters()} == {torch.float16}
    assert torch.equal(task.network.token_embedding.weight, before)
    assert task.head.weight is task.network.token_embedding.weight


def test_folder_with_other_files_is_not_replaced(tokenizer: Tokenizer, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="no bundle"):
        export_bundle(small_task(tokenizer, num_layers=1), PORTABLE, tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=["^C", "disk full"]
)
def test_what_stops_an_export_leaves_the_old_bundle(
    error: BaseException, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "manifest.json").write_text("old")

    def stopped(self: WeightFile, tensor: object) -> None:
        raise error

    monkeypatch.setattr(WeightFile, "_place", stopped)
    with pytest.raises(type(error)):
        export_bundle(small_task(tokenizer, num_layers=1), PORTABLE, folder)
    assert (folder / "manifest.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
