"""Loaders that know where they are: Lightning saves and restores their state by itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from plmlight.data.packing import Blocks
from plmlight.data.sampling import Indices, Permutation

Request = tuple[int, Indices]
"""What one batch is: its epoch, and this rank's sample ids [B]."""

_PLANNED = 2**13  # entries of the permutation that are computed at a time


class BlockLoader(ABC):
    """Batches of blocks, this rank's share of each global batch.

    It splits the data by rank itself, and is no ``DataLoader``, so that Lightning wraps no sampler around it. The batch
    with number ``k`` is the same for any number of workers.

    Args:
        blocks: what is read.
        batch_size: B, on each rank.
        num_workers: processes that read ahead; 0 reads in this one, which is fast enough for most models.
        rank: which share this process takes.
        world_size: the number of shares.
    """

    def __init__(
        self, blocks: Blocks, batch_size: int, num_workers: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size} must be at least 1")
        self.blocks = blocks
        self.batch_size = batch_size
        self.num_workers = num_workers
        self.rank = rank
        self.world_size = world_size

    @property
    def global_batch_size(self) -> int:
        """Samples that all ranks take together in a step."""
        return self.batch_size * self.world_size

    @abstractmethod
    def __len__(self) -> int:
        """Batches in an epoch, the same on each rank."""

    @abstractmethod
    def __iter__(self) -> Iterator[dict[str, Tensor]]: ...

    def _read(self, plan: Iterator[Request]) -> Iterator[dict[str, Tensor]]:
        if self.num_workers == 0:
            return (self.blocks.batch(sample_ids, epoch) for epoch, sample_ids in plan)
        loader = DataLoader(
            _Requested(self.blocks),
            batch_size=None,
            sampler=_Plan(plan),
            num_workers=self.num_workers,
            pin_memory=torch.cuda.is_available(),
            generator=torch.Generator(),  # else it would draw from the generator that dropout draws from
        )
        return iter(loader)


class TrainingLoader(BlockLoader):
    """Endless epochs of shuffled blocks, each iteration one epoch or what is left of it.

    The order is a pure function of (seed, epoch) and the state is how many samples all ranks together were given: a
    restored loader goes on where the saved one was without reading what came before, on any number of ranks. An epoch's
    last samples that do not fill a global batch are left out; they differ from epoch to epoch.

    Args:
        blocks: what is read.
        batch_size: B, on each rank.
        seed: of the order.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.

    Raises:
        ValueError: when the blocks do not fill one global batch.
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
        super().__init__(blocks, batch_size, num_workers, rank, world_size)
        self.seed = seed
        self._epoch = 0
        self._consumed = 0
        if len(self) == 0:
            raise ValueError(
                f"the corpus has {len(blocks)} blocks of {blocks.block_length} tokens, fewer than one batch of "
                f"{self.global_batch_size} (batch_size {batch_size} on {world_size} ranks)"
            )

    def __len__(self) -> int:
        return len(self.blocks) // self.global_batch_size

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        if len(self.blocks) - self._consumed < self.global_batch_size:  # after a restart with larger batches
            self._epoch, self._consumed = self._epoch + 1, 0
        for batch in self._read(self._plan(self._epoch, self._consumed)):
            # counted here, where the training loop takes it: what workers read ahead does not count
            self._consumed += self.global_batch_size
            if len(self.blocks) - self._consumed < self.global_batch_size:
                self._epoch, self._consumed = self._epoch + 1, 0
            yield batch

    def _plan(self, epoch: int, consumed: int) -> Iterator[Request]:
        permutation = Permutation(len(self.blocks), self.seed, epoch)
        steps = (len(self.blocks) - consumed) // self.global_batch_size
        at_once = max(1, _PLANNED // self.batch_size)
        mine = np.arange(self.rank * self.batch_size, (self.rank + 1) * self.batch_size)
        for first in range(0, steps, at_once):
            batches = np.arange(first, min(first + at_once, steps))
            for sample_ids in permutation[consumed + batches[:, None] * self.global_batch_size + mine]:
                yield epoch, sample_ids

    def state_dict(self) -> dict[str, Any]:
        """Where the loader is, and in what.

        Returns:
            Plain numbers, the same on each rank.
        """
        identity = {"seed": self.seed, "blocks": len(self.blocks), "block_length": self.blocks.block_length}
        return {"epoch": self._epoch, "consumed": self._consumed, **identity}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes where another loader was.

        Args:
            state: what `state_dict` returned; the number of ranks and the batch size may have changed since.

        Raises:
            ValueError: when the corpus, its blocks or the seed are not those of the saved loader.
        """
        for key, mine in self.state_dict().items():
            if key not in ("epoch", "consumed") and state[key] != mine:
                raise ValueError(
                    f"the checkpoint cannot be resumed on this data: its {key} was {state[key]}, here it is {mine}; "
                    "start from its weights instead"
                )
        self._epoch, self._consumed = int(state["epoch"]), int(state["consumed"])


class EvaluationLoader(BlockLoader):
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

    def __len__(self) -> int:
        return -(-len(self.blocks) // self.global_batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self._read(self._plan())

    def _plan(self) -> Iterator[Request]:
        for step in range(len(self)):
            first = step * self.global_batch_size + self.rank * self.batch_size
            sample_ids = np.arange(first, first + self.batch_size)
            sample_ids[sample_ids >= len(self.blocks)] = -1
            yield 0, sample_ids if self.world_size > 1 else sample_ids[sample_ids >= 0]


class _Plan(Sampler[Request]):
    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests

    def __iter__(self) -> Iterator[Request]:
        return self._requests


class _Requested(Dataset[dict[str, Tensor]]):
    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def __getitem__(self, request: Request) -> dict[str, Tensor]:
        epoch, sample_ids = request
        return self._blocks.batch(sample_ids, epoch)
