"""Taggers, to Hugging Face folders and back: the same logits, the names of the tags, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AlbertForTokenClassification,
    AutoModelForTokenClassification,
    BertForTokenClassification,
    RobertaForTokenClassification,
    XLMForTokenClassification,
    XLMRobertaForTokenClassification,
    XLNetForTokenClassification,
)

import plmlight
from plmlight import ALBERT, BERT, RoBERTa, SemanticRoleLabelling, TokenClassification, XLNet, cli
from plmlight.loading import write_checkpoint
from tests.networks.encoders import CONFIGS, FIRST, V, assert_close, family_of

LABELS = ["O", "B-PER", "I-PER"]
TINY: dict[str, Any] = {"vocab_size": V, "d_model": 30, "num_layers": 2, "num_heads": 5, "max_length": 20}
TAGGERS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        AlbertForTokenClassification,
        BertForTokenClassification,
        RobertaForTokenClassification,
        XLMForTokenClassification,
        XLMRobertaForTokenClassification,
        XLNetForTokenClassification,
    )
}


def tagger(architecture: str) -> Any:
    """A tagger of transformers with weights large enough to matter."""
    kind, sizes = CONFIGS[family_of(architecture)]
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: number for number, name in enumerate(LABELS)}}
    model = TAGGERS[architecture](kind(**(sizes | names)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = ("norm" in name.lower() or "ln_" in name) and name.endswith("weight")
            nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    return model.eval()


@pytest.mark.parametrize("architecture", TAGGERS)
@torch.no_grad()
def test_there_and_back(architecture: str, tmp_path: Path) -> None:
    theirs = tagger(architecture)
    theirs.save_pretrained(tmp_path / "theirs")
    task = plmlight.load(tmp_path / "theirs")
    assert isinstance(task, TokenClassification)
    assert (task.labels, task.scheme, task.constrained) == (LABELS, "BIO", False)
    mask = torch.tensor([[1] * 9, [1] * 6 + [0] * 3])
    left = architecture.startswith("XLNet")  # which is published with padding on the left
    mask = mask.flip(-1) if left else mask
    ids = torch.randint(FIRST, V, (2, 9)).masked_fill(mask == 0, theirs.config.pad_token_id)
    languages = {"langs": torch.zeros_like(ids)} if architecture.startswith("XLMFor") else {}
    wanted, found = theirs(ids, attention_mask=mask, **languages).logits, task(ids, mask)["logits"]
    assert_close(found[mask == 1], wanted[mask == 1])
    assert cli.main(["convert", str(tmp_path / "theirs"), "--output", str(tmp_path / "x.ckpt")]) == 0
    assert cli.main(["convert", str(tmp_path / "x.ckpt"), "--output", str(tmp_path / "ours")]) == 0
    again = AutoModelForTokenClassification.from_pretrained(tmp_path / "ours").eval()
    assert type(again).__name__ == architecture.replace("XLMRoberta", "Roberta")  # XLM-R is written as a RoBERTa
    assert again.config.id2label == dict(enumerate(LABELS))
    assert_close(again(ids, attention_mask=mask, **languages).logits[mask == 1], wanted[mask == 1])


@pytest.mark.parametrize("network", [BERT, RoBERTa, ALBERT, XLNet])
@torch.no_grad()
def test_a_tagger_made_here_opens_in_transformers(network: Any, tmp_path: Path) -> None:
    task = TokenClassification(network(**TINY), LABELS, head_dropout=0.25, unit="character", max_length=16).eval()
    for parameter in task.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.save_pretrained(str(tmp_path))
    ids = torch.randint(FIRST, V, (2, 7))
    theirs = AutoModelForTokenClassification.from_pretrained(tmp_path).eval()
    assert_close(theirs(ids).logits, task(ids)["logits"])
    assert theirs.config.label2id == {name: number for number, name in enumerate(LABELS)}
    again = plmlight.load(tmp_path)
    assert isinstance(again, TokenClassification)
    assert again.facts() == task.facts()
    assert again.head.dropout.p == 0.25


def test_a_network_for_another_task_starts_from_a_tagger(tmp_path: Path) -> None:
    theirs = tagger("BertForTokenClassification")
    theirs.save_pretrained(tmp_path)
    network = BERT.from_pretrained(str(tmp_path)).eval()
    ids = torch.randint(FIRST, V, (2, 7))
    with torch.no_grad():
        assert_close(network(ids), theirs.bert(ids).last_hidden_state)


def test_what_transformers_cannot_express_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="bert: it has no TokenClassification with crf and head"):
        TokenClassification(BERT(**TINY), LABELS, crf=True).save_pretrained(str(tmp_path / "x"))
    with pytest.raises(ValueError, match="bert: it has no head for SemanticRoleLabelling"):
        SemanticRoleLabelling(BERT(**TINY), LABELS, [3, 4]).save_pretrained(str(tmp_path / "x"))
    assert list(tmp_path.iterdir()) == []


def test_a_missing_head_or_a_tag_too_few_is_named(tmp_path: Path) -> None:
    model = tagger("BertForTokenClassification")
    model.bert.save_pretrained(tmp_path)
    config = tmp_path / "config.json"
    kept = json.loads(config.read_text()) | {"architectures": ["BertForTokenClassification"]}
    config.write_text(json.dumps(kept))
    with pytest.raises(ValueError, match=r"the weight classifier\.weight is missing"):
        plmlight.load(tmp_path)
    model.save_pretrained(tmp_path)
    config.write_text(json.dumps(kept | {"id2label": {"0": "O", "1": "B-PER"}}))
    with pytest.raises(ValueError, match=r"classifier\.weight is \[3, 30\], expected \[2, 30\]"):
        plmlight.load(tmp_path)


def test_a_checkpoint_keeps_what_a_folder_says(tmp_path: Path) -> None:
    tagger("BertForTokenClassification").save_pretrained(tmp_path / "theirs")
    task = plmlight.load(tmp_path / "theirs")
    assert isinstance(task, TokenClassification)
    write_checkpoint(task, tmp_path / "x.ckpt")
    again = plmlight.load(tmp_path / "x.ckpt")
    assert isinstance(again, TokenClassification)
    assert again.facts() == task.facts()
