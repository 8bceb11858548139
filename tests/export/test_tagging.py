"""Taggers as graphs, in which the best sequence of a CRF is found."""

from pathlib import Path

import pytest
import torch

from plmlight import BERT, BiLSTM, TokenClassification, runtime
from plmlight.decoding.tagging import Tagger
from plmlight.export import export_bundle
from plmlight.nn import Encoder
from plmlight.tasks import TorchOutputModel
from tests.runtime.encoders import shaken, wordpiece

LABELS = ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]
TEXTS = ["she opened the door and went into the garden of paris", "a", "paris is the capital, " * 9]


def network(kind: str) -> Encoder:
    if kind == "bilstm":
        return BiLSTM(vocab_size=101, d_model=24, max_length=37, d_embedding=10)
    return BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, d_ff=24, max_length=37)


@pytest.mark.parametrize(("kind", "crf"), [("bilstm", True), ("bert", True), ("bert", False)])
def test_a_bundle_tags_as_torch_does(kind: str, crf: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = TokenClassification(network(kind), LABELS, crf=crf)
    shaken(task)
    task.tokenizer = wordpiece()
    task.eval()
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    assert {1} <= {each["length"] for each in verdict.measurements}
    model = runtime.load(tmp_path / "bundle")
    expected = Tagger(TorchOutputModel(task), task.tokenizer, task.facts()).answers([{"text": text} for text in TEXTS])
    found = model.answers([{"text": text} for text in TEXTS])
    for mine, theirs in zip(found, expected, strict=True):
        assert mine["tags"] == theirs["tags"]
        assert [span["text"] for span in mine["spans"]] == [span["text"] for span in theirs["spans"]]
        assert [span["score"] for span in mine["spans"]] == pytest.approx([span["score"] for span in theirs["spans"]])
    assert len({tag for answer in found for tag in answer["tags"]}) > 1
    assert [span.text for span in model.tag(TEXTS[:1])[0]] == [span["text"] for span in found[0]["spans"]]


def test_a_bundle_reads_parts_as_long_as_those_of_the_training(tmp_path: Path) -> None:
    torch.manual_seed(0)
    task = TokenClassification(network("bert"), LABELS, max_length=9)
    shaken(task)
    task.tokenizer = wordpiece()
    assert export_bundle(task.eval(), None, tmp_path / "bundle").passed
    model, torchs = runtime.load(tmp_path / "bundle"), Tagger(TorchOutputModel(task), task.tokenizer, task.facts())
    whole = Tagger(TorchOutputModel(task), task.tokenizer, task.facts() | {"max_length": None})
    requests = [{"text": text} for text in TEXTS]
    assert (model.length, torchs.length, whole.length) == (9, 9, 37)
    tags = [[answer["tags"] for answer in each.answers(requests)] for each in (model, torchs, whole)]
    assert tags[0] == tags[1] != tags[2]
