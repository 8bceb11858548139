"""Words of a text with the words around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.data.packing import TokenStream
from plmlight.data.sampling import Indices, uniform


@dataclass(frozen=True)
class Windows:
    """A stream of words in numbered chunks, each as rows of words with their neighbours.

    What a chunk gives is a pure function of (seed, chunk, epoch).

    Args:
        stream: the words.
        keep: [V], how likely an occurrence of each word is kept; 0 for what is no word.
        window: W, the most words to either side.
        dynamic: draw the size of each word's window from 1 to W evenly, so that near words count more.
        row_length: T, the words of a row that are predicted.
        block_length: words of a chunk, before some are left out. Windows do not reach over its ends.
        seed: of all chance.
    """

    stream: TokenStream
    keep: NDArray[np.float64]
    window: int
    dynamic: bool
    row_length: int
    block_length: int
    seed: int

    def __len__(self) -> int:
        return -(-len(self.stream) // self.block_length)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        sizes = {"window": self.window, "row_length": self.row_length, "block_length": self.block_length}
        return {"words": len(self.stream), **sizes}

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads chunks.

        Args:
            sample_ids: [B], numbers of chunks; -1 for padding, of which nothing is read.
            epoch: of at least 0.

        Returns:
            ``input_ids`` [R, T+2W]: the words of each row, with W of the row before and after it; ``segments``
            [R, T+2W]: their documents, counted from 1 in each chunk, 0 where there is no word; ``windows`` [R, T]: how
            far each of the T words in the middle sees, 0 where there is none; ``sample_ids`` [R], of the rows;
            ``epoch`` []. At least one row, which may be empty.
        """
        sample_ids = sample_ids[sample_ids >= 0]
        places = sample_ids[:, None] * self.block_length + np.arange(self.block_length)  # [B, L]
        words = self.stream.gather(places[:, 0], self.block_length) if len(places) else places
        documents = self.stream.document_numbers(places[:, 0], self.block_length) if len(places) else places
        chance = uniform(places.reshape(-1), 2, self.seed, epoch).reshape(2, *places.shape)
        kept = (chance[0] < self.keep[words]) & (places < len(self.stream))
        rows, side = -(-kept.sum(1) // self.row_length), self.window  # [B]
        last = np.concatenate([[0], np.cumsum(rows)])  # where the rows of each chunk begin
        chunk, column = np.nonzero(kept)
        order = np.cumsum(kept, 1)[chunk, column] - 1  # the number of a word among those of its chunk that are left
        found, total = last[chunk] * self.row_length + order, max(1, int(last[-1])) * self.row_length
        flat = np.zeros((3, total + 2 * side), np.int64)
        sizes = 1 + (chance[1] * self.window).astype(np.int64) if self.dynamic else np.full_like(places, self.window)
        # numbers of documents that no two chunks share, as neighbouring rows may be those of two chunks
        apart = documents + sample_ids[:, None] * (self.block_length + 1)
        for line, values in zip(flat, (words, apart, sizes), strict=True):
            line[side + found] = values[chunk, column]
        view = np.lib.stride_tricks.sliding_window_view(flat[:2], self.row_length + 2 * side, 1)[:, :: self.row_length]
        number = np.arange(len(view[0])) - np.repeat(last[:-1], rows) if last[-1] else np.zeros(1, np.int64)
        most = -(-self.block_length // self.row_length)
        of_chunk = np.repeat(sample_ids, rows) if last[-1] else np.zeros(1, np.int64)
        return {
            "input_ids": torch.from_numpy(view[0].copy()),
            "segments": torch.from_numpy(view[1].copy()),
            "windows": torch.from_numpy(flat[2, side : side + total].reshape(-1, self.row_length)),
            "sample_ids": torch.from_numpy(of_chunk * most + number),
            "epoch": torch.tensor(epoch),
        }


def kept_shares(counts: Indices, subsample: float) -> NDArray[np.float64]:
    """How likely an occurrence of each word is kept.

    The formula of the authors' program, ``sqrt(t / f) + t / f`` for the share f of a word (arXiv:1310.4546, equation 5,
    has ``sqrt(t / f)``).

    Args:
        counts: [V], 0 for what is no word.
        subsample: t; 0 keeps all.

    Returns:
        [V], at most 1, and 0 for words that never occur.
    """
    shares = counts / max(1, counts.sum())
    if not subsample:
        return (counts > 0).astype(np.float64)
    ratio = np.divide(subsample, shares, out=np.zeros(len(counts)), where=counts > 0)
    return np.asarray(np.minimum(1.0, np.sqrt(ratio) + ratio))
