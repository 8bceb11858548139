"""Documents in one long stream of tokens, cut into blocks of equal length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.data.mapped import Mapped
from plmlight.data.sampling import Indices, epoch_offset


class TokenStream:
    """Some stretches of a token file, read as one stream.

    Args:
        tokens: [N], uint16 or uint32, most often a memory map.
        documents: [M+1], where each document starts, and N.
        stretches: [K, 2], the first token and the one after the last of each stretch, in order; None for all.
    """

    def __init__(
        self, tokens: NDArray[np.unsignedinteger], documents: Indices, stretches: Indices | None = None
    ) -> None:
        stretches = np.array([[0, len(tokens)]]) if stretches is None else stretches[stretches[:, 0] < stretches[:, 1]]
        lengths = stretches[:, 1] - stretches[:, 0]
        self._tokens = Mapped(tokens)
        self._view: NDArray[Any] | None = None  # [N-L+1, L], all windows without a copy
        self._first = np.concatenate([[0], np.cumsum(lengths)[:-1]]).astype(np.int64) if len(lengths) else lengths
        self._shift = stretches[:, 0] - self._first
        self._ends = self._first + lengths
        self._length = int(lengths.sum())
        self.documents = self._within(documents[:-1], stretches)

    def _within(self, starts: Indices, stretches: Indices) -> Indices:
        """Where documents start in the stream; a stretch that begins inside a document starts one as well."""
        place = np.searchsorted(stretches[:, 0], starts, "right") - 1
        inside = (place >= 0) & (starts < stretches[place, 1]) if len(stretches) else np.zeros(len(starts), bool)
        return np.unique(np.concatenate([starts[inside] - self._shift[place[inside]], self._first]))

    def __len__(self) -> int:
        return self._length

    def __getstate__(self) -> dict[str, Any]:
        """The windows are made anew in a worker process, on the memory map that it opens."""
        return self.__dict__ | {"_view": None}

    def gather(self, starts: Indices, length: int) -> Indices:
        """Reads blocks.

        Args:
            starts: [B], where they start in the stream.
            length: L.

        Returns:
            [B, L], int64; beyond the stream's end its last token is repeated.
        """
        stretch = np.searchsorted(self._first, starts, "right") - 1
        whole = starts + length <= self._ends[stretch]
        if whole.all():
            return self._windows(starts + self._shift[stretch], length)
        found = np.empty((len(starts), length), dtype=np.int64)
        found[whole] = self._windows((starts + self._shift[stretch])[whole], length)
        positions = np.minimum(starts[~whole, None] + np.arange(length), self._length - 1)
        found[~whole] = self._tokens.array[
            positions + self._shift[np.searchsorted(self._first, positions, "right") - 1]
        ]
        return found

    def _windows(self, places: Indices, length: int) -> Indices:
        if not len(places):
            return np.empty((0, length), dtype=np.int64)
        if self._view is None or self._view.shape[1] != length:
            self._view = np.lib.stride_tricks.sliding_window_view(self._tokens.array, length)
        return self._view[places].astype(np.int64)

    def document_numbers(self, starts: Indices, length: int) -> Indices:
        """Numbers the documents of each block.

        Args:
            starts: [B], where the blocks start in the stream.
            length: L.

        Returns:
            [B, L], 1 for the first document that a block touches, 2 for the next, ...
        """
        first = np.searchsorted(self.documents, starts, "right")
        counts = np.searchsorted(self.documents, starts + length, "left") - first
        rows = np.repeat(np.arange(len(starts)), counts)
        which = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(first, counts)
        begins = np.zeros((len(starts), length), dtype=np.int64)
        begins[rows, self.documents[which] - starts[rows]] = 1
        return 1 + np.cumsum(begins, axis=1)


@dataclass(frozen=True)
class Blocks:
    """A stream as numbered blocks.

    Args:
        stream: the tokens.
        block_length: L.
        overlap: how many tokens a block repeats of the block before. 1 lets a model that predicts the next token
            predict each token once.
        isolate_documents: number the documents in ``attention_mask``, so that they do not see each other.
        cover: keep the windows fixed and pad the last one, so that each token is in a block; else leave the remainder
            out, and shift all windows by another offset in each epoch.
        pad_token_id: what fills a padded block.
        seed: of the offsets.
    """

    stream: TokenStream
    block_length: int
    overlap: int = 1
    isolate_documents: bool = False
    cover: bool = False
    pad_token_id: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap < self.block_length:
            raise ValueError(
                f"overlap {self.overlap} must be at least 0 and less than block_length {self.block_length}"
            )

    @property
    def stride(self) -> int:
        """Tokens from one block's start to the next one's."""
        return self.block_length - self.overlap

    def __len__(self) -> int:
        """The number of blocks in an epoch, the same in each."""
        beyond = len(self.stream) - self.overlap
        if self.cover:
            return max(0, -(-beyond // self.stride))
        if len(self.stream) < self.block_length:
            return 0
        return max(1, (beyond - self.stride + 1) // self.stride)

    @property
    def identity(self) -> dict[str, int]:
        """What a checkpoint and the data it is resumed on must agree in."""
        return {"blocks": len(self), "block_length": self.block_length}

    def offset(self, epoch: int) -> int:
        """How far the windows are shifted in an epoch.

        Args:
            epoch: of at least 0.

        Returns:
            Tokens, less than the stride.
        """
        spare = len(self.stream) - self.overlap - len(self) * self.stride
        return 0 if self.cover else epoch_offset(min(spare, self.stride - 1), self.seed, epoch)

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads blocks, all with one indexing of the memory map but those that a document held out interrupts.

        Args:
            sample_ids: [B], numbers of blocks; -1 for a row of padding.
            epoch: of at least 0.

        Returns:
            ``input_ids`` and ``attention_mask`` [B, L], ``sample_ids`` [B], ``epoch`` [], all int64.
        """
        starts = np.maximum(sample_ids, 0) * self.stride + self.offset(epoch)
        input_ids = self.stream.gather(starts, self.block_length)
        if self.isolate_documents:
            mask = self.stream.document_numbers(starts, self.block_length)
        else:
            mask = np.ones_like(input_ids)
        valid = np.where(sample_ids < 0, 0, len(self.stream) - starts)  # [B]
        if (valid < self.block_length).any():
            padding = np.arange(self.block_length) >= valid[:, None]
            input_ids[padding] = self.pad_token_id
            mask[padding] = 0
        return {
            "input_ids": torch.from_numpy(input_ids),
            "attention_mask": torch.from_numpy(mask),
            "sample_ids": torch.from_numpy(sample_ids.astype(np.int64)),
            "epoch": torch.tensor(epoch),
        }


