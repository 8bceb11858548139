import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from plmlight import runtime
from plmlight.decoding import TextEmbedder
from plmlight.export import Limits, Quantisation, Recipe, export_bundle
from plmlight.export.bundle import Graphs, prove
from plmlight.export.encoder import encoder_graphs
from plmlight.export.encoder_checks import EncoderReference
from plmlight.export.encoder_export import tolerance
from plmlight.export.graph import ALIGNMENT, INLINE_BYTES
from plmlight.export.tasks import exporter
from plmlight.networks import ALBERT, BERT, XLM, RoBERTa
from plmlight.nn import Encoder
from plmlight.tasks import TorchEmbeddingModel
from plmlight.text import file_hash, train_tokenizer
from tests.runtime.encoders import small_embedder, small_encoder, wordpiece

EXACT = Recipe("exact", Limits(logit_error=1e-4, greedy_agreement=1.0), graphs=["portable"])


def bert(**arguments: Any) -> Encoder:
    return BERT(**{"vocab_size": 101, "d_model": 24, "num_layers": 1, "num_heads": 3, "max_length": 37, **arguments})


def roberta() -> Encoder:
    return RoBERTa(vocab_size=101, d_model=24, num_layers=2, num_heads=3, max_length=37, num_token_types=1)


def albert() -> Encoder:
    return ALBERT(vocab_size=101, d_model=24, num_layers=4, num_heads=3, max_length=37, d_embedding=10, num_groups=2)


def xlm() -> Encoder:
    return XLM(vocab_size=101, d_model=24, num_layers=2, num_heads=3, max_length=37, num_token_types=3)


def inputs_of(folder: Path) -> list[str]:
    return [value.name for value in onnx.load(folder / "model.onnx", load_external_data=False).graph.input]


def test_the_shapes_of_the_contract_are_tested_padded_on_both_sides(filling_bundle: Path) -> None:
    content = json.loads((filling_bundle / "verdict.json").read_text())
    found = {(each["batch"], each["length"], each["padded"]) for each in content["measurements"]}
    even = {(batch, length, "") for batch in (1, 2, 5) for length in (1, 7, 33)}
    assert found == even | {(b, t, side) for b in (2, 5) for t in (7, 33) for side in ("left", "right")}
    assert max(each["error"] for each in content["measurements"]) < 1e-4
    assert "positions depend on it" in (filling_bundle / "verdict.html").read_text()


def test_the_manifest_says_what_the_runtime_needs(filling_bundle: Path, embedding_bundle: Path) -> None:
    manifest = json.loads((filling_bundle / "manifest.json").read_text())
    assert (manifest["task"], manifest["network"], manifest["default_graph"]) == ("MaskedLM", "BERT", "portable")
    assert (manifest["max_length"], manifest["pad_token_id"], manifest["num_token_types"]) == (37, 0, 2)
    (graph,) = manifest["graphs"].values()
    assert [tensor["name"] for tensor in graph["outputs"]] == ["logits", "pair_logits"]
    assert (graph["cache"], graph["file"]) == ("none", "model.onnx")
    manifest = json.loads((embedding_bundle / "manifest.json").read_text())
    assert (manifest["pooling"], manifest["normalise"]) == ("mean", True)
    (graph,) = manifest["graphs"].values()
    shapes = {tensor["name"]: tensor["shape"] for tensor in graph["outputs"]}
    assert shapes == {"last_hidden_state": ["batch", "sequence", 24], "sentence_embedding": ["batch", 24]}


