"""Tasks with labels as bundles, whatever network they read with."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight import runtime
from plmlight.decoding import TextClassifier
from plmlight.export import Limits, Quantisation, Recipe, Verdict, export_bundle
from plmlight.export.encoder_checks import EncoderReference, at_tokens
from plmlight.export.labelled_export import LabelledExport, _agreement
from plmlight.networks import GPT, LSTMLM, T5
from plmlight.nn import Network
from plmlight.tasks import TextClassification
from tests.runtime.encoders import wordpiece
from tests.runtime.labelled import LABELS, small_classifier

SIZES: dict[str, Any] = {"vocab_size": 101, "d_model": 24, "max_length": 37}
HEADS: dict[str, Any] = {"num_layers": 1, "num_heads": 3}


def networks() -> dict[str, Network]:
    return {
        "GPT": GPT(**SIZES, **HEADS),
        "T5": T5(**SIZES, **HEADS),
        "LSTMLM": LSTMLM(**SIZES, num_layers=1),
    }


Made = tuple[Path, Verdict, TextClassification]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A bundle of a classifier over BERT, its verdict, and the classifier; tests leave all as they are."""
    folder = tmp_path_factory.mktemp("labelled") / "bundle"
    task = small_classifier()
    return folder, export_bundle(task, None, folder), task


@pytest.fixture
def classifying_bundle(made: Made) -> Path:
    return made[0]


def answers_as_torch(folder: Path, verdict: Verdict, task: TextClassification) -> None:
    assert verdict.passed, verdict.summary()
    assert "label agreement" in {check.name for check in verdict.checks}
    model = runtime.load(folder)
    assert isinstance(model, runtime.AnalysisModel)
    assert isinstance(model, TextClassifier)
    texts = ["paris is the capital", "天气很好", "she opened the door and went into the garden"]
    assert task.tokenizer is not None
    for text, found in zip(texts, model.classify(texts), strict=True):
        with torch.no_grad():
            wanted = task(torch.tensor([task.tokenizer.encode(text).ids]))["logits"][0].softmax(-1)
        assert [each.label for each in found] == [LABELS[place] for place in wanted.argsort(descending=True)]
        assert [each.score for each in found] == pytest.approx(wanted.sort(descending=True).values.tolist(), abs=1e-5)


def test_a_bundle_passes_its_verdict_and_answers_as_torch(made: Made) -> None:
    answers_as_torch(*made)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(networks()))
def test_a_network_that_is_no_encoder_passes_its_verdict_and_answers_as_torch(name: str, tmp_path: Path) -> None:
    pooling = {"GPT": "cls", "T5": "max", "LSTMLM": "mean"}[name]
    task = small_classifier(networks()[name], pooling=pooling)
    answers_as_torch(tmp_path / "bundle", export_bundle(task, None, tmp_path / "bundle"), task)


def test_the_manifest_holds_the_facts(classifying_bundle: Path) -> None:
    manifest = json.loads((classifying_bundle / "manifest.json").read_text())
    assert (manifest["task"], manifest["facts"]["labels"]) == ("TextClassification", LABELS)
    assert manifest["num_token_types"] == 2


def test_golden_requests_are_replayed(classifying_bundle: Path) -> None:
    model = runtime.load(classifying_bundle)
    assert [each.difference for each in runtime.replay(model)] == [""] * 48
    lines = (classifying_bundle / "golden.jsonl").read_text().splitlines()
    assert sum("pair" in json.loads(line)["request"] for line in lines) == 16
    record = json.loads(lines[0])
    record["answer"]["scores"][LABELS[0]] += 0.01
    (classifying_bundle / "golden.jsonl").write_text(json.dumps(record) + "\n")
    (found,) = runtime.replay(model)
    (classifying_bundle / "golden.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert found.prompt == record["request"]["text"]
    assert found.difference.startswith("scores.news: ")


def test_a_quantised_recipe_is_judged_by_its_labels(tmp_path: Path) -> None:
    limits = Limits(relative_logit_error=0.2, top1_agreement=0.9)
    recipe = Recipe("small", limits, graphs=["portable"], quantisation=Quantisation(block_size=16))
    verdict = export_bundle(small_classifier(), recipe, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    (check,) = [each for each in verdict.checks if each.name == "label agreement"]
    assert "without near ties" in check.detail


def test_a_graph_of_other_weights_fails_by_its_labels(classifying_bundle: Path) -> None:
    task = small_classifier()
    with torch.no_grad():
        task.head.classifier.weight.neg_()
    export = LabelledExport(task, wordpiece())
    spec = export.graphs(torch.float32)["portable"]
    limits = Limits(logit_error=1e-4, greedy_agreement=1.0)
    checks = {check.name: check for check in export.checks(classifying_bundle / "model.onnx", spec, limits, [])}
    assert not checks["output error"].passed
    assert not checks["label agreement"].passed
    limits = Limits(relative_logit_error=0.5)
    checks = {check.name: check for check in export.checks(classifying_bundle / "model.onnx", spec, limits, [])}
    assert not checks["relative output error"].passed
    assert not checks["relative error on texts"].passed
    outputs = np.concatenate([expected["logits"].ravel() for _, expected in export._expected])
    own = task.head.classifier.bias.detach().numpy()  # the other classifier's logits are the bias less what is above it
    error = 2 * (outputs.reshape(-1, len(own)) - own).ravel()
    assert checks["relative error on texts"].measured == pytest.approx(error.std() / outputs.std(), rel=1e-4)


def test_what_reads_the_first_column_is_not_padded_on_the_left() -> None:
    cases = EncoderReference(small_classifier(pooling="cls")).cases
    assert {bool(case.expected) for case in cases if case.padding == "left"} == {False}
    cases = EncoderReference(small_classifier(pooling="mean")).cases
    assert all(case.expected for case in cases)


def test_values_at_padding_do_not_count() -> None:
    mask = np.array([[1, 1, 0], [1, 0, 0]])
    values = np.arange(6).reshape(2, 3)
    assert at_tokens(values, ("batch", "sequence"), mask).tolist() == [0, 1, 3]
    assert at_tokens(values, ("batch", 3), mask) is values
    pairs = np.arange(18).reshape(2, 3, 3)
    assert at_tokens(pairs, ("batch", "sequence", "sequence"), mask).tolist() == [0, 1, 3, 4, 9]


def test_decisions_are_compared_as_what_they_are() -> None:
    mask = np.array([[1, 1, 0]])
    tags = _agreement(np.array([[1, 2, 9]]), np.array([[1, 3, 0]]), ("batch", "sequence"), mask)
    assert [part.tolist() for part in tags] == [[True, False], [True, False]]
    starts = np.array([[0.0, 1.0, 5.0]], np.float32)
    assert _agreement(starts, starts[:, [0, 1, 0]], ("batch", "sequence"), mask)[0].tolist() == [True]
    close = _agreement(
        np.array([[0.5, 0.49]], np.float32), np.array([[0.49, 0.5]], np.float32), ("batch", 2), mask[:, :2]
    )
    assert [part.tolist() for part in close] == [[False], [True]]