@dataclass(frozen=True)
class Streams:
    """Blocks as streams side by side: neighbouring blocks are neighbouring batches of one row.

    Args:
        blocks: of the text.
        rows: how many streams there are, over all ranks.
        cover: let streams differ by one block, so that each block is in one; else leave the remainder out.
    """

    blocks: Blocks
    rows: int
    cover: bool = False

    def __len__(self) -> int:
        """The number of blocks in an epoch, the same in each."""
        return len(self.blocks) if self.cover else len(self.blocks) // self.rows * self.rows

    @property
    def identity(self) -> dict[str, int]:
        """What a checkpoint and the data it is resumed on must agree in."""
        return {"streams": self.rows, "stream_blocks": len(self), "block_length": self.blocks.block_length}

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads the next block of each row.

        Args:
            sample_ids: [B], numbers of blocks; -1 for a row of padding.
            epoch: of at least 0.

        Returns:
            What `Blocks.batch` gives, and ``continues`` [B], int64: 1 where the row goes on where the same row of the
            batch before stopped, 0 where it begins anew.
        """
        begins = np.isin(sample_ids, stream_edges(len(self), self.rows)) | (sample_ids < 0)
        return {**self.blocks.batch(sample_ids, epoch), "continues": torch.from_numpy((~begins).astype(np.int64))}


def stream_edges(num_blocks: int, rows: int) -> Indices:
    """Where streams begin, of equal length but for one block.

    Args:
        num_blocks: in all of them.
        rows: how many streams there are.

    Returns:
        [rows + 1], the number of each one's first block, and ``num_blocks``.
    """
    return np.arange(rows + 1) * num_blocks // rows
