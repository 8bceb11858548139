"""Precision, recall and F1 of spans: entities, words, roles."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plmlight.text.tagging import Scheme, TagSpan, spans_of

KindSpan = tuple[str, Hashable, Hashable]
"""What a span is, and where it begins and ends, in whatever unit."""


@dataclass(frozen=True)
class SpanCounts:
    """How many spans were there, were found, and both, of each sentence and kind.

    Attributes:
        kinds: K names, sorted.
        correct: [N, K], found just as they are there.
        found: [N, K].
        gold: [N, K], that are there.
    """

    kinds: tuple[str, ...]
    correct: NDArray[np.int64]
    found: NDArray[np.int64]
    gold: NDArray[np.int64]

    @classmethod
    def of(cls, gold: Sequence[Iterable[KindSpan]], found: Sequence[Iterable[KindSpan]]) -> SpanCounts:
        """Counts.

        Args:
            gold: the spans of each of N sentences.
            found: those that a model found in them.

        Returns:
            The counts; a span that is given twice counts once.

        Raises:
            ValueError: when there are not as many of the one as of the other.
        """
        if len(gold) != len(found):
            raise ValueError(f"{len(gold)} sentences have spans, but for {len(found)} some were found")
        pairs = [(set(right), set(guess)) for right, guess in zip(gold, found, strict=True)]
        kinds = sorted({kind for both in pairs for spans in both for kind, _, _ in spans})
        places = {kind: place for place, kind in enumerate(kinds)}
        counts = np.zeros((3, len(pairs), len(kinds)), dtype=np.int64)
        for number, (right, guess) in enumerate(pairs):
            for which, spans in enumerate((right & guess, guess, right)):
                for span in spans:
                    counts[which, number, places[span[0]]] += 1
        return cls(tuple(kinds), *counts)

    def names(self) -> list[str]:
        """What `statistic` knows: precision, recall and F1 of all, their means over kinds, and those of each kind."""
        return [f"{head}{name}{tail}" for head, tail in self._groups() for name in _MEASURES]

    def _groups(self) -> list[tuple[str, str]]:
        return [("", ""), ("macro_", ""), *(("", f"_{kind}") for kind in self.kinds if kind)]

    def statistic(self, name: str) -> Callable[[NDArray[np.int64]], NDArray[np.float64]]:
        """A measure of samples of the sentences.

        Args:
            name: one of `names`; ``f1`` is over all spans, ``macro_f1`` the mean over the kinds that a sample has.

        Returns:
            From indices [R, N] of R samples to R numbers, 0 to 100.

        Raises:
            ValueError: for a name that is not known.
        """
        if name not in self.names():
            raise ValueError(f"{name!r} is not a measure of spans; expected one of {', '.join(self.names())}")
        macro, rest = name.startswith("macro_"), name.removeprefix("macro_")
        measure, _, kind = rest.partition("_")
        columns = [self.kinds.index(kind)] if kind else list(range(len(self.kinds)))
        table = np.concatenate([part[:, columns] for part in (self.correct, self.found, self.gold)], 1)  # [N, 3 K]

        def of(indices: NDArray[np.int64]) -> NDArray[np.float64]:
            samples, size = indices.shape[0], len(table)
            flat = (indices + size * np.arange(samples)[:, None]).ravel()
            times = np.bincount(flat, minlength=samples * size).reshape(samples, size)  # [R, N]
            sums = (times.astype(np.float64) @ table).reshape(samples, 3, -1)  # [R, 3, K]
            if not macro:
                return _MEASURES[measure](*sums.sum(-1).T)
            each = _MEASURES[measure](*sums.transpose(1, 0, 2))  # [R, K]
            there = (sums[:, 1] + sums[:, 2]) > 0
            return _share((each * there).sum(-1) / 100, there.sum(-1))

        return of

    def scores(self) -> dict[str, float]:
        """All measures of the sentences as they are, 0 to 100, by name."""
        everything = np.arange(len(self.gold))[None]
        return {name: float(self.statistic(name)(everything)[0]) for name in self.names()}


def tag_counts(
    gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]], scheme: Scheme, strict: bool = False
) -> SpanCounts:
    """Counts the spans that tags mark.

    Args:
        gold: the tags of each sentence.
        found: those that a model gave.
        scheme: how both are written.
        strict: see `plmlight.text.tagging.spans_of`.

    Returns:
        The counts.
    """

    def spans(tags: Sequence[str]) -> list[TagSpan]:
        return spans_of(tags, scheme, strict)

    return SpanCounts.of([spans(tags) for tags in gold], [spans(tags) for tags in found])


def tag_accuracy(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> float:
    """How many words have the right tag, 0 to 100.

    Args:
        gold: the tags of each sentence.
        found: those that a model gave.

    Returns:
        0 where there is no word.
    """
    pairs = [pair for right, guess in zip(gold, found, strict=True) for pair in zip(right, guess, strict=True)]
    return 100 * sum(right == guess for right, guess in pairs) / max(1, len(pairs))


def _share(part: NDArray[np.float64], whole: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = 100 * part / np.maximum(whole, 1)
    return shares


_MEASURES: dict[str, Callable[..., NDArray[np.float64]]] = {
    "precision": lambda correct, found, gold: _share(correct, found),
    "recall": lambda correct, found, gold: _share(correct, gold),
    "f1": lambda correct, found, gold: _share(2 * correct, found + gold),
}
