import math

import pytest

from plmlight.optim import Constant, InverseSquareRoot, Schedule, WarmupCosine, WarmupLinear, WarmupStableDecay


@pytest.mark.parametrize(
    "schedule",
    [Constant(10), WarmupCosine(10), WarmupLinear(10), InverseSquareRoot(10), WarmupStableDecay(10)],
)
def test_warmup_is_even_and_reaches_the_peak(schedule: Schedule) -> None:
    assert [schedule.factor(step, 100) for step in range(10)] == [(step + 1) / 11 for step in range(10)]
    assert schedule.factor(10, 100) == pytest.approx(1.0)


def test_cosine() -> None:
    schedule = WarmupCosine(10, final=0.1)
    for step in range(10, 111):
        expected = 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * (step - 10) / 100))
        assert schedule.factor(step, 110) == pytest.approx(expected)
    assert schedule.factor(500, 110) == pytest.approx(0.1)


def test_linear() -> None:
    assert WarmupLinear(0).factor(25, 100) == 0.75
    assert WarmupLinear(0, final=0.2).factor(100, 100) == pytest.approx(0.2)


def test_inverse_square_root_equals_the_papers_formula_relative_to_its_peak() -> None:
    def paper(step: int, warmup: int) -> float:
        return float(min(step**-0.5, step * warmup**-1.5))

    schedule = InverseSquareRoot(3999)
    for step in (1, 100, 4000, 16000, 100_000):
        assert schedule.factor(step - 1, 0) == pytest.approx(paper(step, 4000) / paper(4000, 4000))


def test_stable_then_decay() -> None:
    schedule = WarmupStableDecay(10, decay_fraction=0.2, final=0.1)
    assert {schedule.factor(step, 100) for step in range(10, 81)} == {1.0}
    assert schedule.factor(90, 100) == pytest.approx(0.55)
    assert schedule.factor(100, 100) == pytest.approx(0.1)


def test_constant_needs_no_total() -> None:
    assert Constant().factor(10**9, 0) == 1.0


def test_bad_numbers_are_named() -> None:
    with pytest.raises(ValueError, match="warmup_steps -1"):
        WarmupCosine(-1)
    with pytest.raises(ValueError, match="decay_fraction 2"):
        WarmupStableDecay(decay_fraction=2)
