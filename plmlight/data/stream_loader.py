"""Loaders of streams: rows that go on where the same row of the batch before stopped."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch import Tensor

from plmlight.data.loader import EpochLoader, Request, SampleLoader, TooFewError, checked_batch_size
from plmlight.data.packing import Blocks, Streams, stream_edges


class StreamTrainingLoader(EpochLoader):
    """Endless epochs of batches whose rows each go on where the same row of the batch before stopped.

    All ranks together read ``batch_size * world_size`` streams side by side, a rank its own ones; what is left of an
    epoch's blocks is left out. The state counts steps, so that the number of ranks may change between runs, but not
    the number of streams.

    Args:
        blocks: what is read.
        batch_size: B, on each rank.
        seed: of the shift of the blocks in each epoch; see `Blocks`.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.

    Raises:
        TooFewError: when the blocks do not fill one global batch.
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
        rows = checked_batch_size(batch_size) * world_size
        super().__init__(Streams(blocks, rows), seed, num_workers, rank, world_size)
        self._mine = np.arange(rank * batch_size, (rank + 1) * batch_size)
        self._steps = len(blocks) // rows
        if self._steps == 0:
            raise TooFewError(
                f"{len(blocks)} blocks of {blocks.block_length} tokens to train on, fewer than one for each of "
                f"{rows} streams (batch_size {batch_size} on {world_size} ranks)"
            )

    @property
    def per_epoch(self) -> int:
        """Steps."""
        return self._steps

    @property
    def per_step(self) -> int:
        """Steps."""
        return 1

    def _plan(self, epoch: int, consumed: int) -> Iterator[Request]:
        for step in range(consumed, self._steps):
            yield epoch, self._mine * self._steps + step


class StreamEvaluationLoader(SampleLoader):
    """Each block once, in as many streams side by side as all ranks have rows; see `StreamTrainingLoader`.

    Streams are of equal length but for one block. Where one is shorter its last row is padding: ``attention_mask`` is 0
    everywhere and the sample id -1.

    Args:
        blocks: what is read.
        batch_size: B, on each rank.
        num_workers: processes that read ahead.
        rank: which share this process takes.
        world_size: the number of shares.
    """

    def __init__(
        self, blocks: Blocks, batch_size: int, num_workers: int = 0, rank: int = 0, world_size: int = 1
    ) -> None:
        rows = checked_batch_size(batch_size) * world_size
        super().__init__(Streams(blocks, rows, cover=True), num_workers, rank, world_size)
        self._steps = -(-len(blocks) // rows)
        edges = stream_edges(len(blocks), rows)[rank * batch_size : (rank + 1) * batch_size + 1]
        self._first, self._end = edges[:-1], edges[1:]

    def __len__(self) -> int:
        return self._steps

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return self._read(self._plan())

    def _plan(self) -> Iterator[Request]:
        for step in range(self._steps):
            sample_ids = self._first + step
            yield 0, np.where(sample_ids < self._end, sample_ids, -1)
