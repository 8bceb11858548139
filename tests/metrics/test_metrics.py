import math

import pytest
import torch

from plmlight.metrics import Sums, bits_per_byte, perplexity


def test_sums_add_up_and_start_again() -> None:
    sums = Sums()
    sums.add({"loss": torch.tensor(1.5), "n": torch.tensor(2)})
    sums.add({"loss": torch.tensor(0.25), "n": torch.tensor(3)})
    assert sums.take() == {"loss": 1.75, "n": 5.0}
    assert sums.take() == {}


def test_sums_are_wide_enough_for_many_tokens() -> None:
    sums = Sums()
    sums.add({"n": torch.tensor(2.0**24)})
    sums.add({"n": torch.tensor(1.0)})
    assert sums.take()["n"] == 2**24 + 1


def test_saved_sums_go_on() -> None:
    sums, other = Sums(), Sums()
    sums.add({"n": torch.tensor(2)})
    other.load(sums.save())
    for each in (sums, other):
        each.add({"n": torch.tensor(3)})
        assert each.take() == {"n": 5.0}


def test_perplexity_of_an_even_guess_is_the_vocabulary() -> None:
    assert perplexity(10 * math.log(50), 10) == pytest.approx(50)
    assert perplexity(1e6, 1) == math.inf


def test_bits_per_byte() -> None:
    assert bits_per_byte(8 * math.log(2), 4) == pytest.approx(2.0)
    assert bits_per_byte(1.0, 0) == math.inf
