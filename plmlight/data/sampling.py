"""The order in which samples are seen, as a pure function of (seed, epoch)."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
_ROUNDS = 6


class Permutation:
    """A permutation of ``0 .. size-1`` that computes each entry by itself: nothing is stored, any place can be entered.

    A balanced Feistel network over the smallest even number of bits that holds ``size``; what falls outside is sent
    through again until it falls inside (cycle walking: Black and Rogaway 2002, Ciphers with arbitrary finite domains).

    Args:
        size: how many entries.
        seed: any integer of at least 0.
        epoch: of at least 0; another epoch is another permutation.
    """

    def __init__(self, size: int, seed: int, epoch: int) -> None:
        self._size = size
        self._half = np.uint64(max(1, ((size - 1).bit_length() + 1) // 2))
        self._mask = (np.uint64(1) << self._half) - np.uint64(1)
        self._keys = np.random.SeedSequence([seed, epoch]).generate_state(_ROUNDS, np.uint64)

    def __getitem__(self, places: Indices) -> Indices:
        """The entries at some places.

        Args:
            places: any shape, int64, each in ``0 .. size-1``.

        Returns:
            The same shape.
        """
        values = self._shuffled(places.astype(np.uint64))
        while (outside := values >= self._size).any():
            values[outside] = self._shuffled(values[outside])
        return values.astype(np.int64)

    def _shuffled(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        left, right = values >> self._half, values & self._mask
        for key in self._keys:
            left, right = right, left ^ (mixed(right ^ key) & self._mask)
        return (left << self._half) | right


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit in changes half of the bits out.

    Args:
        values: any shape.

    Returns:
        The same shape.
    """
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


@lru_cache(maxsize=8)  # asked for each batch of an epoch
def epoch_offset(limit: int, seed: int, epoch: int) -> int:
    """How far an epoch's windows are shifted.

    Args:
        limit: the largest shift.
        seed: of at least 0.
        epoch: of at least 0.

    Returns:
        A number from 0 to ``limit``, uniform, and independent of the epoch's permutation.
    """
    return int(np.random.default_rng([seed, epoch, 1]).integers(limit + 1))


def uniform(sample_ids: Indices, num_streams: int, seed: int, epoch: int) -> NDArray[np.float64]:
    """Random numbers that are a function of where they are used, not of how many were drawn before.

    Args:
        sample_ids: [n].
        num_streams: how many numbers each sample gets, for different purposes.
        seed: of at least 0.
        epoch: of at least 0.

    Returns:
        [num_streams, n], each of [0, 1).
    """
    values = sample_ids.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + _keys(num_streams, seed, epoch)
    return (mixed(mixed(values)) >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=8)
def _keys(num_streams: int, seed: int, epoch: int) -> NDArray[np.uint64]:
    return np.random.SeedSequence([seed, epoch, 2]).generate_state(num_streams, np.uint64).astype(np.uint64)[:, None]
