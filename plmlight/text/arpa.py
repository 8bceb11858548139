"""The text format of back-off language models that SRILM, KenLM and others read and write (ARPA)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit

from plmlight.text.files import replace_file
from plmlight.text.tokenizers import document_separator, vocabulary_size

START, END, UNKNOWN = "<s>", "</s>", "<unk>"
NEVER = -99.0
"""What stands for the logarithm of no probability, that of ``<s>`` above all."""

_ROWS = 1 << 16
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Ngrams:
    """The n-grams of one length k, each once, sorted by their words' places.

    Attributes:
        ids: [N, k], int32, the words' places in `Arpa.words`.
        log_probabilities: [N], logarithms to base 10.
        log_backoffs: [N], the same; 0 where the file has none.
    """

    ids: NDArray[np.int32]
    log_probabilities: NDArray[np.float64]
    log_backoffs: NDArray[np.float64]


@dataclass(frozen=True)
class Arpa:
    """A back-off language model.

    Attributes:
        words: each once; `START` is among them where n-grams begin with it.
        levels: the n-grams of each length from 1.
        source: where it came from, for messages.
    """

    words: list[str]
    levels: list[Ngrams]
    source: str = "ARPA model"


def token_names(tokenizer: Tokenizer) -> list[str]:
    """What a tokenizer's tokens are called in such a file: words without spaces, ``</s>`` for what ends a document.

    Args:
        tokenizer: the tokenizer.

    Returns:
        A name for each id; bytes of white space are written like ``<0x20>``.

    Raises:
        ValueError: when two tokens would have one name.
    """
    separator = document_separator(tokenizer)
    names = []
    for id_ in range(vocabulary_size(tokenizer)):
        token = tokenizer.id_to_token(id_)
        name = f"<unused{id_}>" if token is None else re.sub("[ \t\r\n]", lambda m: f"<0x{ord(m[0]):02X}>", token)
        names.append(END if id_ == separator else name or "<empty>")
    places: dict[str, int] = {}
    for id_, name in enumerate(names):
        if name in places:
            raise ValueError(f"tokens {places[name]} and {id_} would both be called {name!r} in an ARPA file")
        places[name] = id_
    return names


def word_tokenizer(words: Sequence[str]) -> Tokenizer:
    """A tokenizer whose tokens are the words between white space.

    Args:
        words: of the ids; one of them may be ``<unk>``, which stands for any other word.

    Returns:
        The tokenizer.
    """
    vocabulary = {word: id_ for id_, word in enumerate(words)}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.add_special_tokens([word for word in (UNKNOWN, END) if word in vocabulary])
    return tokenizer


def with_unknown(arpa: Arpa) -> Arpa:
    """A model that can read any word.

    Args:
        arpa: the model.

    Returns:
        It, with ``<unk>`` among its words: never predicted where the model knew no such word.
    """
    if UNKNOWN in arpa.words:
        return arpa
    one = arpa.levels[0]
    more = Ngrams(
        np.append(one.ids, np.array([[len(arpa.words)]], one.ids.dtype), axis=0),
        np.append(one.log_probabilities, NEVER),
        np.append(one.log_backoffs, 0.0),
    )
    return Arpa([*arpa.words, UNKNOWN], [more, *arpa.levels[1:]], arpa.source)


def write_arpa(arpa: Arpa, path: str | Path) -> None:
    """Writes a model, with the nine digits that give each 32-bit number back.

    Args:
        arpa: the model.
        path: the file; replaced in one go.
    """
    with replace_file(path, "w") as handle:
        handle.write("\\data\\\n")
        handle.writelines(f"ngram {k}={len(level.ids)}\n" for k, level in enumerate(arpa.levels, 1))
        for k, level in enumerate(arpa.levels, 1):
            handle.write(f"\n\\{k}-grams:\n")
            for first in range(0, len(level.ids), _ROWS):
                rows = slice(first, first + _ROWS)
                words = [" ".join([arpa.words[i] for i in ids]) for ids in level.ids[rows].tolist()]
                ends = [""] * len(words)
                if k < len(arpa.levels):
                    ends = [f"\t{share:.9g}" for share in level.log_backoffs[rows]]
                found = zip(level.log_probabilities[rows], words, ends, strict=True)
                handle.writelines(f"{score:.9g}\t{word}{end}\n" for score, word, end in found)
        handle.write("\n\\end\\\n")


def read_arpa(path: str | Path) -> Arpa:
    """Reads a model.

    Args:
        path: the file, UTF-8.

    Returns:
        The model; the words are in the order of the file.

    Raises:
        ValueError: for a file that is no such model, naming the line: a wrong count, a malformed line, a word that is
            not among the single words, an n-gram that is there twice, or whose beginning is not there.
    """
    with open(path, encoding="utf-8", newline="\n") as handle:
        try:
            return _Reader(path, enumerate(handle, 1)).read()
        except UnicodeDecodeError as error:
            raise ValueError(f"{path}: not a text file in UTF-8 (byte {error.start} of a part)") from None


class _Reader:
    """Reads a file line by line, and knows where it is."""

    def __init__(self, path: str | Path, lines: Iterator[tuple[int, str]]) -> None:
        self.path, self.lines = path, lines
        self.at = 0
        self.words: dict[str, int] = {}
        self.keys: list[NDArray[np.int64]] = []  # of each length, sorted: (number of the beginning) * words + last word

    def fail(self, reason: str, line: int | None = None) -> NoReturn:
        raise ValueError(f"{self.path}: line {self.at if line is None else line}: {reason}")

    def next(self) -> str:
        """The next line that is not empty."""
        text = ""
        while not text:
            self.at, line = next(self.lines, (self.at, None))
            if line is None:
                self.fail("the file is empty" if not self.at else "the file ends here, expected \\end\\")
            text = line.strip(" \t\r\n")
        return text

    def read(self) -> Arpa:
        if (text := self.next()) != "\\data\\":
            self.fail(f"expected \\data\\, as an ARPA file begins, found {text[:40]!r}")
        sizes: list[int] = []
        while (text := self.next()).startswith("ngram"):
            found = re.fullmatch(r"ngram +(\d+) *= *(\d+)", text)
            if found is None or int(found[1]) != len(sizes) + 1:
                self.fail(f"expected 'ngram {len(sizes) + 1}=COUNT', found {text[:40]!r}")
            sizes.append(int(found[2]))
        if not sizes:
            self.fail(f"expected 'ngram 1=COUNT', found {text[:40]!r}")
        levels = []
        for k, size in enumerate(sizes, 1):
            if text != f"\\{k}-grams:":
                self.fail(f"expected '\\{k}-grams:', found {text[:40]!r}")
            level, text = self.level(k, size, k == len(sizes))
            levels.append(level)
        if text != "\\end\\":
            self.fail(f"expected \\end\\, found {text[:40]!r}")
        return Arpa(list(self.words), levels, str(self.path))

    def level(self, k: int, size: int, last: bool) -> tuple[Ngrams, str]:
        """The n-grams of one length, and the line after them."""
        ids, scores, shares, lines = [], [], [], []
        while not (text := self.next()).startswith("\\"):
            fields = _SPACES.split(text)
            if len(fields) not in ((k + 1,) if last else (k + 1, k + 2)):
                self.fail(f"expected a logarithm, {k} words{'' if last else ' and perhaps a back-off'}: {text[:60]!r}")
            try:
                scores.append(float(fields[0]))
                shares.append(float(fields[k + 1]) if len(fields) > k + 1 else 0.0)
            except ValueError:
                self.fail(f"expected a number before and after the words: {text[:60]!r}")
            if not (scores[-1] <= 0 and abs(shares[-1]) < np.inf):
                self.fail(f"{fields[0]} is not the logarithm of a probability, which is at most 0")
            if k == 1:
                self.words.setdefault(fields[1], len(self.words))
            try:
                ids.append([self.words[word] for word in fields[1 : k + 1]])
            except KeyError as error:
                self.fail(f"the word {error.args[0]!r} is not among the 1-grams")
            lines.append(self.at)
        if len(ids) != size:
            self.fail(f"{len(ids)} {k}-grams stand before this line, but the header says {size}")
        return self.ordered(np.array(ids, dtype=np.int32).reshape(-1, k), scores, shares, lines), text

    def ordered(self, ids: NDArray[np.int32], scores: list[float], shares: list[float], lines: list[int]) -> Ngrams:
        """Sorts n-grams, each of which must continue one that is there."""
        number = np.zeros(len(ids), dtype=np.int64)
        for keys, column in zip(self.keys, ids.T[:-1], strict=True):
            wanted = number * len(self.words) + column
            number = np.minimum(np.searchsorted(keys, wanted), max(0, len(keys) - 1))
            missing = np.flatnonzero(keys[number] != wanted) if len(keys) else np.arange(len(ids))
            if len(missing):
                beginning = self.spelled(ids[missing[0], :-1])
                self.fail(
                    f"{self.spelled(ids[missing[0]])!r} goes on from {beginning!r}, which is not there",
                    lines[missing[0]],
                )
        keys = number * len(self.words) + ids[:, -1]
        order = np.argsort(keys, kind="stable")
        twice = np.flatnonzero(keys[order][1:] == keys[order][:-1])
        if len(twice):
            place = order[twice[0] + 1]
            self.fail(f"{self.spelled(ids[place])!r} is there for the second time", lines[place])
        self.keys.append(keys[order])
        return Ngrams(ids[order], np.array(scores)[order], np.array(shares)[order])

    def spelled(self, ids: NDArray[np.int32]) -> str:
        words = list(self.words)
        return " ".join(words[i] for i in ids)
