import json
from pathlib import Path

import pytest

from plmlight.cli import main
from plmlight.data import Shards
from plmlight.text import save_tokenizer, train_tokenizer


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    save_tokenizer(train_tokenizer(["abc"], "byte", 257), tmp_path / "tok")
    (tmp_path / "a.jsonl").write_text('{"text": "first"}\n{"text": "second"}\n')
    return tmp_path


def status(words: list[str]) -> object:
    try:
        return main(["prepare", *words])
    except SystemExit as left:
        return left.code


def test_writes_shards_with_a_manifest(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["a.jsonl", "--tokenizer", "tok", "--output", "out", "--block_length", "5"]) == 0
    shards = Shards(here / "out")
    assert shards.tokenizer().decode(shards.tokens.tolist()) == "firstsecond"
    manifest = json.loads((here / "out" / "manifest.json").read_text())
    assert (manifest["tokens"], manifest["documents"], manifest["bytes"]) == (13, 2, 11)
    assert manifest["packing"] == {"block_length": 5, "blocks": 3, "padding_percent": 0.0, "truncated_percent": 100.0}
    assert "out: 13 tokens in 2 documents from 11 bytes" in capsys.readouterr().out


def test_prepared_again_in_place(here: Path) -> None:
    words = ["a.jsonl", "--tokenizer", "tok", "--output", "out"]
    assert status(words) == 0
    assert status([*words, "--end_of_document", "false"]) == 0
    assert Shards(here / "out").manifest.tokens == 11


def test_sentences_are_kept_where_documents_need_them(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (here / "b.txt").write_text("One. Two!\n\nThree. 四。")
    words = ["b.txt", "--tokenizer", "tok", "--output", "out", "--document", "paragraph", "--sentences", "true"]
    assert status([*words, "--whole_words", "jieba"]) == 0
    shards = Shards(here / "out")
    assert shards.sentences is not None
    assert shards.words is not None
    assert shards.sentences.tolist() == [0, 4, 9, 15, 22]
    assert shards.documents.tolist() == [0, 9, 22]
    assert shards.words.tolist()[:9] == [1, 0, 0, 1, 0, 1, 0, 0, 1]
    assert ", 4 sentences" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["a.json", "--tokenizer", "tok"], "a.json: no such file or folder; did you mean 'a.jsonl'?"),
        (["a.jsonl", "--tokenizer", "tik"], "tik: no such tokenizer file or folder"),
        (["a.jsonl"], "missing: tokenizer"),
        (["a.jsonl", "--tokenizer", "tok", "--text_field", "txt"], "a.jsonl:1: there is no field 'txt'; did you mean"),
        (["bad.txt", "--tokenizer", "tok"], "bad.txt: byte 0xff at offset 2 is not UTF-8"),
        (["a.jsonl", "--tokenizer", "tok", "--block_length", "1"], "block_length 1 must be at least 2"),
    ],
)
def test_bad_input_is_one_line_and_nothing_written(
    here: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    (here / "bad.txt").write_bytes(b"ab\xff")
    before = sorted(here.rglob("*"))
    assert status([*words, "--output", "out"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("plmlight prepare: ")
    assert line in error
    assert error.count("\n") == 1
    assert sorted(here.rglob("*")) == before


def test_folder_with_other_files_is_left_alone(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert status(["a.jsonl", "--tokenizer", "tok", "--output", "."]) == 2
    assert ".: holds other files" in capsys.readouterr().err
    assert (here / "a.jsonl").exists()
