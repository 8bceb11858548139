"""How well numbers follow given ones (correlations), and how early what was looked for comes (retrieval)."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Key = TypeVar("Key", bound=Hashable)
Floats = NDArray[np.float64]
Statistic = Callable[[NDArray[np.int64]], Floats]
"""Computes a number from the units of a data set: indices [R, N] of R samples of the N units to R numbers."""


def correlations(found: Floats, gold: Floats) -> dict[str, Statistic]:
    """Spearman's and Pearson's correlation.

    Args:
        found: [N].
        gold: [N].

    Returns:
        ``spearman`` and ``pearson``, from -1 to 1; NaN where a sample has one value only.
    """

    def centred(values: Floats) -> Floats:
        varied = values.max(-1, keepdims=True) > values.min(-1, keepdims=True)
        return np.where(varied, values - values.mean(-1, keepdims=True), 0.0)  # the mean of one value may be rounded

    def pearson(ours: Floats, theirs: Floats) -> Floats:
        ours, theirs = centred(ours), centred(theirs)
        scale = np.sqrt((ours**2).sum(-1) * (theirs**2).sum(-1))
        return np.asarray((ours * theirs).sum(-1) / np.where(scale > 0, scale, np.nan))

    return {
        "spearman": lambda indices: pearson(rankdata(found[indices], axis=-1), rankdata(gold[indices], axis=-1)),
        "pearson": lambda indices: pearson(found[indices], gold[indices]),
    }


def normalised_gain(gains: Floats, ideal: Floats, k: int) -> Floats:
    """nDCG@k (Jarvelin and Kekalainen 2002, https://doi.org/10.1145/582415.582418), as trec_eval computes it.

    A document that is relevant by g, at rank r, counts g / log2(r + 1); the sum is divided by that of the best ranking.

    Args:
        gains: [Q, K], how relevant the documents are that were found, in their order; 0 for those that are not.
        ideal: [Q, M], how relevant all relevant documents are, filled up with 0.
        k: how many of those found count.

    Returns:
        [Q], 0 to 100; 0 where nothing is relevant.
    """

    def discounted(values: Floats) -> Floats:
        cut = values[:, :k].astype(np.float64)
        return np.asarray((cut / np.log2(np.arange(cut.shape[1]) + 2)).sum(-1))

    best = discounted(-np.sort(-ideal, axis=-1))
    return np.asarray(100 * discounted(gains) / np.where(best > 0, best, np.inf))


def reciprocal_rank(gains: Floats, k: int) -> Floats:
    """One over the rank of the first relevant document among the first k (Voorhees 1999, TREC-8), from 0 to 100.

    Args:
        gains: [Q, K], as in `normalised_gain`.
        k: how many of those found count.

    Returns:
        [Q]; 0 where none of them is relevant.
    """
    relevant = gains[:, :k] > 0
    return np.asarray(100.0 * relevant.any(-1) / (relevant.argmax(-1) + 1))


def recall(gains: Floats, ideal: Floats, k: int) -> Floats:
    """Which share of the relevant documents is among the first k, from 0 to 100.

    Args:
        gains: [Q, K], as in `normalised_gain`.
        ideal: [Q, M], as there.
        k: how many of those found count.

    Returns:
        [Q]; 0 where nothing is relevant.
    """
    return np.asarray(100 * (gains[:, :k] > 0).sum(-1) / np.maximum((ideal > 0).sum(-1), 1))


def average_precision(gains: Floats, ideal: Floats, k: int) -> Floats:
    """The mean, over all relevant documents, of the precision at their ranks; 0 for those not among the first k.

    The mean of it over queries is MAP.

    Args:
        gains: [Q, K], as in `normalised_gain`.
        ideal: [Q, M], as there.
        k: how many of those found count.

    Returns:
        [Q], 0 to 100; 0 where nothing is relevant.
    """
    relevant = gains[:, :k] > 0
    precision = relevant.cumsum(-1) / (np.arange(relevant.shape[1]) + 1)
    return np.asarray(100 * (precision * relevant).sum(-1) / np.maximum((ideal > 0).sum(-1), 1))


def judged(places: NDArray[np.int64], relevance: Sequence[Mapping[int, float]]) -> tuple[Floats, Floats]:
    """How relevant documents are.

    Args:
        places: [Q, K], the documents that were found.
        relevance: of each query: how relevant the documents are that are relevant at all.

    Returns:
        The gains [Q, K] of those found, and [Q, M] those of all that are relevant, filled up with 0.
    """
    gains = np.zeros(places.shape)
    ideal = np.zeros((len(places), max((len(each) for each in relevance), default=0)))
    for row, (found, wanted) in enumerate(zip(places.tolist(), relevance, strict=True)):
        gains[row] = [wanted.get(place, 0.0) for place in found]
        ideal[row, : len(wanted)] = list(wanted.values())
    return gains, ideal


def own_places(
    queries: Iterable[Key], documents: Mapping[Key, int], relevance: Iterable[Mapping[int, float]]
) -> list[int]:
    """Which documents are queries themselves, and should not be found by them.

    Args:
        queries: [Q], what a query has in common with the document that it is itself: its text or id.
        documents: the places of all documents by that.
        relevance: of each query: how relevant the documents are that are relevant at all.

    Returns:
        [Q]; -1 where the query is not among the documents, or is relevant for itself.
    """
    places = [documents.get(query, -1) for query in queries]
    return [-1 if place in relevant else place for place, relevant in zip(places, relevance, strict=True)]


def own_last(places: NDArray[np.int64], own: Sequence[int]) -> NDArray[np.int64]:
    """Puts the queries themselves at the end of what they have found, where they do not count.

    Args:
        places: [Q, K], the documents that were found: one more than are looked at, or all.
        own: [Q], as `own_places` tells.

    Returns:
        [Q, K], the others in their order.
    """
    order = np.argsort(places == np.asarray(own)[:, None], axis=1, kind="stable")
    return np.take_along_axis(places, order, 1)


DEPTH = 100
"""Documents of a query that `retrieval_measures` looks at."""


def retrieval_measures(gains: Floats, ideal: Floats) -> dict[str, Floats]:
    """What one reads of a retrieval, each query by itself.

    Args:
        gains: [Q, K], as in `normalised_gain`, of `DEPTH` documents or of all there are.
        ideal: [Q, M], as there.

    Returns:
        ``ndcg@10``, ``mrr@10``, ``map@100`` and ``recall@1``, ``recall@10`` and ``recall@100``, each [Q].
    """
    return {
        "ndcg@10": normalised_gain(gains, ideal, 10),
        "mrr@10": reciprocal_rank(gains, 10),
        "map@100": average_precision(gains, ideal, 100),
        **{f"recall@{k}": recall(gains, ideal, k) for k in (1, 10, 100)},
    }


def means(measures: Mapping[str, Floats]) -> dict[str, Statistic]:
    """The means of measures of single units.

    Args:
        measures: by name, each [N].

    Returns:
        By name, each computed from indices [R, N].
    """

    def mean_of(values: Floats) -> Statistic:
        return lambda indices: np.asarray(values[indices].mean(-1))

    return {name: mean_of(values) for name, values in measures.items()}
