import numpy as np
import pytest

from plmlight.data.sampling import Permutation, epoch_offset, uniform


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 16, 17, 64, 65, 1000, 65537])
def test_every_entry_once(size: int) -> None:
    assert np.array_equal(np.sort(Permutation(size, 3, 1)[np.arange(size)]), np.arange(size))


def test_any_place_can_be_entered() -> None:
    whole = Permutation(10**12, 0, 0)[np.arange(100)]
    assert np.array_equal(Permutation(10**12, 0, 0)[np.array([[99], [3]])], whole[[[99], [3]]])


def test_seed_and_epoch_decide() -> None:
    orders = {tuple(Permutation(100, seed, epoch)[np.arange(100)]) for seed in range(4) for epoch in range(4)}
    assert len(orders) == 16


def test_entries_are_spread_evenly() -> None:
    size, epochs = 12, 1500
    counts = np.zeros((size, size))
    for epoch in range(epochs):
        counts[np.arange(size), Permutation(size, 0, epoch)[np.arange(size)]] += 1
    expected = epochs / size
    chi_squared = ((counts - expected) ** 2 / expected).sum()  # (size - 1)^2 = 121 degrees of freedom
    assert chi_squared < 200


def test_neighbours_do_not_stay_neighbours() -> None:
    order = Permutation(100_000, 0, 0)[np.arange(100_000)]
    correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
    assert abs(correlation) < 0.02
    assert (np.diff(order) == 1).mean() < 1e-3


def test_offsets_cover_their_range() -> None:
    assert {epoch_offset(3, 0, epoch) for epoch in range(100)} == {0, 1, 2, 3}
    assert epoch_offset(10**6, 5, 7) == epoch_offset(10**6, 5, 7) != epoch_offset(10**6, 5, 8)


def test_uniform_numbers_are_keyed_and_even() -> None:
    ids = np.arange(20_000)
    drawn, second = uniform(ids, 2, 1, 0)
    assert np.array_equal(drawn[[5, 3]], uniform(np.array([5, 3]), 1, 1, 0)[0])
    assert np.abs(np.histogram(drawn, 20, (0, 1))[0] - 1000).max() < 150
    for other in (second, uniform(ids, 1, 2, 0)[0], uniform(ids, 1, 1, 1)[0], np.roll(drawn, 1)):
        assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.03
