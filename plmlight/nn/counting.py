"""Counts of n-grams, and the probabilities that Kneser and Ney make of them: sorted keys, no loop over n-grams.

The n-grams of each length are numbered in the order of their tokens, and so are the leaves and the inner places of a
trie: those that continue the same n-gram stand beside each other. Token V, one more than the largest id, is ``<s>``,
which stands before a document, and nothing before it is looked at.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

Ints = NDArray[np.integer[Any]]
Floats = NDArray[np.float64]

_CHUNK = 1 << 22
"""Tokens whose n-grams are sorted at once: 32 MB of keys."""

FALLBACK = (0.5, 1.0, 1.5)
"""The discounts where the corpus is too small to estimate them, for counts of 1, 2, and 3 or more."""


class Counted(ABC):
    """What a network is that is counted in one pass, where others are differentiated; it brings its own head."""

    @abstractmethod
    def count(self, batch: Mapping[str, Tensor]) -> None:
        """Takes note of a batch.

        Args:
            batch: ``input_ids`` and ``labels`` [B, T], the tokens after them; ``attention_mask`` [B, T] unless nothing
                is padded; ``sample_ids`` [B]. Each row goes on where the one before stopped.

        Raises:
            ValueError: when it does not.
        """

    @abstractmethod
    def estimate(self, boundaries: Sequence[int]) -> None:
        """Makes the model of all that was counted, and forgets the counts.

        Args:
            boundaries: the ids that stand between documents.

        Raises:
            ValueError: when nothing was counted.
        """

    @abstractmethod
    def head(self) -> Any:
        """What gives the scores [..., V] and the loss of hidden states, as `plmlight.heads.LMHead` does."""


def cannot_go_on(network: Counted, path: object) -> str:
    """What is said to those who would go on with a checkpoint.

    Args:
        network: what was to be counted.
        path: the checkpoint.

    Returns:
        One line.
    """
    return f"{path}: {type(network).__name__} is counted in one pass, which cannot go on: leave out --ckpt_path"


@dataclass(frozen=True)
class Counts:
    """The n-grams of one length k that were seen, each once, in the order of their tokens.

    Attributes:
        starts: [N_{k-1}+1], where those that continue each shorter n-gram start, and N_k; for single tokens [0, V+1].
        words: [N_k], the last token.
        counts: [N_k], how often each was seen.
        suffixes: [N_k], the number of the n-gram without its first token; zeros for single tokens.
    """

    starts: Ints
    words: Ints
    counts: Ints
    suffixes: Ints

    @property
    def parents(self) -> Ints:
        """[N_k], the number of the n-gram without its last token."""
        return np.repeat(np.arange(len(self.starts) - 1, dtype=np.int64), np.diff(self.starts))


@dataclass(frozen=True)
class Estimates:
    """What is estimated for the n-grams of one length.

    Attributes:
        log_probabilities: [N_k], natural logarithms, of the last token after the ones before; not a number's worth for
            ``<s>``, which nothing predicts: minus infinity.
        log_backoffs: [N_k], the share that a context leaves to the shorter one; 0 where nothing was seen after it.
        discounts: what is taken from counts of 1, of 2, and of 3 or more.
    """

    log_probabilities: Floats
    log_backoffs: Floats
    discounts: tuple[float, float, float]


def count_ngrams(tokens: Ints, vocab_size: int, order: int, chunk: int = _CHUNK) -> list[Counts]:
    """Counts all n-grams up to a length.

    Args:
        tokens: [N], ids from 0 to V, where V is ``<s>`` and stands before each document.
        vocab_size: V.
        order: the greatest length.
        chunk: tokens that are sorted at once: what else is in memory is 8 bytes a token, and the n-grams.

    Returns:
        The counts for each length from 1.
    """
    rows = vocab_size + 1
    words = tokens.astype(np.int32)
    found = [
        Counts(np.array([0, rows]), np.arange(rows), np.bincount(words, minlength=rows), np.zeros(rows, dtype=np.int32))
    ]
    before: Ints = words  # the number of the n-gram, one shorter, that ends at each token; -1 for none
    for _ in range(1, order):
        counts, before = _longer(words, before, rows, len(found[-1].words), chunk)
        found.append(counts)
    return found


def _longer(words: Ints, before: Ints, rows: int, shorter: int, chunk: int) -> tuple[Counts, Ints]:
    """The n-grams that are one longer than those that end at each token, and which of them end there."""
    numbers = np.full(len(words), -1, dtype=np.int32)
    pieces: list[tuple[Ints, Ints]] = []  # sorted keys and counts of each chunk
    for start in range(1, len(words), chunk):
        at = slice(start, start + chunk)
        parents = before[start - 1 : min(start + chunk, len(words)) - 1]
        valid = np.flatnonzero((words[at] != rows - 1) & (parents >= 0))
        keys = parents[valid].astype(np.int64) * rows + words[at][valid]
        unique, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        numbers[at][valid] = inverse  # within the chunk, until all chunks are there
        pieces.append((unique, counts))
    keys, inverse = np.unique(np.concatenate([np.zeros(0, np.int64), *(p[0] for p in pieces)]), return_inverse=True)
    totals = np.zeros(len(keys), dtype=np.int64)
    done = 0
    for start, (unique, counts) in zip(range(1, len(words), chunk), pieces, strict=True):
        place = inverse[done : done + len(unique)]
        done += len(unique)
        totals[place] += counts  # within a chunk no key is there twice
        mine = numbers[start : start + chunk]
        valid = np.flatnonzero(mine >= 0)
        mine[valid] = place[mine[valid]]
    suffixes = np.zeros(len(keys), dtype=np.int32)
    ends = np.flatnonzero(numbers >= 0)
    suffixes[numbers[ends]] = before[ends]
    starts = np.concatenate([[0], np.cumsum(np.bincount(keys // rows, minlength=shorter))])
    return Counts(starts, (keys % rows).astype(np.int32), totals, suffixes), numbers


def kneser_ney(levels: Sequence[Counts], modified: bool = True) -> list[Estimates]:
    """Interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999).

    The longest n-grams keep their counts. Of shorter ones it is counted how many different tokens were seen before
    them, but those that begin with ``<s>``, before which there is nothing, keep theirs too. A context's probabilities
    are its discounted shares and, for what the discounts left over, those of the context without its first token;
    below single tokens all are equally likely.

    Args:
        levels: what `count_ngrams` gave, of at least one token.
        modified: three discounts, for counts of 1, of 2, and of 3 or more (Chen and Goodman 1999); else one. Where
            they cannot be estimated, as no n-gram of the length has one of the counts that the formula needs, or come
            out below zero, they are 0.5, 1 and 1.5, and the one is 0.5.

    Returns:
        The estimates for each length.
    """
    adjusted = [_adjusted(level, levels[k + 1] if k + 1 < len(levels) else None) for k, level in enumerate(levels)]
    adjusted[0][-1] = 0  # <s> is never predicted
    found: list[Estimates] = []
    lower: Floats = np.full(1, 1 / (len(levels[0].words) - 1))
    probabilities, shares, discounts = [], [], []
    for level, counts in zip(levels, adjusted, strict=True):
        discount = _discounts(counts, modified)
        taken = np.array([0.0, *discount])[np.minimum(counts, 3)]
        parents, size = level.parents, len(level.starts) - 1
        totals = np.maximum(np.bincount(parents, counts, size), 1)
        share = np.bincount(parents, taken, size) / totals
        lower = (counts - taken) / totals[parents] + share[parents] * lower[level.suffixes]
        probabilities.append(lower)
        shares.append(np.where(np.diff(level.starts) > 0, share, 1.0))
        discounts.append(discount)
    probabilities[0][-1] = 0
    shares = [*shares[1:], np.ones(len(lower))]
    with np.errstate(divide="ignore"):
        for probability, share, discount in zip(probabilities, shares, discounts, strict=True):
            found.append(Estimates(np.log(probability), np.log(share), discount))
    return found


def _adjusted(level: Counts, longer: Counts | None) -> Ints:
    """How many different tokens were seen before each n-gram; the count itself where there can be none."""
    if longer is None:
        return level.counts.copy()
    before = np.bincount(longer.suffixes, minlength=len(level.counts))
    return np.where(before > 0, before, level.counts)


def _discounts(counts: Ints, modified: bool) -> tuple[float, float, float]:
    once, twice, thrice, four = (int(n) for n in np.bincount(np.minimum(counts, 5), minlength=6)[1:5])
    if not once or not twice or (modified and not thrice):
        return FALLBACK if modified else (FALLBACK[0],) * 3
    y = once / (once + 2 * twice)
    if not modified:
        return (y,) * 3
    found = (1 - 2 * y * twice / once, 2 - 3 * y * thrice / twice, 3 - 4 * y * four / thrice)
    return found if min(found) > 0 else FALLBACK
