"""Batches of samples of similar length, by a budget of tokens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from torch import Tensor

from plmlight.data.loader import EpochLoader, Request, SampleLoader, Samples, TooFewError, checked_batch_size
from plmlight.data.sampling import Indices, Permutation

_POOL = 64  # batches' worth of samples that are sorted by length together, ...
_POOL_SAMPLES = 1024  # ... and samples, so that pools need about equally many batches; at least
_MEASURED = 2**22  # samples from whose lengths the number of batches in an epoch is told, at most


class SizedSamples(Samples, Protocol):
    """Samples that tell their lengths without reading tokens."""

    @property
    def max_length(self) -> int:
        """No sample is longer, its sides taken together."""

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of samples, special ones included.

        Args:
            sample_ids: [n].
            epoch: of at least 0.

        Returns:
            [n], or [n, 2] for samples of two sides, each padded by itself: what is read, and what is written.
        """


class BucketedTrainingLoader(EpochLoader):
    """Endless epochs of shuffled batches, each of samples of similar length, padded to its own longest.

    The samples come in a seeded permutation of which pools of many batches are sorted by length, cut into batches, and
    the batches of a pool shuffled. Each pool gives a fixed number of batches, whatever lengths an epoch brings: where
    that takes more, the batch with the most rows is halved; where less, chance leaves batches out, others in each
    epoch. So the number of batches in an epoch is fixed, a place in it is found by arithmetic and a resume computes one
    pool anew. The batches are one sequence for all ranks, who take them in turn.

    Args:
        samples: what is read.
        batch_size: rows in a batch, where ``max_tokens`` is None.
        max_tokens: the most tokens, padding included, of a batch on each rank.
        seed: of the order.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.

    Raises:
        TooFewError: when the samples do not fill one global batch.
        ValueError: when one sample may be longer than ``max_tokens``.
    """

    def __init__(
        self,
        samples: SizedSamples,
        batch_size: int = 8,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(samples, seed, num_workers, rank, world_size)
        self._sized = samples
        self._cut = _Cut(samples, batch_size, max_tokens)
        self._unit = 1 if max_tokens else batch_size  # a pool is a multiple of it
        self._units = len(samples) // self._unit
        self._pools = max(1, round(len(samples) / self._cut.pool))
        self._batches = self._count()
        if len(self) == 0:
            ranks = f" for each of {world_size} ranks" if world_size > 1 else ""
            raise TooFewError(
                f"{len(samples)} samples to train on, fewer than one batch{ranks} "
                f"({f'max_tokens {max_tokens}' if max_tokens else f'batch_size {batch_size}'})"
            )

    @property
    def per_epoch(self) -> int:
        """Batches."""
        return self._batches

    @property
    def per_step(self) -> int:
        """Batches."""
        return self.world_size

    @property
    def identity(self) -> dict[str, Any]:
        """The seed, the samples, and how they are cut into batches."""
        return super().identity | self._cut.identity

    def _count(self) -> int:
        """Batches in an epoch: what epoch 0 has, told from some of its pools where there are many samples.

        And one more for every two pools, as halving a batch costs less than leaving one out.
        """
        if self._cut.max_tokens is None:
            return self._units
        step = -(-len(self._sized) // _MEASURED)
        pools = range(0, self._pools, step)
        batches = sum(len(self._cut(*self._pool(pool, 0))) for pool in pools)
        rows = sum(self._edge(pool + 1) - self._edge(pool) for pool in pools)
        expected = round(batches * len(self._sized) / max(1, rows))
        return min(len(self._sized), expected + self._pools // 2)

    def _edge(self, pool: int) -> int:
        """The place in the permutation at which a pool starts."""
        return pool * self._units // self._pools * self._unit

    def _first(self, pool: int) -> int:
        """The number of the first batch of a pool."""
        return self._batches * self._edge(pool) // max(1, self._edge(self._pools))

    def _pool(self, pool: int, epoch: int) -> tuple[Indices, Indices]:
        permutation = Permutation(len(self._sized), self.seed, epoch)
        sample_ids = permutation[np.arange(self._edge(pool), self._edge(pool + 1))]
        return sample_ids, self._sized.lengths(sample_ids, epoch)

    def _batches_of(self, pool: int, epoch: int) -> list[Indices]:
        batches = self._cut(*self._pool(pool, epoch))
        wanted = self._first(pool + 1) - self._first(pool)
        while len(batches) < wanted:
            largest = max(range(len(batches)), key=lambda place: len(batches[place]))
            batches[largest : largest + 1] = np.array_split(batches[largest], 2)
        order = np.random.default_rng([self.seed, epoch, 3, pool]).permutation(len(batches))
        return [batches[place] for place in order[:wanted]]

    def _plan(self, epoch: int, consumed: int) -> Iterator[Request]:
        pool = min(consumed * self._pools // self._batches, self._pools - 1)
        while self._first(pool) > consumed:
            pool -= 1
        batches: list[Indices] | None = None
        for step in range((self._batches - consumed) // self.world_size):
            number = consumed + step * self.world_size + self.rank
            while self._first(pool + 1) <= number:
                pool, batches = pool + 1, None
            if batches is None:
                batches = self._batches_of(pool, epoch)
            yield epoch, batches[number - self._first(pool)]


class BucketedEvaluationLoader(SampleLoader):
    """Each sample once, those of similar length together. On several ranks the last batches may be rows of padding.

    Such a row has ``attention_mask`` 0 everywhere and sample id -1, so that sums over tokens stay exact, and each rank
    takes the same number of steps.

    Args:
        samples: what is read.
        batch_size: rows in a batch, where ``max_tokens`` is None.
        max_tokens: the most tokens, padding included, of a batch on each rank.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.
    """

    def __init__(
        self,
        samples: SizedSamples,
        batch_size: int = 8,
        max_tokens: int | None = None,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(samples, num_workers, rank, world_size)
        cut = _Cut(samples, batch_size, max_tokens)
        self._batches: list[Indices] = []
        for first in range(0, len(samples), cut.pool):
            sample_ids = np.arange(first, min(first + cut.pool, len(samples)))
            self._batches += cut(sample_ids, samples.lengths(sample_ids, 0))

    def __len__(self) -> int:
        return -(-len(self._batches) // self.world_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self._read(self._plan())

    def _plan(self) -> Iterator[Request]:
        for step in range(len(self)):
            number = step * self.world_size + self.rank
            yield 0, self._batches[number] if number < len(self._batches) else np.array([-1])


class _Cut:
    """Cuts samples into batches. The tokens of a batch of two sides are those of both, padding included.

    Args:
        samples: which.
        batch_size: as in `BucketedTrainingLoader`.
        max_tokens: as in `BucketedTrainingLoader`.
    """

    def __init__(self, samples: SizedSamples, batch_size: int, max_tokens: int | None) -> None:
        if max_tokens is not None and max_tokens < samples.max_length:
            raise ValueError(
                f"max_tokens {max_tokens}: a batch must hold one sample, which may have max_length {samples.max_length}"
            )
        self.max_tokens = max_tokens
        self.batch_size = checked_batch_size(batch_size)
        rows = batch_size  # of a batch, about
        if max_tokens is not None and len(samples):
            some = np.unique(np.linspace(0, len(samples) - 1, 4096).astype(np.int64))
            rows = max(1, int(max_tokens * len(some) / samples.lengths(some, 0).sum()))
        self.pool = max(_POOL * rows, _POOL_SAMPLES)

    @property
    def identity(self) -> dict[str, int]:
        return {"batch_size": self.batch_size} if self.max_tokens is None else {"max_tokens": self.max_tokens}

    def __call__(self, sample_ids: Indices, lengths: Indices) -> list[Indices]:
        sides = lengths.reshape(len(lengths), -1)  # [n, 1] or [n, 2]
        order = _by_length(sides)
        ordered = sides[order]
        batches, place = [], 0
        while place < len(order):
            rows = self.batch_size if self.max_tokens is None else _rows(ordered[place:], self.max_tokens)
            batches.append(sample_ids[order[place : place + rows]])
            place += rows
        return batches


def _rows(sides: Indices, max_tokens: int) -> int:
    """How many of the first samples fill a batch."""
    most = max_tokens // int(sides[0].sum())
    if sides.shape[1] == 1:
        return most  # the first is the longest
    widths = np.maximum.accumulate(sides[:most]).sum(1)
    return int(np.searchsorted(widths * np.arange(1, len(widths) + 1), max_tokens, "right"))


def _by_length(sides: Indices) -> Indices:
    """Longest first.

    Of two sides, the first within a tenth, and then the second, up and down in turn: neighbours are similar in both.
    """
    first, second = sides[:, 0], sides[:, -1]
    if sides.shape[1] == 1:
        return np.argsort(-first, kind="stable")
    steps = np.floor(np.log(first) / np.log(1.1)).astype(np.int64)
    return np.lexsort((np.where(steps % 2, second, -second), -steps))
