import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from plmlight.metrics.ranking import (
    average_precision,
    correlations,
    means,
    normalised_gain,
    recall,
    reciprocal_rank,
    retrieval_measures,
)


def test_the_correlations_are_those_of_scipy_also_of_samples_with_ties() -> None:
    random = np.random.default_rng(0)
    gold = random.integers(0, 5, 80).astype(float)
    found = gold + random.normal(0, 2, 80).round()
    statistics = correlations(found, gold)
    indices = random.integers(0, 80, (5, 80))
    for name, oracle in (("spearman", spearmanr), ("pearson", pearsonr)):
        expected = [oracle(found[row], gold[row]).statistic for row in indices]
        assert statistics[name](indices) == pytest.approx(np.array(expected), abs=1e-12)


def test_a_sample_of_one_value_has_no_correlation() -> None:
    statistics = correlations(np.arange(3.0), np.arange(3.0))
    assert all(np.isnan(statistic(np.array([[1, 1, 1]]))).all() for statistic in statistics.values())


@pytest.mark.parametrize("value", [0.1, 1 / 3, 1e6 + 0.1])
@pytest.mark.parametrize("count", [3, 7, 1000])
def test_one_value_has_no_correlation_though_its_mean_is_rounded(value: float, count: int) -> None:
    constant, varied = np.full(count, value), np.random.default_rng(0).normal(size=count)
    for found, gold in ((constant, varied), (varied, constant), (constant, constant)):
        for statistic in correlations(found, gold).values():
            assert np.isnan(statistic(np.arange(count)[None])).all()


GAINS = np.array([[0, 1, 0, 1, 0], [2, 0, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=float)
IDEAL = np.array([[1, 1, 1, 0], [1, 2, 0, 0], [1, 0, 0, 0]], dtype=float)
"""Three queries: two of three relevant documents found, both of two, and none of one."""


def test_the_normalised_gain_is_that_of_hand_computed_lists() -> None:
    first = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3) + 1 / np.log2(4))
    second = (2 + 1 / np.log2(4)) / (2 + 1 / np.log2(3))
    assert normalised_gain(GAINS, IDEAL, 5) == pytest.approx(100 * np.array([first, second, 0]))
    cut = (1 / np.log2(3)) / (1 + 1 / np.log2(3))
    assert normalised_gain(GAINS, IDEAL, 2) == pytest.approx(100 * np.array([cut, 2 / (2 + 1 / np.log2(3)), 0]))


def test_the_normalised_gain_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    random = np.random.default_rng(0)
    relevance, scores = random.integers(0, 3, (20, 15)).astype(float), random.normal(size=(20, 15))
    gains = np.take_along_axis(relevance, np.argsort(-scores, axis=1), 1)
    expected = [metrics.ndcg_score(relevance[[i]], scores[[i]], k=10) for i in range(20)]
    assert normalised_gain(gains, relevance, 10) == pytest.approx(100 * np.array(expected))


def test_the_reciprocal_rank_is_that_of_the_first_relevant_document() -> None:
    assert reciprocal_rank(GAINS, 10) == pytest.approx([50, 100, 0])
    assert reciprocal_rank(GAINS, 1) == pytest.approx([0, 100, 0])


def test_recall_is_the_share_of_what_is_relevant() -> None:
    assert recall(GAINS, IDEAL, 5) == pytest.approx([200 / 3, 100, 0])
    assert recall(GAINS, IDEAL, 1) == pytest.approx([0, 50, 0])


def test_average_precision_is_that_of_hand_computed_lists() -> None:
    assert average_precision(GAINS, IDEAL, 5) == pytest.approx([100 * (1 / 2 + 2 / 4) / 3, 100 * (1 + 2 / 3) / 2, 0])
    assert average_precision(GAINS, IDEAL, 2) == pytest.approx([100 * (1 / 2) / 3, 50, 0])


def test_a_query_without_anything_relevant_counts_zero() -> None:
    measures = retrieval_measures(np.zeros((1, 3)), np.zeros((1, 2)))
    assert list(measures) == ["ndcg@10", "mrr@10", "map@100", "recall@1", "recall@10", "recall@100"]
    assert all(values.tolist() == [0] for values in measures.values())


def test_means_are_those_of_the_drawn_units() -> None:
    statistics = means({"recall@1": recall(GAINS, IDEAL, 1)})
    assert statistics["recall@1"](np.array([[0, 1, 2], [1, 1, 1]])) == pytest.approx([50 / 3, 50])
