import math

import numpy as np
import pytest
from numpy.typing import NDArray

from plmlight.evaluation import Bootstrap, compare, estimate
from plmlight.evaluation.significance import Statistic


def mean(values: NDArray[np.float64]) -> Statistic:
    return lambda indices: np.asarray(values[indices].mean(-1))


def test_the_value_is_that_of_the_data() -> None:
    found = estimate(mean(np.array([1.0, 2.0, 6.0])), 3)
    assert found.value == 3.0
    assert 1.0 <= found.low < 3.0 < found.high <= 6.0


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    random = np.random.default_rng(1)
    held = 0
    for _ in range(200):
        found = estimate(mean(random.exponential(size=100)), 100, Bootstrap(samples=300, confidence=0.9))
        held += found.low <= 1.0 <= found.high
    assert 0.83 <= held / 200 <= 0.95


def test_the_interval_has_the_width_that_theory_gives() -> None:
    values = np.random.default_rng(0).normal(size=2000)
    found = estimate(mean(values), 2000, Bootstrap(samples=4000))
    error = values.std() / math.sqrt(2000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.05)


def test_the_seed_decides_and_a_higher_confidence_is_wider() -> None:
    statistic = mean(np.random.default_rng(0).normal(size=50))
    assert estimate(statistic, 50) == estimate(statistic, 50)
    assert estimate(statistic, 50) != estimate(statistic, 50, Bootstrap(seed=1))
    narrow, wide = (estimate(statistic, 50, Bootstrap(confidence=each)) for each in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_many_units_are_drawn_in_portions_of_the_same_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    statistic = mean(np.random.default_rng(0).normal(size=50))
    whole = estimate(statistic, 50)
    monkeypatch.setattr("plmlight.evaluation.significance._ELEMENTS", 120)
    assert estimate(statistic, 50) == whole


def test_nothing_to_draw_gives_no_interval() -> None:
    for found in (estimate(mean(np.ones(1)), 1), estimate(mean(np.ones(9)), 9, Bootstrap(samples=0))):
        assert found.value == 1.0
        assert math.isnan(found.low)
        assert math.isnan(found.high)
    assert math.isnan(compare(mean(np.ones(1)), mean(np.ones(1)), 1).p_value)


def test_a_sample_without_a_value_is_left_out() -> None:
    def statistic(indices: NDArray[np.int64]) -> NDArray[np.float64]:
        return np.where(indices[:, 0] == 0, np.nan, 5.0)

    found = estimate(lambda indices: statistic(indices) if len(indices) > 1 else np.array([5.0]), 4)
    assert (found.value, found.low, found.high) == (5.0, 5.0, 5.0)


def test_a_known_shift_is_significant_though_the_intervals_overlap() -> None:
    random = np.random.default_rng(0)
    hard = random.normal(size=200)  # what both find hard, which a paired comparison takes out
    ours, theirs = hard + random.normal(0, 0.05, 200), hard + 0.05 + random.normal(0, 0.05, 200)
    found = compare(mean(ours), mean(theirs), 200)
    assert found.p_value == pytest.approx(2 / 1001)
    assert found.difference.low < -0.05 < found.difference.high < 0
    assert estimate(mean(ours), 200).high > estimate(mean(theirs), 200).low


def test_no_shift_is_rarely_significant() -> None:
    random = np.random.default_rng(2)
    wrong = 0
    for _ in range(200):
        ours, theirs = random.normal(size=(2, 60))
        wrong += compare(mean(ours), mean(theirs), 60, Bootstrap(samples=200)).p_value < 0.05
    assert 0.01 <= wrong / 200 <= 0.11


def test_a_model_does_not_differ_from_itself() -> None:
    values = mean(np.arange(20.0))
    found = compare(values, values, 20)
    assert (found.difference.value, found.difference.low, found.difference.high, found.p_value) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"samples": -1}, "samples must be at least 0, not -1"), ({"confidence": 95}, "between 0 and 1, not 95")],
)
def test_settings_without_sense_are_refused(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Bootstrap(**settings)
