"""How well classes, sets of labels and numbers were found, on any samples of a data set at once.

Each measure is a statistic of the units of a data set: indices [R, N] of R samples of N units to R numbers, as
`plmlight.evaluation.significance` draws them. A sample is told by how often each unit is in it, a matrix [R, N], so
that every sum over a sample is a product with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from plmlight.metrics.ranking import correlations

Indices = NDArray[np.int64]
Numbers = NDArray[np.float64]
Statistic = Callable[[Indices], Numbers]
BINS = 15
"""Of equal width, in which certainty is compared with accuracy."""


def on_all(statistics: dict[str, Statistic], units: int) -> dict[str, float]:
    """The measures of a data set as it is.

    Args:
        statistics: by name.
        units: N, how many units it has.

    Returns:
        The numbers by name, without those that are not known (the correlation of numbers that are all equal).
    """
    whole = np.arange(units)[None]
    values = {name: float(statistic(whole)[0]) for name, statistic in statistics.items()}
    return {name: value for name, value in values.items() if not np.isnan(value)}


@dataclass(frozen=True)
class Counts:
    """What was found of each class in R samples, and what there is to find.

    Attributes:
        hits: [R, L], how often a class was found where it is.
        found: [R, L], how often it was found.
        there: [R, L], how often it is there.
    """

    hits: Numbers
    found: Numbers
    there: Numbers

    @property
    def precision(self) -> Numbers:
        """Of each class [R, L], 0 to 1; 0 where it was never found."""
        return _ratio(self.hits, self.found)

    @property
    def recall(self) -> Numbers:
        """Of each class [R, L]; 0 where it is never there."""
        return _ratio(self.hits, self.there)

    @property
    def f1(self) -> Numbers:
        """The harmonic mean of both [R, L]."""
        return _ratio(2 * self.hits, self.found + self.there)

    @property
    def micro_f1(self) -> Numbers:
        """Over all classes together [R]."""
        return _ratio(2 * self.hits.sum(1), (self.found + self.there).sum(1))

    def macro(self, values: Numbers) -> Numbers:
        """The mean [R] over the classes that were found or are there."""
        seen = (self.found + self.there) > 0
        return _ratio((values * seen).sum(1), seen.sum(1))


def class_metrics(scores: Numbers, labels: Indices, names: Sequence[str] | None = None) -> dict[str, Statistic]:
    """The measures of a classifier that says one class of each text.

    Macro averages leave out classes that a sample neither has nor gets. ``mcc`` is Matthews' correlation for any number
    of classes (Gorodkin 2004), ``roc_auc`` the mean area over each class against the rest where a sample has both,
    ``calibration_error`` the expected one (Naeini et al. 2015, 15 bins of equal width by the best class's probability),
    ``brier`` half the squared distance of the probabilities from the truth (Brier 1950).

    Args:
        scores: [N, L], probabilities.
        labels: [N], the number of the right class.
        names: of the classes, for the measures of each of them (``f1_<name>``), where this is not the name of another
            measure, as ``f1_macro``; None for none of these.

    Returns:
        Statistics by name, 0 to 100; ``mcc`` from -100.
    """
    scores = np.asarray(scores, np.float64)
    labels = np.asarray(labels).astype(np.int64)
    best = scores.argmax(1)
    truth = np.eye(scores.shape[1])[labels]  # [N, L]
    said = np.eye(scores.shape[1])[best]
    right = (best == labels).astype(np.float64)
    halves = ((scores - truth) ** 2).sum(1) / 2
    certainty = scores.max(1)
    bins = np.eye(BINS)[np.minimum((certainty * BINS).astype(np.int64), BINS - 1)]  # [N, BINS]
    gap = bins * (certainty - right)[:, None]

    def mcc(indices: Indices) -> Numbers:
        counts = _count(indices, truth, said)
        units = indices.shape[1]
        together = counts.hits.sum(1) * units - (counts.found * counts.there).sum(1)
        spread = [units**2 - (side**2).sum(1) for side in (counts.found, counts.there)]
        return 100 * _ratio(together, np.sqrt(spread[0] * spread[1]))

    measures: dict[str, Statistic] = {
        "accuracy": lambda indices: 100 * right[indices].mean(1),
        **_averages(truth, said),
        "mcc": mcc,
        "roc_auc": lambda indices: 100 * _areas(_weights(indices, len(truth)), scores, truth),
        "calibration_error": lambda indices: (
            100 * np.abs(_weights(indices, len(truth)) @ gap).sum(1) / indices.shape[1]
        ),
        "brier": lambda indices: 100 * halves[indices].mean(1),
    }
    return measures | _of_each(truth, said, names or ()) | measures  # an average keeps its name


def label_metrics(
    scores: Numbers, labels: Numbers | Indices, thresholds: Numbers, names: Sequence[str] | None = None
) -> dict[str, Statistic]:
    """The measures of a classifier that says any number of labels of each text.

    Args:
        scores: [N, L], the probability of each label by itself.
        labels: [N, L], 1 where a label is there and 0 elsewhere.
        thresholds: [L], the scores from which on a label is said.
        names: as in `class_metrics`.

    Returns:
        Statistics by name, 0 to 100. ``accuracy`` counts the texts all of whose labels are right.
    """
    scores, truth = np.asarray(scores, np.float64), np.asarray(labels, np.float64)
    said = (scores >= thresholds).astype(np.float64)
    right = (said == truth).all(1).astype(np.float64)
    halves = ((scores - truth) ** 2).mean(1)
    measures: dict[str, Statistic] = {
        "accuracy": lambda indices: 100 * right[indices].mean(1),
        **_averages(truth, said),
        "roc_auc": lambda indices: 100 * _areas(_weights(indices, len(truth)), scores, truth),
        "brier": lambda indices: 100 * halves[indices].mean(1),
    }
    return measures | _of_each(truth, said, names or ()) | measures  # an average keeps its name


def number_metrics(found: Numbers, gold: Numbers) -> dict[str, Statistic]:
    """The measures of a model that gives each text a number.

    Args:
        found: [N].
        gold: [N].

    Returns:
        ``pearson`` and ``spearman`` (-1 to 1; NaN where a sample has one value only), and ``mse``, in squares of the
        numbers' own unit.
    """
    squares = (np.asarray(found, np.float64) - gold) ** 2
    return {**correlations(found, gold), "mse": lambda indices: squares[indices].mean(1)}


def _averages(truth: Numbers, said: Numbers) -> dict[str, Statistic]:
    def macro(which: str) -> Statistic:
        def statistic(indices: Indices) -> Numbers:
            counts = _count(indices, truth, said)
            return 100 * counts.macro(getattr(counts, which))

        return statistic

    return {
        "precision_macro": macro("precision"),
        "recall_macro": macro("recall"),
        "f1_macro": macro("f1"),
        "f1_micro": lambda indices: 100 * _count(indices, truth, said).micro_f1,
    }


def _of_each(truth: Numbers, said: Numbers, names: Sequence[str]) -> dict[str, Statistic]:
    def of(place: int, which: str) -> Statistic:
        def statistic(indices: Indices) -> Numbers:
            values: Numbers = getattr(_count(indices, truth[:, [place]], said[:, [place]]), which)
            return 100 * values[:, 0]

        return statistic

    kinds = ("precision", "recall", "f1")
    return {f"{kind}_{name}": of(place, kind) for place, name in enumerate(names) for kind in kinds}


def _weights(indices: Indices, units: int) -> Numbers:
    """How often each of N units is in each sample [R, N]."""
    samples = len(indices)
    places = (indices + units * np.arange(samples)[:, None]).ravel()
    return np.bincount(places, minlength=samples * units).reshape(samples, units).astype(np.float64)


def _count(indices: Indices, truth: Numbers, said: Numbers) -> Counts:
    weights = _weights(indices, len(truth))
    return Counts(weights @ (truth * said), weights @ said, weights @ truth)


def _areas(weights: Numbers, scores: Numbers, truth: Numbers) -> Numbers:
    """The mean area [R] under the curves of the classes of which a sample has some and lacks some; NaN without one."""
    areas = []
    for column, there in zip(scores.T, truth.T, strict=True):
        order = np.argsort(column, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(column[order]) > 0])  # of the runs of equal scores
        drawn = weights[:, order]
        with_it = np.add.reduceat(drawn * there[order], starts, axis=1)  # [R, runs]
        without = np.add.reduceat(drawn * (1 - there[order]), starts, axis=1)
        below = without.cumsum(1) - without / 2
        pairs = with_it.sum(1) * without.sum(1)
        areas.append(np.where(pairs > 0, (with_it * below).sum(1) / np.maximum(pairs, 1), np.nan))
    stacked = np.stack(areas)
    known = ~np.isnan(stacked)
    total = np.where(known, stacked, 0).sum(0)
    return np.where(known.any(0), total / np.maximum(known.sum(0), 1), np.nan)


def _ratio(above: Numbers, below: NDArray[np.float64 | np.int64 | np.bool_]) -> Numbers:
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)
