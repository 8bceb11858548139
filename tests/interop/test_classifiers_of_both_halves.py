"""Classifiers that read with an encoder and a decoder, to Hugging Face folders and back."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BartForSequenceClassification,
    MBartConfig,
    MBartForSequenceClassification,
    MT5Config,
    MT5ForSequenceClassification,
    T5Config,
    T5ForSequenceClassification,
)

import plmlight
from plmlight import T5, Seq2Seq, TextClassification, Transformer
from plmlight.loading import write_checkpoint
from tests.networks.encoders import assert_close
from tests.runtime.encoders import wordpiece

V, PAD, END = 101, 1, 2
LABELS = ["abbreviation", "entity", "place"]
NAMES = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
IDS = {"pad_token_id": PAD, "eos_token_id": END, "decoder_start_token_id": END}
BART: dict[str, Any] = {
    **{f"{side}_layers": 2 for side in ("encoder", "decoder")},
    **{f"{side}_attention_heads": 5 for side in ("encoder", "decoder")},
    **{f"{side}_ffn_dim": 50 for side in ("encoder", "decoder")},
    "vocab_size": V,
    "d_model": 30,
    "max_position_embeddings": 40,
    **IDS,
}
T5_SIZES: dict[str, Any] = {
    "vocab_size": V,
    "d_model": 30,
    "d_kv": 6,
    "num_heads": 5,
    "num_layers": 2,
    "d_ff": 50,
    **IDS,
    "pad_token_id": 0,
    "decoder_start_token_id": 0,
}
CLASSIFIERS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "bart": (BartForSequenceClassification, BartConfig, BART),
    "t5": (T5ForSequenceClassification, T5Config, T5_SIZES),
    "t5, 1.1": (
        T5ForSequenceClassification,
        T5Config,
        T5_SIZES | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    ),
    "mt5": (MT5ForSequenceClassification, MT5Config, T5_SIZES),
}
every_classifier = pytest.mark.parametrize("kind", CLASSIFIERS)


def classifier(kind: str) -> Any:
    """One of transformers, with weights large enough to matter."""
    cls, config, sizes = CLASSIFIERS[kind]
    model = cls(config(**(sizes | NAMES)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name and name.endswith("weight")
            nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    model.tie_weights()
    return model.eval()


def texts(padding: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and a mask: three rows of nine tokens, of which nine, four and one are real, each with its end."""
    lengths = torch.tensor([9, 4, 1])
    ids = torch.randint(5, V, (3, 9))
    ids[torch.arange(3), lengths - 1] = END
    mask = (torch.arange(9) < lengths[:, None]).long()
    return ids.masked_fill(mask == 0, padding), mask


@every_classifier
@torch.no_grad()
def test_the_logits_are_theirs(kind: str, tmp_path: Path) -> None:
    theirs = classifier(kind)
    theirs.save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    assert isinstance(task, TextClassification)
    assert (task.labels, task.pooling) == (LABELS, "pooler")
    ids, mask = texts(theirs.config.pad_token_id)
    assert_close(task(ids, mask)["logits"], theirs(ids, attention_mask=mask).logits)
    assert_close(task(ids[:1])["logits"], theirs(ids[:1]).logits)


@every_classifier
@torch.no_grad()
def test_it_opens_in_transformers(kind: str, tmp_path: Path) -> None:
    theirs = classifier(kind)
    theirs.save_pretrained(tmp_path / "theirs")
    task = plmlight.load(tmp_path / "theirs")
    task.tokenizer = wordpiece()
    write_checkpoint(task, tmp_path / "x.ckpt")
    again = plmlight.load(tmp_path / "x.ckpt")
    assert isinstance(again, TextClassification)
    again.save_pretrained(str(tmp_path / "back"))
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "back").eval()
    assert type(opened) is (T5ForSequenceClassification if kind == "mt5" else type(theirs))  # they compute the same
    assert opened.config.id2label == dict(enumerate(LABELS))
    end = task.tokenizer.token_to_id("[SEP]")
    assert end is not None
    assert opened.config.eos_token_id == end
    ids = torch.randint(5, V, (2, 7))
    ids[:, -1] = end
    assert_close(opened(ids).logits, task(ids)["logits"])


@pytest.mark.parametrize("kind", ["bart", "t5"])
@torch.no_grad()
def test_padding_on_either_side_changes_nothing(kind: str, tmp_path: Path) -> None:
    classifier(kind).save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    ids, mask = texts(task.network.pad_token_id)
    left = torch.stack([row.roll(int(9 - length)) for row, length in zip(ids, mask.sum(1), strict=True)])
    assert_close(task(left, mask.flip(-1))["logits"], task(ids, mask)["logits"])
    assert_close(task(ids[1:2, :4])["logits"], task(ids, mask)["logits"][1:2])


@pytest.mark.parametrize("kind", ["bart", "t5"])
def test_its_backbone_is_a_network_to_start_from(kind: str, tmp_path: Path) -> None:
    theirs = classifier(kind)
    theirs.save_pretrained(tmp_path)
    cls: Any = {"bart": Transformer, "t5": T5}[kind]
    network = cls.from_pretrained(str(tmp_path))
    shared = (theirs.model if kind == "bart" else theirs.transformer).shared.weight
    assert torch.equal(network.token_embedding.weight, shared)
    Seq2Seq(network)


def test_a_classifier_that_begins_with_the_language_has_no_task(tmp_path: Path) -> None:
    MBartForSequenceClassification(MBartConfig(**BART)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="there is no task for MBartForSequenceClassification"):
        plmlight.load(tmp_path)


def test_without_an_end_token_it_is_not_written(tmp_path: Path) -> None:
    task = TextClassification(T5(V, 30, 1, 5), LABELS, pooling="pooler")
    with pytest.raises(ValueError, match="its end token: the task's tokenizer has none"):
        task.save_pretrained(str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
