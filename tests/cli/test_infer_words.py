import json
from pathlib import Path

import numpy as np
import pytest

from plmlight.cli import main
from plmlight.text.vectors import write_vectors


@pytest.fixture
def vectors(tmp_path: Path) -> str:
    words = ["man", "woman", "king", "queen"]
    write_vectors(tmp_path / "a.vec", words, np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]], np.float32))
    return str(tmp_path / "a.vec")


def test_a_word_gets_its_neighbours(vectors: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", vectors, "--text", "queen", "--top_k", "2"]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("0.8165  ")


def test_three_words_are_an_analogy(vectors: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", vectors, "--text", "man woman king"]) == 0
    assert capsys.readouterr().out.endswith("queen\n")


def test_two_words_get_their_similarity(vectors: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["infer", vectors, "--text", "man queen"]) == 0
    assert capsys.readouterr().out == "0.5774\n"
    assert main(["infer", vectors, "--text", "man queen", "--output", str(tmp_path / "a.jsonl")]) == 0
    assert json.loads((tmp_path / "a.jsonl").read_text())["similarity"] == pytest.approx(3**-0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("quen", "the word 'quen' is not in the vocabulary of 4; did you mean 'queen'?"),
        (
            "king or queen or",
            "expected a word (what is near it), two (how similar they are) or three (an analogy), got 4",
        ),
    ],
)
def test_what_cannot_be_answered_is_one_line(
    text: str, message: str, vectors: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["infer", vectors, "--text", text]) == 2
    assert capsys.readouterr().err.strip().endswith(message)
