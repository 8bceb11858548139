"""What can be asked of static vectors of words."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.text.vectors import UNKNOWN


@dataclass(frozen=True)
class Neighbour:
    """A word and how near it is.

    Attributes:
        word: the word.
        score: the cosine.
    """

    word: str
    score: float


class WordSpace:
    """Words and their vectors.

    Args:
        words: [N], each once, the most frequent first where that is known.
        vectors: [N, D].

    Raises:
        ValueError: when there are not as many vectors as words, or none.
    """

    def __init__(self, words: Sequence[str], vectors: NDArray[np.float32]) -> None:
        if len(words) != len(vectors) or not len(words):
            raise ValueError(f"there are {len(words)} words and {len(vectors)} vectors; expected as many, at least one")
        self.words, self.vectors = list(words), vectors
        self.places = {word: place for place, word in enumerate(self.words)}

    @cached_property
    def directions(self) -> NDArray[np.float32]:
        """The vectors at length 1 [N, D]; those of length 0 stay."""
        lengths = np.linalg.norm(self.vectors, axis=1, keepdims=True)
        found: NDArray[np.float32] = (self.vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
        return found

    def place(self, word: str) -> int:
        """Where a word stands.

        Args:
            word: as it is written in the vocabulary.

        Returns:
            Its place.

        Raises:
            ValueError: when it is not in the vocabulary, with the nearest spelling.
        """
        if word not in self.places:
            raise ValueError(f"the word {word!r} is not in the vocabulary of {len(self.words):,}{self._spelling(word)}")
        return self.places[word]

    def _spelling(self, word: str) -> str:
        if word.lower() in self.places:
            return f"; did you mean {word.lower()!r}?"
        # the whole of a large vocabulary would take seconds
        near = [other for other in self.words if abs(len(other) - len(word)) < 3 and other[:1] == word[:1].lower()]
        close = difflib.get_close_matches(word.lower(), near, n=1, cutoff=0.6)
        return f"; did you mean {close[0]!r}?" if close else ""

    def embed(self, words: Sequence[str]) -> NDArray[np.float32]:
        """The vectors of words.

        Args:
            words: [n].

        Returns:
            [n, D].

        Raises:
            ValueError: for a word that is not in the vocabulary, or a text instead of words.
        """
        if isinstance(words, str):
            raise ValueError("a list of words was expected: put brackets around the one word")
        return self.vectors[[self.place(word) for word in words]]

    def similarity(self, first: str, second: str) -> float:
        """The cosine of two words.

        Args:
            first: a word.
            second: another.

        Raises:
            ValueError: for a word that is not in the vocabulary.
        """
        return float(self.directions[self.place(first)] @ self.directions[self.place(second)])

    def nearest(self, word: str, top_k: int = 10) -> list[Neighbour]:
        """The words of the most similar vectors, without the word itself.

        Args:
            word: a word.
            top_k: how many.

        Raises:
            ValueError: for a word that is not in the vocabulary, or less than one neighbour.
        """
        place = self.place(word)
        return self._nearest(self.directions[place], [place], top_k)

    def analogy(self, a: str, b: str, c: str, top_k: int = 10) -> list[Neighbour]:
        """What is to ``c`` as ``b`` is to ``a`` (3CosAdd; Mikolov et al. 2013, N13-1090), without these three.

        Args:
            a: ``man``, say.
            b: ``king``.
            c: ``woman``.
            top_k: how many.

        Raises:
            ValueError: for a word that is not in the vocabulary, or less than one answer.
        """
        places = [self.place(word) for word in (a, b, c)]
        first, second, third = self.directions[places]
        wanted = second - first + third
        return self._nearest(wanted / max(float(np.linalg.norm(wanted)), 1e-12), places, top_k)

    def _nearest(self, direction: NDArray[np.float32], without: list[int], top_k: int) -> list[Neighbour]:
        if top_k < 1:
            raise ValueError(f"top_k {top_k} must be at least 1")
        cosines = self.directions @ direction
        cosines[without] = -np.inf
        count = min(top_k, len(cosines) - len(set(without)))
        best = np.argsort(-cosines, kind="stable")[:count]
        return [Neighbour(self.words[place], float(cosines[place])) for place in best]


def vocabulary_of(tokenizer: Tokenizer) -> tuple[list[str], NDArray[np.int64]]:
    """The words that a tokenizer of words knows, in the order of their ids, without ``<unk>``.

    Args:
        tokenizer: of whole words.

    Returns:
        The words, and their ids [N].
    """
    listed = sorted((id_, word) for word, id_ in tokenizer.get_vocab().items() if word != UNKNOWN)
    return [word for _, word in listed], np.array([id_ for id_, _ in listed], np.int64)
