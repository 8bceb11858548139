"""sentence-transformers folders."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

import plmlight
from plmlight import BERT, SentenceEmbedding
from plmlight.interop import pooling_files, read_pooling
from tests.networks.encoders import FIRST, LENGTH, V, assert_close, padding_mask, reference

KINDS = ["Transformer", "Pooling", "Normalize"]


def write(folder: Path, kinds: list[str], **settings: Any) -> None:
    modules = [{"idx": i, "path": f"{i}_{kind}" if i else "", "type": f"x.y.{kind}"} for i, kind in enumerate(kinds)]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 30, **settings}))


@pytest.mark.parametrize("how", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalise", [True, False])
def test_what_is_written_reads_back(how: Any, normalise: bool, tmp_path: Path) -> None:
    task = SentenceEmbedding(BERT(V, 30, 2, 5), pooling=how, normalise=normalise, pooler=True)
    task.save_pretrained(str(tmp_path / "out"))
    again = plmlight.load(tmp_path / "out")
    assert isinstance(again, SentenceEmbedding)
    assert (again.pooling, again.normalise) == (how, normalise)
    assert all(torch.equal(again.state_dict()[name], tensor) for name, tensor in task.state_dict().items())
    again.save_pretrained(str(tmp_path / "out"))


@torch.no_grad()
def test_the_modules_decide(tmp_path: Path) -> None:
    theirs = reference("BertModel")
    theirs.save_pretrained(tmp_path)
    write(tmp_path, KINDS, pooling_mode_cls_token=True, pooling_mode_mean_tokens=False)
    ids = torch.randint(FIRST, V, (2, 7))
    first = theirs(ids).last_hidden_state[:, 0]
    expected = first / first.norm(dim=-1, keepdim=True)
    assert_close(plmlight.load(tmp_path)(ids)["sentence_embedding"], expected)


@pytest.mark.parametrize("settings", [{"pooling_mode_lasttoken": True}, {"pooling_mode": "lasttoken"}])
@torch.no_grad()
def test_xlnets_token_is_the_last(settings: dict[str, Any], tmp_path: Path) -> None:
    theirs = reference("XLNetModel")
    theirs.save_pretrained(tmp_path)
    write(tmp_path, KINDS[:2], **settings)
    ids, mask = torch.randint(FIRST, V, (3, 9)), padding_mask("right")
    task = plmlight.load(tmp_path)
    assert isinstance(task, SentenceEmbedding)
    assert task.pooling == "cls"
    hidden = theirs(ids, attention_mask=mask.float()).last_hidden_state
    expected = torch.stack([row[int(count) - 1] for row, count in zip(hidden, mask.sum(1), strict=True)])
    assert_close(task(ids, mask)["sentence_embedding"], expected)
    task.save_pretrained(str(tmp_path / "out"))
    written = json.loads((tmp_path / "out" / "1_Pooling" / "config.json").read_text())
    assert {key for key, value in written.items() if value is True} == {"pooling_mode_lasttoken"}
    assert read_pooling(tmp_path / "out", cls_last=True)["pooling"] == "cls"


def test_the_first_token_of_an_xlnet_is_refused(tmp_path: Path) -> None:
    write(tmp_path, KINDS[:2], pooling_mode_cls_token=True)
    with pytest.raises(ValueError, match=r"pooling_mode_lasttoken, .* to be true, got pooling_mode_cls_token"):
        read_pooling(tmp_path, cls_last=True)


@torch.no_grad()
def test_without_them_it_is_the_mean(tmp_path: Path) -> None:
    theirs = reference("BertModel")
    theirs.save_pretrained(tmp_path)
    ids = torch.randint(FIRST, V, (2, 7))
    assert_close(plmlight.load(tmp_path)(ids)["sentence_embedding"], theirs(ids).last_hidden_state.mean(1))


def test_the_later_form_of_the_setting(tmp_path: Path) -> None:
    write(tmp_path, KINDS[:2], pooling_mode="max")
    assert read_pooling(tmp_path) == {"pooling": "max", "normalise": False}


@pytest.mark.parametrize("length", [9, None])
def test_as_much_of_a_text_is_read_as_the_folder_says(length: int | None, tmp_path: Path) -> None:
    reference("BertModel").save_pretrained(tmp_path)
    write(tmp_path, KINDS[:2], pooling_mode="mean")
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length, "do_lower_case": False}))
    for _ in range(2):
        task = plmlight.load(tmp_path)
        assert isinstance(task, SentenceEmbedding)
        assert (task.max_length, task.text_length) == (length, length or LENGTH)
        tmp_path = tmp_path / "out"
        for _ in range(2):  # a folder that was written may be written again
            task.save_pretrained(str(tmp_path))


@pytest.mark.parametrize("length", ["9", 0, 2.5, True])
def test_a_length_that_is_none_is_refused(length: Any, tmp_path: Path) -> None:
    write(tmp_path, KINDS[:2], pooling_mode="mean")
    (tmp_path / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": length}))
    with pytest.raises(ValueError, match=r"sentence_bert_config\.json: max_seq_length is .*, expected a number"):
        read_pooling(tmp_path)


@pytest.mark.parametrize(
    ("kinds", "settings", "message"),
    [
        (
            ["Transformer", "Pooling", "Dense"],
            {"pooling_mode": "mean"},
            r"modules\.json: the module x\.y\.Dense is not",
        ),
        (KINDS, {}, r"1_Pooling/config\.json: expected one of .* to be true, got none"),
        (
            KINDS,
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            "got pooling_mode_mean_tokens, pooling_mode_max_tokens",
        ),
        (KINDS, {"pooling_mode_weightedmean_tokens": True}, "got pooling_mode_weightedmean_tokens"),
        (KINDS, {"pooling_mode": "lasttoken"}, "got lasttoken"),
    ],
)
def test_what_is_not_known_is_refused(kinds: list[str], settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    write(tmp_path, kinds, **settings)
    with pytest.raises(ValueError, match=message):
        read_pooling(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "expected a JSON list"),
        ("[1]", "expected a list of JSON objects"),
        ('[{"type": "x.Pooling", "path": "../x"}]', r"'\.\./x' is not the name of a folder"),
        ('[{"type": "x.Pooling", "path": "gone"}]', r"gone/config\.json: there is no such file"),
    ],
)
def test_a_damaged_folder_is_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        read_pooling(tmp_path)


def test_a_pooling_that_they_do_not_have() -> None:
    with pytest.raises(ValueError, match="pooling 'pooler' does not exist in sentence-transformers' format"):
        pooling_files("pooler", False, 30)
