"""What a metric gives: numbers that can be computed again on a sample of the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plmlight.evaluation.significance import Statistic

Advance = Callable[[int, int], None]
"""Is told how much is done, and of how much."""


@dataclass(frozen=True)
class Measurement:
    """One model on one data set.

    Attributes:
        statistics: by name, the most important first.
        units: what is drawn for the intervals: ``documents``, ``blocks`` or ``pairs``.
        count: how many there are.
        facts: what was counted, such as tokens.
    """

    statistics: Mapping[str, Statistic]
    units: str
    count: int
    facts: Mapping[str, int]


def ratio(total: NDArray[np.float64], count: NDArray[np.int64], scale: float | None = None) -> Statistic:
    """The sum of one thing over the sum of another.

    Args:
        total: of each unit, [N].
        count: of each unit, [N].
        scale: what the ratio is multiplied with; None for its exponential.

    Returns:
        The statistic.
    """

    def statistic(indices: NDArray[np.int64]) -> NDArray[np.float64]:
        counts = count[indices].sum(-1)
        found = total[indices].sum(-1) / np.where(counts > 0, counts, np.nan)
        return np.asarray(np.exp(found) if scale is None else found * scale)

    return statistic


def cross_entropy(logits: NDArray[np.float32], wanted: NDArray[np.int64] | Sequence[int]) -> NDArray[np.float64]:
    """Minus the natural logarithm of the probability of a token in each row.

    Args:
        logits: [N, V].
        wanted: the tokens, [N].

    Returns:
        [N], in double precision.
    """
    wide = logits.astype(np.float64)
    largest = wide.max(-1, keepdims=True)
    normaliser = np.log(np.exp(wide - largest).sum(-1)) + largest[:, 0]
    return np.asarray(normaliser - wide[np.arange(len(wanted)), np.asarray(wanted)])
