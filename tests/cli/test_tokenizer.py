from pathlib import Path

import pytest

from plmlight.cli import main
from plmlight.text import load_tokenizer

TEXT = "".join(f"line {i}: the quick brown fox\n" for i in range(50))


def test_trains_and_saves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    out = tmp_path / "tokenizer"
    assert main(["tokenizer", str(tmp_path), "--vocab_size", "270", "--output", str(out)]) == 0
    assert load_tokenizer(out).decode(load_tokenizer(out).encode(TEXT).ids) == TEXT
    assert "a byte-bpe tokenizer of 270 tokens" in capsys.readouterr().out


def test_reads_only_so_much(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("aaa\nbbb\nccc\n")
    words = ["--kind", "character", "--document", "line", "--max_characters", "4"]
    assert main(["tokenizer", str(tmp_path / "a.txt"), *words, "--output", str(tmp_path / "t")]) == 0
    assert sorted(load_tokenizer(tmp_path / "t").get_vocab()) == ["<unk>", "<|endoftext|>", "a", "b"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["nowhere.txt"], "nowhere.txt: no such file or folder"),
        (["a.txt", "--kind", "wordpice"], "kind: 'wordpice' is not one of"),
        (["a.txt", "--vocab_size", "10"], "vocab_size 10 is too small for a byte-bpe tokenizer: at least 257"),
        (["b.txt"], "b.txt: the file has no text"),
        (["a.txt", "--vocab-sise", "10"], "unknown option --vocab-sise; did you mean '--vocab_size'?"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text("")
    try:
        status: object = main(["tokenizer", *words, "--output", "out"])
    except SystemExit as left:
        status = left.code
    error = capsys.readouterr().err
    assert status == 2
    assert error.startswith("plmlight tokenizer: ")
    assert line in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
