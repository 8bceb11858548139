from pathlib import Path

import numpy as np
import pytest

from plmlight.text.vectors import read_vectors, write_vectors

WORDS = ["the", "naïve", "中文"]
VECTORS = np.array([[0.5, -1.25, 3e-8], [1 / 3, 2.0, 0.0], [7.0, 1e9, -0.1]], np.float32)


@pytest.mark.parametrize("suffix", ["vec", "bin", "txt"])
def test_what_is_written_is_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write_vectors(path, WORDS, VECTORS)
    words, vectors = read_vectors(path)
    assert words == WORDS
    assert np.array_equal(vectors, VECTORS) if suffix == "bin" else np.allclose(vectors, VECTORS, rtol=1e-7)


def test_the_formats_are_those_of_the_programs(tmp_path: Path) -> None:
    for suffix in ("vec", "bin", "txt"):
        write_vectors(tmp_path / f"a.{suffix}", ["a", "b"], np.array([[0.5, 2.0], [1.0, -1.0]], np.float32))
    assert (tmp_path / "a.vec").read_text() == "2 2\na 0.5 2\nb 1 -1\n"
    assert (tmp_path / "a.txt").read_text() == "a 0.5 2\nb 1 -1\n"
    rows = [np.array(row, "<f4").tobytes() for row in ([0.5, 2.0], [1.0, -1.0])]
    assert (tmp_path / "a.bin").read_bytes() == b"2 2\na " + rows[0] + b"\nb " + rows[1] + b"\n"


def test_a_binary_file_needs_no_line_ends(tmp_path: Path) -> None:
    row = np.array([0.5, 2.0], "<f4").tobytes()
    (tmp_path / "a.bin").write_bytes(b"2 2\na " + row + b"b " + row)
    assert read_vectors(tmp_path / "a.bin")[0] == ["a", "b"]


def test_an_array_with_a_table_of_words(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    np.save(tmp_path / "a.npy", VECTORS)
    parquet.write_table(pyarrow.table({"index": WORDS}), tmp_path / "a.parquet")
    assert read_vectors(tmp_path)[0] == WORDS
    parquet.write_table(pyarrow.table({"word": WORDS, "row": [2, 0, 1]}), tmp_path / "a.parquet")
    words, vectors = read_vectors(tmp_path)
    assert words == ["naïve", "中文", "the"]
    assert np.array_equal(vectors, VECTORS)
    parquet.write_table(pyarrow.table({"index": WORDS[:2]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"a.parquet: has rows of 2 words, a.npy is \[3, 3\]"):
        read_vectors(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.vec", "3 2\na 1 2\nb 3 4\n", r"a.vec:3: ends after 2 words, line 1 speaks of 3"),
        ("a.vec", "1 2\na 1 2\nb 3 4\n", r"a.vec:3: more than the 1 words that line 1 speaks of"),
        ("a.vec", "2 2\na 1 2\nb 3\n", r"a.vec:3: has 1 numbers, expected 2"),
        ("a.txt", "a 1 2\nb 3 x\n", r"a.txt:2: 'x' is not one of 2 numbers"),
        ("a.vec", "2 2\na 1 2\nb 3 4 5\n", r"a.vec:3: has 3 numbers, expected 2 as in line 1"),
        ("a.txt", "a 1 2\nb c 3 4\nd 3 4 5 6\n", r"a.txt:3: has 4 numbers, expected 2"),
        ("a.txt", "a 1 2\nb nan 2\n", r"a.txt: the vector of 'b' has a number that is not finite"),
        ("a.txt", "a 1 2\na 3 4\n", r"a.txt:2: the word 'a' stands there a second time"),
        ("a.txt", "", r"a.txt:1: expected a word and its numbers"),
        ("a.bin", "2 2\na 12345678", r"a.bin: ends in word 2, the header speaks of 2 of 2 numbers"),
        ("a.bin", "1 2\na 12345678\nmore", r"a.bin: goes on after the 1 words of 2 numbers"),
        ("a.bin", "what", r"a.bin:1: expected the number of words and their dimension"),
        ("a.csv", "a 1 2", r"a.csv: not a file of word vectors by its name"),
    ],
)
def test_a_file_that_is_wrong_is_said_where(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_vectors(tmp_path / name)


def test_a_word_with_white_space_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the word 'a b' cannot be written"):
        write_vectors(tmp_path / "a.txt", ["a b"], VECTORS[:1])
    assert not (tmp_path / "a.txt").exists()
