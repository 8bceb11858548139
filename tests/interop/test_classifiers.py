"""Classifiers, to Hugging Face folders and back: the same logits, the names of the classes, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AlbertForSequenceClassification,
    AutoModelForSequenceClassification,
    BertForSequenceClassification,
    GPT2Config,
    GPT2ForSequenceClassification,
    OpenAIGPTConfig,
    OpenAIGPTForSequenceClassification,
    RobertaForSequenceClassification,
    XLMForSequenceClassification,
    XLMRobertaForSequenceClassification,
    XLNetForSequenceClassification,
)

import plmlight
from plmlight import (
    ALBERT,
    BERT,
    GPT,
    BagOfVectors,
    MultiLabel,
    Regression,
    RoBERTa,
    SingleLabel,
    TextClassification,
    XLNet,
)
from plmlight.loading import write_checkpoint
from tests.networks.encoders import CONFIGS, FIRST, V, assert_close, family_of

LABELS = ["abbreviation", "entity", "place"]
GPT_SIZES: dict[str, Any] = {"n_positions": 40, "n_embd": 30, "n_layer": 2, "n_head": 5, "pad_token_id": 0}
CLASSIFIERS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        AlbertForSequenceClassification,
        BertForSequenceClassification,
        GPT2ForSequenceClassification,
        OpenAIGPTForSequenceClassification,
        RobertaForSequenceClassification,
        XLMForSequenceClassification,
        XLMRobertaForSequenceClassification,
        XLNetForSequenceClassification,
    )
}
TINY: dict[str, Any] = {"vocab_size": V, "d_model": 30, "num_layers": 2, "num_heads": 5, "max_length": 20}
every_classifier = pytest.mark.parametrize("architecture", CLASSIFIERS)


def classifier(architecture: str, **options: Any) -> Any:
    """A classifier of transformers with weights large enough to matter."""
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    if architecture.startswith("GPT2"):
        config = GPT2Config(vocab_size=V, **(GPT_SIZES | {"bos_token_id": 0, "eos_token_id": 0} | names | options))
    elif architecture.startswith("OpenAI"):
        config = OpenAIGPTConfig(vocab_size=V, **(GPT_SIZES | names | options))
    else:
        kind, sizes = CONFIGS[family_of(architecture)]
        config = kind(**(sizes | names | options))
    model = CLASSIFIERS[architecture](config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = ("norm" in name.lower() or "ln_" in name) and name.endswith("weight")
            nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    return model.eval()


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and a mask: three rows of nine tokens, of which nine, four and one are real."""
    mask = (torch.arange(9) < torch.tensor([9, 4, 1])[:, None]).long()
    return torch.randint(FIRST, V, (3, 9)), mask


def languages(architecture: str, ids: torch.Tensor) -> dict[str, torch.Tensor]:
    """What XLM is told beside the text."""
    return {"langs": torch.zeros_like(ids)} if architecture.startswith("XLMFor") else {}


@every_classifier
@torch.no_grad()
def test_the_logits_are_theirs(architecture: str, tmp_path: Path) -> None:
    theirs = classifier(architecture)
    theirs.save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    assert isinstance(task, TextClassification)
    assert task.labels == LABELS
    assert type(task.problem) is SingleLabel
    ids, mask = padded()
    side = architecture.startswith("XLNet")
    mask = mask.flip(-1) if side else mask  # it is published with padding on the left
    ids = ids.masked_fill(mask == 0, theirs.config.pad_token_id)
    expected = theirs(ids, attention_mask=mask, **languages(architecture, ids)).logits
    assert_close(task(ids, mask)["logits"], expected)


@every_classifier
@torch.no_grad()
def test_it_opens_in_transformers(architecture: str, tmp_path: Path) -> None:
    theirs = classifier(architecture)
    theirs.save_pretrained(tmp_path / "theirs")
    task = plmlight.load(tmp_path / "theirs")
    write_checkpoint(task, tmp_path / "x.ckpt")
    again = plmlight.load(tmp_path / "x.ckpt")
    assert isinstance(again, TextClassification)
    again.save_pretrained(str(tmp_path / "back"))
    opened = AutoModelForSequenceClassification.from_pretrained(tmp_path / "back").eval()
    assert opened.config.id2label == dict(enumerate(LABELS))
    assert opened.config.problem_type == "single_label_classification"
    ids = torch.randint(FIRST, V, (2, 7))
    given = languages(architecture, ids)
    assert_close(opened(ids, **given).logits, theirs(ids, **given).logits)


