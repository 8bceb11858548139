"""Models that answer questions, to Hugging Face folders and back: the same logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AlbertForQuestionAnswering,
    AutoModelForQuestionAnswering,
    BertForQuestionAnswering,
    RobertaForQuestionAnswering,
    XLMRobertaForQuestionAnswering,
)

import plmlight
from plmlight import GPT, QuestionAnswering
from tests.networks.encoders import CONFIGS, FIRST, V, assert_close, family_of

MODELS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        AlbertForQuestionAnswering,
        BertForQuestionAnswering,
        RobertaForQuestionAnswering,
        XLMRobertaForQuestionAnswering,
    )
}


@pytest.mark.parametrize("architecture", MODELS)
def test_there_and_back(architecture: str, tmp_path: Path) -> None:
    kind, sizes = CONFIGS[family_of(architecture)]
    theirs = MODELS[architecture](kind(**sizes)).eval()
    with torch.no_grad():
        theirs.qa_outputs.weight.normal_()
        theirs.qa_outputs.bias.normal_()
    theirs.save_pretrained(tmp_path / "theirs")
    task = plmlight.load(tmp_path / "theirs")
    assert isinstance(task, QuestionAnswering)
    ids = torch.randint(FIRST, V, (2, 9))
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3])
    with torch.no_grad():
        wanted, found = theirs(ids, mask), task(ids, mask)
    for name in ("start_logits", "end_logits"):
        assert_close(found[name][0], wanted[name][0])
        assert_close(found[name][1, :6], wanted[name][1, :6])
    task.save_pretrained(str(tmp_path / "ours"))
    again = AutoModelForQuestionAnswering.from_pretrained(tmp_path / "ours").eval()
    assert type(again).__name__ == architecture.removeprefix("XLM")  # XLM-R is written as a RoBERTa
    with torch.no_grad():
        assert_close(again(ids, mask).start_logits[0], found["start_logits"][0])


def test_a_family_without_the_head_is_refused(tmp_path: Path) -> None:
    task = QuestionAnswering(GPT(V, d_model=16, num_layers=1, num_heads=2))
    with pytest.raises(ValueError, match="it has no head for QuestionAnswering"):
        task.save_pretrained(str(tmp_path / "x"))