@pytest.mark.parametrize(
    ("make", "token_types"), [(roberta, False), (albert, True), (xlm, True)], ids=["RoBERTa", "ALBERT", "XLM"]
)
def test_every_family_passes_its_verdict(make: Any, token_types: bool, tmp_path: Path) -> None:
    task = small_encoder(make())
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    assert ("token_type_ids" in inputs_of(tmp_path / "bundle")) == token_types
    places = sum(
        -(-parameter.nbytes // ALIGNMENT) for parameter in task.parameters() if parameter.nbytes > INLINE_BYTES
    )
    size = (tmp_path / "bundle" / "model.onnx.data").stat().st_size
    assert size / ALIGNMENT <= places + 3  # what layers share is written once; so small a head is transposed beforehand
    assert [each.difference for each in runtime.replay(runtime.load(tmp_path / "bundle"))] == [""] * 4


@pytest.mark.parametrize(
    ("types", "names"), [(0, 2), (1, 2), (2, 3)], ids=["none", "one row is nothing to tell apart", "two"]
)
def test_token_types_go_in_only_where_they_are_told_apart(types: int, names: int) -> None:
    graph = encoder_graphs(small_encoder(bert(num_token_types=types)), torch.float32)["portable"]
    assert len(graph.inputs) == names


def test_token_types_and_padding_reach_the_answers() -> None:
    """Otherwise the verdict would compare nothing."""
    cases = EncoderReference(small_encoder(xlm())).cases
    padded = next(case for case in cases if case.padding == "right" and case.inputs["input_ids"].shape == (5, 7))
    assert len(np.unique(padded.inputs["token_type_ids"])) == 3
    assert padded.inputs["attention_mask"].sum(1).min() < 7
    other = {**padded.inputs, "token_type_ids": np.zeros((5, 7), np.int64)}
    found = EncoderReference(small_encoder(xlm()))(other)["logits"]
    assert np.abs(padded.valid("logits", found) - padded.valid("logits", padded.expected["logits"])).max() > 0.01


ALL = Limits(
    logit_error=1e-4,
    relative_logit_error=0.05,
    greedy_agreement=1.0,
    top1_agreement=0.95,
    loss_increase=0.02,
    cosine_mean=0.999,
    cosine_min=0.99,
)


@pytest.mark.parametrize("kind", ["filling", "embedding"])
def test_a_changed_weight_fails_every_check(
    kind: str, filling_bundle: Path, embedding_bundle: Path, tmp_path: Path
) -> None:
    filling = kind == "filling"
    folder = Path(shutil.copytree(filling_bundle if filling else embedding_bundle, tmp_path / "copy"))
    task = small_encoder(pairs=True) if filling else small_embedder(normalise=True)
    export = exporter(task, wordpiece())
    graphs = Graphs(export.graphs(torch.float32), seconds={"portable": 0.0})
    graphs.hashes = {"model.onnx.data": file_hash(folder / "model.onnx.data")}
    recipe = Recipe("all", ALL)
    judged = {check.name for check in prove(task, export, graphs, recipe, folder).checks if check.passed}
    own = {"fill agreement", "top-1 agreement", "loss increase"} if filling else {"mean cosine", "least cosine"}
    assert judged >= own | {"output error", "relative output error", "files changed since written"}
    weights = np.fromfile(folder / "model.onnx.data", np.float32)
    weights += np.random.default_rng(0).normal(size=len(weights)).astype(np.float32)
    weights.tofile(folder / "model.onnx.data")
    passed = {check.name for check in prove(task, export, graphs, recipe, folder).checks if check.passed}
    assert judged - passed >= own | {"output error", "relative output error", "files changed since written"}


def test_a_quantised_recipe_is_judged_by_its_own_limits(tmp_path: Path) -> None:
    limits = Limits(relative_logit_error=1e-9, relative_hidden_error=0.05, cosine_mean=0.99, cosine_min=0.98)
    recipe = Recipe("int8", limits, quantisation=Quantisation())
    verdict = export_bundle(small_embedder(bert(), pooling="pooler"), recipe, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    assert {check.name for check in verdict.checks} >= {"mean cosine", "least cosine", "relative output error"}
    assert "com.microsoft" in str(onnx.load(tmp_path / "bundle" / "model.onnx", load_external_data=False).opset_import)
    assert [each.difference for each in runtime.replay(runtime.load(tmp_path / "bundle"))] == [""] * 4


def test_golden_answers_may_differ_more_where_the_recipe_rounds() -> None:
    assert tolerance(Limits(logit_error=1e-4)) < tolerance(Limits(relative_logit_error=0.05))


def test_what_reads_the_first_column_is_not_compared_where_that_is_padding() -> None:
    pairs, pooled = small_encoder(bert(), pairs=True), small_embedder(bert(), pooling="pooler")
    for task, lost in ((pairs, "pair_logits"), (pooled, "sentence_embedding")):
        cases = EncoderReference(task).cases
        assert {case.padding for case in cases if lost not in case.expected} == {"left"}
    assert all("sentence_embedding" in case.expected for case in EncoderReference(small_embedder(bert())).cases)


def test_a_short_model_is_tested_as_far_as_it_goes() -> None:
    task = small_encoder(bert(max_length=4))
    assert max(case.inputs["input_ids"].shape[1] for case in EncoderReference(task).cases) == 4
    assert encoder_graphs(task, torch.float32)["portable"].sizes["sequence"] == 4
    export: Any = exporter(task, wordpiece())
    assert max(len(ids) for ids, *_ in export.hidden) == 4


def test_a_tokenizer_without_a_mask_token_is_an_error(tmp_path: Path) -> None:
    task = small_encoder(bert(), tokenizer=train_tokenizer(["abc"], "character", 20))
    with pytest.raises(ValueError, match="no mask token"):
        export_bundle(task, EXACT, tmp_path / "bundle")


def test_tokens_are_hidden_in_all_texts() -> None:
    export: Any = exporter(small_encoder(bert()), wordpiece())
    assert 48 <= len(export.hidden) <= 96
    mask = wordpiece().token_to_id("[MASK]")
    assert all(ids[place] == mask != token for ids, _, place, token in export.hidden)


def test_a_bundle_embeds_as_much_of_a_text_as_its_training_read(tmp_path: Path) -> None:
    texts = ["paris is the capital of france " * 4, "paris"]
    task = small_embedder(max_length=9)
    assert export_bundle(task, None, tmp_path / "bundle").passed
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["max_length"] == 9
    model = runtime.load(tmp_path / "bundle")
    assert [each.difference for each in runtime.replay(model)] == [""] * 4
    found = model.embed(texts)
    expected = TextEmbedder(TorchEmbeddingModel(task), wordpiece()).embed(texts)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    whole = TextEmbedder(TorchEmbeddingModel(small_embedder()), wordpiece()).embed(texts)
    np.testing.assert_allclose(expected[1], whole[1], atol=1e-6)
    assert np.abs(expected[0] - whole[0]).max() > 0.01
