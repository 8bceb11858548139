"""Loaders that know where they are: Lightning saves and restores their state by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import count, islice
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from plmlight.data.packing import Blocks
from plmlight.data.sampling import Indices, Permutation

Request = tuple[int, Indices]
"""What one batch is: its epoch, and this rank's sample ids [B]."""

_PLANNED = 2**13  # entries of the permutation that are computed at a time


class TooFewError(ValueError):
    """What is read fills no global batch: data that knows the files names them."""


class Samples(Protocol):
    """What a loader reads."""

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in: plain values."""

    def __len__(self) -> int:
        """The number of samples in an epoch, the same in each."""

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads samples.

        Args:
            sample_ids: [B]; -1 for a row of padding.
            epoch: of at least 0.

        Returns:
            Tensors by name, a pure function of the arguments.
        """


class BlockSamples(Samples, Protocol):
    """Samples of equal length."""

    @property
    def block_length(self) -> int:
        """Their length."""


class SampleLoader(ABC):
    """Batches of samples, this rank's share of each global batch.

    It splits the data by rank itself, and is no ``DataLoader``, so that Lightning wraps no sampler around it. The batch
    with number ``k`` is the same for any number of workers.

    Args:
        samples: what is read.
        num_workers: processes that read ahead; 0 reads in this one, which is fast enough for most models.
        rank: which share this process takes.
        world_size: the number of shares.
    """

    def __init__(self, samples: Samples, num_workers: int = 0, rank: int = 0, world_size: int = 1) -> None:
        self.samples = samples
        self.num_workers = num_workers
        self.rank = rank
        self.world_size = world_size

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch, the same on each rank."""

    @abstractmethod
    def __iter__(self) -> Iterator[dict[str, Tensor]]: ...

    def _read(self, plan: Iterator[Request]) -> Iterator[dict[str, Tensor]]:
        if self.num_workers == 0:
            return (self.samples.batch(sample_ids, epoch) for epoch, sample_ids in plan)
        loader = DataLoader(
            _Requested(self.samples),
            batch_size=None,
            sampler=_Plan(plan),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
        )
        return iter(loader)


class EpochLoader(SampleLoader):
    """Endless epochs, each iteration as many batches as an epoch has, from a place that a checkpoint can hold.

    The order is a pure function of (seed, epoch) and the state is how much all ranks together were given: a restored
    loader goes on where the saved one was without reading what came before, on any number of ranks. An iteration goes
    on where the one before was left, and into the next epoch where that was not at an epoch's end
    (``limit_train_batches``).

    Args:
        samples: what is read.
        seed: of the order.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.
    """

    def __init__(
        self, samples: Samples, seed: int = 0, num_workers: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(samples, num_workers, rank, world_size)
        self.seed = seed
        self.repeats = False
        """Whether each iteration begins with the first batch of the first epoch (``overfit_batches``)."""
        self._epoch = 0
        self._consumed = 0

    @property
    @abstractmethod
    def per_epoch(self) -> int:
        """What all ranks together take in an epoch, in the unit that the state counts; a remainder is left out."""

    @property
    @abstractmethod
    def per_step(self) -> int:
        """What all ranks together take in a step, in the same unit."""

    @abstractmethod
    def _plan(self, epoch: int, consumed: int) -> Iterator[Request]:
        """This rank's batches of an epoch, from a place on."""

    def __len__(self) -> int:
        return self.per_epoch // self.per_step

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if self.repeats:
            self._epoch, self._consumed = 0, 0
        self._end_epoch()  # after a restart with larger batches
        for batch in self._read(islice(self._plan_on(self._epoch, self._consumed), len(self))):
            # counted here, where the training loop takes it: what workers read ahead does not count
            self._consumed += self.per_step
            self._end_epoch()
            yield batch

    def _end_epoch(self) -> None:
        if self.per_epoch - self._consumed < self.per_step:
            self._epoch, self._consumed = self._epoch + 1, 0

    def _plan_on(self, epoch: int, consumed: int) -> Iterator[Request]:
        """This rank's batches from a place on, over the ends of epochs."""
        yield from self._plan(epoch, consumed)
        for later in count(epoch + 1):
            yield from self._plan(later, 0)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and this loader must agree in: plain values."""
        return {"seed": self.seed, **self.samples.identity}

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, and in what.

        Returns:
            Plain values, the same on each rank.
        """
        return {"epoch": self._epoch, "consumed": self._consumed, **self.identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes where another loader was.

        Args:
            state: what `state_dict` returned; the number of ranks may have changed since.

        Raises:
            ValueError: when the corpus, its samples or the seed are not those of the saved loader.
        """
        for key, mine in self.identity.items():
            if state.get(key) != mine:
                raise ValueError(
                    f"the checkpoint cannot be resumed on this data: its {key} was {state.get(key)}, here it is "
                    f"{mine}; start from its weights instead"
                )
        self._epoch, self._consumed = int(state["epoch"]), int(state["consumed"])


class TrainingLoader(EpochLoader):
    """Endless epochs of shuffled blocks; an epoch's last ones that do not fill a global batch are left out.

    The state counts samples, so that the batch size, too, may change between runs. The blocks that are left out differ
    from epoch to epoch.

    Args:
        blocks: what is read.
        batch_size: B, on each rank.
        seed: of the order.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.

    Raises:
        TooFewError: when the blocks do not fill one global batch.
    """

    def __init__(
        self,
        blocks: BlockSamples,
        batch_size: int,
        seed: int = 0,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(blocks, seed, num_workers, rank, world_size)
        self.blocks = blocks
        self.batch_size = checked_batch_size(batch_size)
        if len(self) == 0:
            raise TooFewError(
                f"{len(blocks)} blocks of {blocks.block_length} tokens to train on, fewer than one batch of "
                f"{self.per_step} (batch_size {batch_size} on {world_size} ranks)"
            )

    @property
    def per_epoch(self) -> int:
        """Samples."""
        return len(self.blocks)

    @property
    def per_step(self) -> int:
        """Samples."""
        return self.batch_size * self.world_size

    def _plan(self, epoch: int, consumed: int) -> Iterator[Request]:
        permutation = Permutation(len(self.blocks), self.seed, epoch)
        steps = (len(self.blocks) - consumed) // self.per_step
        at_once = max(1, _PLANNED // self.batch_size)
        mine = np.arange(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for first in range(0, steps, at_once):
            batches = np.arange(first, min(first + at_once, steps))
            for sample_ids in permutation[consumed + batches[:, None] * self.per_step + mine]:
                yield epoch, sample_ids


class SequentialTrainingLoader(EpochLoader):
    """Endless epochs of all blocks in their order; the last batch of an epoch has the rows that are left.

    Args:
        blocks: what is read, fixed and padded; see `Blocks`.
        batch_size: B.
        seed: of nothing here, as each epoch is the same.
        num_workers: processes that read ahead.
        rank: of this process, which has to be the only one.
        world_size: the number of processes.

    Raises:
        ValueError: for several processes, none of which would see rows that go on.
    """

    def __init__(
        self,
        blocks: Blocks,
        batch_size: int,
        seed: int = 0,
        num_workers: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(blocks, seed, num_workers, rank, world_size)
        self._batch_size = checked_batch_size(batch_size)
        if world_size > 1:
            raise ValueError(f"order sequential is for one process, and there are {world_size}: set trainer.devices 1")

    @property
    def per_epoch(self) -> int:
        """Samples, as if the last batch were a whole one."""
        return -(-len(self.samples) // self._batch_size) * self._batch_size

    @property
    def per_step(self) -> int:
        """Samples."""
        return self._batch_size

    def _plan(self, epoch: int, consumed: int) -> Iterator[Request]:
        for first in range(consumed, self.per_epoch - self._batch_size + 1, self._batch_size):
            yield epoch, np.arange(first, min(first + self._batch_size, len(self.samples)))


class EvaluationLoader(SampleLoader):
    """Each block once, in order. On several ranks the last batches are filled up with rows of padding.

    Such a row has ``attention_mask`` 0 everywhere and sample id -1, so that sums over tokens stay exact, and each rank
    takes the same number of steps.

    Args:
        blocks: what is read.
        batch_size: B, on each rank.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.
    """

    def __init__(
        self, blocks: Samples, batch_size: int, num_workers: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        super().__init__(blocks, num_workers, rank, world_size)
        self.batch_size = checked_batch_size(batch_size)

    def __len__(self) -> int:
        return -(-len(self.samples) // (self.batch_size * self.world_size))

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self._read(self._plan())

    def _plan(self) -> Iterator[Request]:
        for step in range(len(self)):
            first = (step * self.world_size + self.rank) * self.batch_size
            sample_ids = np.arange(first, first + self.batch_size)
            sample_ids[sample_ids >= len(self.samples)] = -1
            yield 0, sample_ids if self.world_size > 1 else sample_ids[sample_ids >= 0]


def checked_batch_size(batch_size: int) -> int:
    """Refuses batches of nothing.

    Args:
        batch_size: B.

    Returns:
        It.

    Raises:
        ValueError: when it is less than 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size {batch_size} must be at least 1")
    return batch_size


class _Plan(Sampler[Request]):
    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[Request]:
        return self._requests


class _Requested(Dataset[dict[str, Tensor]]):
    def __init__(self, samples: Samples) -> None:
        self._samples = samples

    def __getitem__(self, request: Request) -> dict[str, Tensor]:
        epoch, sample_ids = request
        return self._samples.batch(sample_ids, epoch)
