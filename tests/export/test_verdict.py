import math

import numpy as np
import pytest

from plmlight.export.causal_checks import relative_error
from plmlight.export.report import verdict_page
from plmlight.export.verdict import Check, Verdict, count, judge


def verdict(*checks: Check) -> Verdict:
    return Verdict("recipe", "cpu", "here", "0" * 64, list(checks))


def check(value: float, limit: float = 1.0) -> Check:
    return judge("error", "portable", limit, "at most", "how", lambda: value)


def test_value_at_the_limit_passes_and_beyond_it_fails() -> None:
    assert check(1.0).passed
    assert not check(1.0001).passed
    assert not judge("share", "", 0.9, "at least", "", lambda: 0.89).passed


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_a_number_fails(value: float) -> None:
    found = check(value)
    assert not found.passed
    assert found.measured is None


def test_check_that_cannot_be_evaluated_fails_and_says_why() -> None:
    def broken() -> float:
        raise RuntimeError("no such\nkernel")

    found = judge("error", "", 1.0, "at most", "how", broken)
    assert not found.passed
    assert found.detail == "could not be evaluated: no such kernel"


def test_share_of_nothing_is_not_a_share() -> None:
    with pytest.raises(ValueError, match="nothing"):
        count([])


def test_verdict_without_checks_does_not_pass() -> None:
    assert not verdict().passed


def test_one_failure_fails_the_verdict() -> None:
    assert verdict(check(0.5)).passed
    assert not verdict(check(0.5), check(2.0)).passed


def test_page_shows_failure_and_escapes_text() -> None:
    page = verdict_page(verdict(judge("<b>", "", 1.0, "at most", "a & b", lambda: 2.0)))
    assert "failed" in page
    assert "&lt;b&gt;" in page
    assert "a &amp; b" in page


def test_relative_error_is_blind_to_a_shift_only() -> None:
    logits = np.random.default_rng(0).standard_normal((3, 11)).astype(np.float32)
    assert relative_error(logits + 5, logits) == pytest.approx(0, abs=1e-5)
    assert relative_error(logits * 1.1, logits) == pytest.approx(0.1, rel=1e-3)
