"""How sure a measured number is: the bootstrap (Efron 1979; for comparing two systems Koehn 2004, W04-3250)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Statistic = Callable[[NDArray[np.int64]], NDArray[np.float64]]
"""Computes a number from the units of a data set: indices [R, N] of R samples of the N units to R numbers."""

_ELEMENTS = 1 << 21
"""Indices that are drawn at once: 16 MB."""


@dataclass(frozen=True)
class Estimate:
    """A number and where it may lie.

    Attributes:
        value: on the data as they are.
        low: the lower end of the interval.
        high: its upper end.
    """

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """How much one model differs from another on the same units.

    Attributes:
        difference: the model's value less the baseline's, with its interval.
        p_value: two-sided: how often the sign of a sample's difference would contradict the one found.
    """

    difference: Estimate
    p_value: float


@dataclass(frozen=True)
class Bootstrap:
    """How the units of a data set are drawn again.

    Args:
        samples: how many times all N of them are drawn with replacement; 0 for no intervals.
        confidence: how much of the samples an interval holds.
        seed: of the draws.
    """

    samples: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        if self.samples < 0:
            raise ValueError(f"samples must be at least 0, not {self.samples}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence must lie between 0 and 1, not {self.confidence}")


def estimate(statistic: Statistic, units: int, bootstrap: Bootstrap | None = None) -> Estimate:
    """A number with its percentile bootstrap interval.

    Args:
        statistic: computes it.
        units: N, how many units (documents, pairs) there are.
        bootstrap: how they are drawn.

    Returns:
        The number. Without samples, or with less than two units, the interval is not known: NaN.
    """
    bootstrap = bootstrap or Bootstrap()
    return _summary(_whole(statistic, units), _draw([statistic], units, bootstrap)[0], bootstrap.confidence)


def compare(model: Statistic, baseline: Statistic, units: int, bootstrap: Bootstrap | None = None) -> Comparison:
    """The paired bootstrap: both numbers are computed on the same samples of the units.

    Args:
        model: computes the one.
        baseline: computes the other.
        units: N; unit i must be the same for both.
        bootstrap: how they are drawn.

    Returns:
        The difference, and its p-value, which is never below what so many samples can show.
    """
    bootstrap = bootstrap or Bootstrap()
    ours, theirs = _draw([model, baseline], units, bootstrap)
    draws = ours - theirs
    difference = _summary(_whole(model, units) - _whole(baseline, units), draws, bootstrap.confidence)
    known = draws[~np.isnan(draws)]
    if not len(known):
        return Comparison(difference, float("nan"))
    tail = min((known <= 0).sum(), (known >= 0).sum())
    return Comparison(difference, min(1.0, 2.0 * (int(tail) + 1) / (len(known) + 1)))


def _whole(statistic: Statistic, units: int) -> float:
    return float(statistic(np.arange(units)[None])[0])


def _draw(statistics: list[Statistic], units: int, bootstrap: Bootstrap) -> list[NDArray[np.float64]]:
    samples = bootstrap.samples if units > 1 else 0
    drawn = [[statistic(indices) for statistic in statistics] for indices in _samples(units, samples, bootstrap.seed)]
    return [np.concatenate([[], *(each[number] for each in drawn)]) for number in range(len(statistics))]


def _samples(units: int, samples: int, seed: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    at_once = max(1, _ELEMENTS // max(units, 1))
    for start in range(0, samples, at_once):
        yield random.integers(0, units, (min(at_once, samples - start), units))


def _summary(value: float, draws: NDArray[np.float64], confidence: float) -> Estimate:
    known = draws[~np.isnan(draws)]  # a sample of equal scores has no correlation
    if not len(known):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Estimate(value, float(low), float(high))
