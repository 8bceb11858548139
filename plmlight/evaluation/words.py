"""Word vectors against what people say of words: similarity, and analogies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plmlight.data.lines import lines
from plmlight.data.sources import Source
from plmlight.decoding import WordSpace
from plmlight.evaluation.measurement import Measurement, ratio
from plmlight.metrics.ranking import correlations

_AT_ONCE = 256  # questions


@dataclass(frozen=True)
class WordPair:
    """Two words and how alike people found them."""

    first: str
    second: str
    score: float


def read_word_pairs(path: str | Path) -> list[WordPair]:
    """Reads a set of word pairs.

    Args:
        path: a line a pair, two words and a number with white space between them; ``#`` begins a comment.

    Returns:
        The pairs.

    Raises:
        ValueError: for a line that is no pair, naming it, or when there is none.
    """
    found = []
    for number, line in enumerate(lines(Source(str(path), "text")), 1):
        fields = line.split()
        if not fields or fields[0].startswith("#"):
            continue
        try:
            first, second, score = fields
            found.append(WordPair(first, second, float(score)))
        except ValueError:
            raise ValueError(f"{path}:{number}: expected two words and a number, got {line[:40]!r}") from None
    if not found:
        raise ValueError(f"{path}: holds no pair")
    return found


def read_analogies(path: str | Path) -> dict[str, list[tuple[str, str, str, str]]]:
    """Reads analogies.

    Args:
        path: in the format of questions-words.txt: ``: section`` and below it four words a line.

    Returns:
        The questions of each section.

    Raises:
        ValueError: for a line that is no question, naming it, or when there is none.
    """
    found: dict[str, list[tuple[str, str, str, str]]] = {}
    section = ""
    for number, line in enumerate(lines(Source(str(path), "text")), 1):
        fields = line.split()
        if fields[:1] == [":"]:
            section = " ".join(fields[1:])
        elif len(fields) == 4:
            found.setdefault(section, []).append((fields[0], fields[1], fields[2], fields[3]))
        elif fields:
            raise ValueError(f"{path}:{number}: expected ': section' or four words, got {line[:40]!r}")
    if not found:
        raise ValueError(f"{path}: holds no analogy")
    return found


def is_analogies(path: str | Path) -> bool:
    """Whether a file holds analogies rather than pairs: by its first line that is not empty."""
    first = next((line.split() for line in lines(Source(str(path), "text")) if line.strip()), [])
    return first[:1] == [":"] or len(first) == 4


class _Lookup:
    """Finds words as they are written, else in lower case.

    Args:
        space: the words.
        limit: look only among so many of the first, the most frequent ones.
    """

    def __init__(self, space: WordSpace, limit: int | None) -> None:
        self.space, self.limit = space, limit or len(space.words)

    def __call__(self, words: Iterable[str]) -> list[int] | None:
        """The places of words, None where one is missing."""
        found = [self.space.places.get(word, self.space.places.get(word.lower(), self.limit)) for word in words]
        return found if max(found) < self.limit else None


def measure_words(space: WordSpace, path: str | Path, limit: int | None = None) -> Measurement:
    """Measures word vectors on a file of pairs or of analogies.

    Args:
        space: the words.
        path: see `read_word_pairs` and `read_analogies`.
        limit: use only so many of the first words, which in most files are the most frequent ones.

    Returns:
        Of pairs ``similarity``, the rank correlation of cosines with scores, and ``pearson``; of analogies ``accuracy``
        (3CosAdd, without the three given words) and that of each section; of what the vocabulary covers, which is told.

    Raises:
        ValueError: when the file cannot be read, or the vocabulary covers less than two pairs or no question.
    """
    return _analogies(space, path, limit) if is_analogies(path) else _similarity(space, path, limit)


def _similarity(space: WordSpace, path: str | Path, limit: int | None) -> Measurement:
    pairs, lookup = read_word_pairs(path), _Lookup(space, limit)
    found = [(places, pair.score) for pair in pairs if (places := lookup((pair.first, pair.second))) is not None]
    if len(found) < 2:
        raise ValueError(f"{path}: the vocabulary covers {len(found)} of its {len(pairs)} pairs")
    at = np.array([each for each, _ in found])
    cosines = (space.directions[at[:, 0]].astype(np.float64) * space.directions[at[:, 1]]).sum(1)
    measured = correlations(cosines, np.array([score for _, score in found]))
    statistics = {"similarity": measured["spearman"], "pearson": measured["pearson"]}
    return Measurement(statistics, "pairs", len(found), {"pairs covered": len(found), "pairs": len(pairs)})


def _analogies(space: WordSpace, path: str | Path, limit: int | None) -> Measurement:
    sections, lookup = read_analogies(path), _Lookup(space, limit)
    asked = [(name, places) for name, each in sections.items() for q in each if (places := lookup(q)) is not None]
    total = sum(map(len, sections.values()))
    if not asked:
        raise ValueError(f"{path}: the vocabulary covers none of its {total} questions")
    right = _answered(space.directions[: lookup.limit], np.array([each for _, each in asked]))
    statistics = {"accuracy": ratio(right, np.ones(len(right), np.int64), 1.0)}
    for name in sections:
        inside = np.array([section == name for section, _ in asked])
        if inside.any():
            statistics[name] = ratio(right * inside, inside.astype(np.int64), 1.0)
    facts = {"questions covered": len(asked), "questions": total}
    return Measurement(statistics, "questions", len(asked), facts)


def _answered(vectors: NDArray[np.float32], questions: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 for each question whose answer is found, else 0 [N]."""
    right = np.zeros(len(questions))
    for first in range(0, len(questions), _AT_ONCE):
        asked = questions[first : first + _AT_ONCE]
        wanted = vectors[asked[:, 1]] - vectors[asked[:, 0]] + vectors[asked[:, 2]]
        cosines = wanted @ vectors.T
        for column in range(3):
            cosines[np.arange(len(asked)), asked[:, column]] = -np.inf
        right[first : first + _AT_ONCE] = cosines.argmax(1) == asked[:, 3]
    return right
