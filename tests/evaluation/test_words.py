import json
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

import plmlight
from plmlight import WordVectorModel
from plmlight.cli import main
from plmlight.decoding import WordSpace
from plmlight.evaluation.words import WordPair, is_analogies, measure_words, read_analogies, read_word_pairs
from plmlight.export import export_bundle
from plmlight.text.vectors import read_vectors, write_vectors

WORDS = ["man", "woman", "king", "queen", "uncle", "aunt", "rare"]
VECTORS = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1], [3, 0, 1], [3, 1, 1.1], [0, 0, 1]], np.float32)
PAIRS = "# a comment\nman woman 9\nKing\tqueen 8\r\nking rare 1\nking missing 7\nuncle aunt 9.5\n"
ANALOGIES = (
    ": family\nman woman king queen\nman woman king missing\nman king woman queen\n: odd\nking queen man uncle\n"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_vectors(tmp_path / "a.vec", WORDS, VECTORS)
    (tmp_path / "pairs.txt").write_text(PAIRS)
    (tmp_path / "analogies.txt").write_text(ANALOGIES)
    return tmp_path


def test_similarity_is_scipys_on_what_is_covered(folder: Path) -> None:
    found = measure_words(WordSpace(WORDS, VECTORS), folder / "pairs.txt")
    unit = VECTORS / np.linalg.norm(VECTORS, axis=1, keepdims=True)
    cosines = [unit[a] @ unit[b] for a, b in ((0, 1), (2, 3), (2, 6), (4, 5))]
    expected = spearmanr(cosines, [9, 8, 1, 9.5])[0]
    assert found.statistics["similarity"](np.arange(4)[None])[0] == pytest.approx(expected)
    assert found.facts == {"pairs covered": 4, "pairs": 5}


def test_analogies_are_scored_by_section(folder: Path) -> None:
    found = measure_words(WordSpace(WORDS, VECTORS), folder / "analogies.txt")
    values = {name: statistic(np.arange(3)[None])[0] for name, statistic in found.statistics.items()}
    assert values == pytest.approx({"accuracy": 2 / 3, "family": 1.0, "odd": 0.0})
    assert found.facts == {"questions covered": 3, "questions": 4}


def test_the_vocabulary_can_be_restricted(folder: Path) -> None:
    found = measure_words(WordSpace(WORDS, VECTORS), folder / "pairs.txt", limit=4)
    assert found.facts["pairs covered"] == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("man woman\n", r"x.txt:1: expected two words and a number, got 'man woman'"),
        (": a\nman woman king\n", r"x.txt:2: expected ': section' or four words"),
        ("foo bar 1\n", "the vocabulary covers 0 of its 1 pairs"),
        (": a\na b c d\n", "the vocabulary covers none of its 1 questions"),
    ],
)
def test_a_set_that_is_wrong_is_said_where(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(content)
    with pytest.raises(ValueError, match=message):
        measure_words(WordSpace(WORDS, VECTORS), tmp_path / "x.txt")


def test_a_byte_order_mark_is_no_part_of_a_word(tmp_path: Path) -> None:
    (tmp_path / "pairs.txt").write_bytes("\ufeffman woman 1\r\nking queen 2".encode())
    (tmp_path / "analogies.txt").write_bytes("\ufeff: a\r\nman woman king queen\r\n".encode())
    assert read_word_pairs(tmp_path / "pairs.txt") == [WordPair("man", "woman", 1), WordPair("king", "queen", 2)]
    assert read_analogies(tmp_path / "analogies.txt") == {"a": [("man", "woman", "king", "queen")]}
    assert is_analogies(tmp_path / "analogies.txt")


def test_bytes_that_are_no_text_are_said_where(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_bytes(b"man woman 1\nk\xf6nig queen 2\n")
    with pytest.raises(ValueError, match=r"x.txt: byte 0xf6 at offset 13 is not UTF-8"):
        read_word_pairs(tmp_path / "x.txt")


def test_files_checkpoints_and_bundles_score_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(folder / "a.vec"), "--output", str(folder / "a.ckpt")]) == 0
    task = plmlight.load(folder / "a.ckpt")
    assert isinstance(task, WordVectorModel)
    export_bundle(task, None, folder / "bundle")
    scores = []
    for name in ("a.vec", "a.ckpt", "bundle"):
        words = [
            "evaluate",
            str(folder / name),
            "--data",
            str(folder / "pairs.txt"),
            "--output",
            str(folder / "r.json"),
        ]
        assert main([*words, "--samples", "50"]) == 0
        scores.append(json.loads((folder / "r.json").read_text())["values"]["similarity"]["value"])
    assert scores[0] == pytest.approx(scores[1]) == pytest.approx(scores[2])
    assert "4 pairs covered, 5 pairs" in capsys.readouterr().out


@pytest.mark.parametrize("suffix", ["vec", "bin", "txt"])
def test_a_checkpoint_becomes_a_file(suffix: str, folder: Path) -> None:
    assert main(["convert", str(folder / "a.vec"), "--output", str(folder / "a.ckpt")]) == 0
    assert main(["convert", str(folder / "a.ckpt"), "--output", str(folder / f"b.{suffix}")]) == 0
    words, vectors = read_vectors(folder / f"b.{suffix}")
    assert words == WORDS
    assert np.allclose(vectors, VECTORS)