@pytest.mark.parametrize("network", [BERT, RoBERTa, ALBERT, XLNet])
@torch.no_grad()
def test_a_classifier_made_here_opens_in_transformers(network: Any, tmp_path: Path) -> None:
    task = TextClassification(network(**TINY), LABELS, pooling="pooler", head_dropout=0.25).eval()
    for parameter in task.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.save_pretrained(str(tmp_path))
    ids = torch.randint(FIRST, V, (2, 7))
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert_close(theirs(ids).logits, task(ids)["logits"])
    assert theirs.config.label2id == {name: number for number, name in enumerate(LABELS)}
    again = plmlight.load(tmp_path)
    assert isinstance(again, TextClassification)
    assert again.head.dropout.p == 0.25


@torch.no_grad()
def test_a_decoder_that_classifies_opens_in_transformers(tmp_path: Path) -> None:
    task = TextClassification(GPT(**TINY), LABELS, pooling="cls").eval()
    task.save_pretrained(str(tmp_path))
    ids = torch.randint(FIRST, V, (2, 7))
    theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path).eval()
    assert_close(theirs(ids).logits, task(ids)["logits"])


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"problem_type": "multi_label_classification"}, MultiLabel),
        ({"id2label": {0: "score"}, "label2id": {"score": 0}}, Regression),
        ({"problem_type": "regression", "id2label": {0: "score"}, "label2id": {"score": 0}}, Regression),
    ],
)
def test_what_is_asked_is_theirs(options: dict[str, Any], kind: type, tmp_path: Path) -> None:
    classifier("BertForSequenceClassification", **options).save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    assert isinstance(task, TextClassification)
    assert type(task.problem) is kind


def test_thresholds_windows_and_weights_of_our_own(tmp_path: Path) -> None:
    problem = MultiLabel({"entity": 0.25}, class_weights={"place": 2.0})
    task = TextClassification(BERT(**TINY), LABELS, problem, "pooler", max_length=16, stride=4)
    task.save_pretrained(str(tmp_path))
    again = plmlight.load(tmp_path)
    assert isinstance(again, TextClassification)
    assert again.facts() == task.facts()
    assert again.facts()["thresholds"] == [0.5, 0.25, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TextClassification(BERT(**TINY), LABELS), "bert: its TextClassification has pooling 'pooler' always"),
        (lambda: TextClassification(GPT(**TINY), LABELS), "gpt2: its TextClassification has pooling 'cls' always"),
        (lambda: TextClassification(BagOfVectors(V), LABELS), "it belongs to no family"),
    ],
)
def test_what_no_family_can_express_is_not_written(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make().save_pretrained(str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_summary_of_another_kind_is_refused(tmp_path: Path) -> None:
    classifier("XLMForSequenceClassification").save_pretrained(tmp_path)
    set_config(tmp_path, summary_type="mean")
    with pytest.raises(ValueError, match=r"config\.json: summary_type is 'mean': only 'first' is supported by XLMFor"):
        plmlight.load(tmp_path)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"problem_type": "ranking"}, r"config\.json: problem_type is 'ranking', expected one of single_label_"),
        ({"id2label": {"1": "a", "2": "b"}}, r"config\.json: id2label is .*, expected the name of each class by its"),
        ({"id2label": {"0": "a", "1": "a", "2": "b"}}, "labels: 'a' is there twice"),
        ({"id2label": {"0": "a", "1": "b"}}, r"classifier\.weight is \[3, 30\], expected \[2, 30\]"),
    ],
)
def test_names_that_do_not_fit_are_refused(values: dict[str, Any], message: str, tmp_path: Path) -> None:
    classifier("BertForSequenceClassification").save_pretrained(tmp_path)
    set_config(tmp_path, **values)
    with pytest.raises(ValueError, match=message):
        plmlight.load(tmp_path)


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
