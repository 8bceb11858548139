"""Bundles of what answers questions, finds relations and labels roles say what torch says."""

from pathlib import Path

import pytest
import torch

from plmlight import runtime
from plmlight.decoding import ANALYSERS
from plmlight.export import export_bundle
from plmlight.export.encoder_checks import EncoderReference
from plmlight.networks import BERT
from plmlight.tasks import LabelledTask, QuestionAnswering, RelationExtraction, SemanticRoleLabelling, TorchOutputModel
from tests.runtime.labelled import ready


def made(name: str) -> LabelledTask:
    network = BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=64)
    if name == "QuestionAnswering":
        return ready(QuestionAnswering(network, 48, 8, null_threshold=0.0))
    if name == "SemanticRoleLabelling":
        return ready(SemanticRoleLabelling(network, ["B-A0", "B-A1", "B-V", "I-A0", "I-A1", "O"], [101, 102]))
    return ready(RelationExtraction(network, ["A(e1,e2)", "A(e2,e1)", "Other"], [101, 102, 103, 104]))


def test_relations_are_compared_where_they_depend_on_the_text() -> None:
    task = made("RelationExtraction")
    for parameter in task.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    several = [case for case in EncoderReference(task).cases if case.inputs["input_ids"].shape[0] > 1]
    assert several
    assert min(case.expected["logits"].std(0).max() for case in several) > 0.01


@pytest.mark.parametrize("name", ["QuestionAnswering", "RelationExtraction", "SemanticRoleLabelling"])
def test_a_bundle_answers_as_torch(name: str, tmp_path: Path) -> None:
    task = made(name)
    assert export_bundle(task, None, tmp_path / "bundle").passed
    model = runtime.load(tmp_path / "bundle", provider="cpu")
    analyser = ANALYSERS[name]
    assert isinstance(model, analyser)
    assert task.tokenizer is not None
    reference = analyser(TorchOutputModel(task), task.tokenizer, task.facts())
    requests = analyser.examples()
    for found, wanted in zip(model.answers(requests, 3), reference.answers(requests), strict=True):
        assert analyser.difference(reference, found, wanted, 1e-4) == ""
