"""Dropout whose mask is shared: by the steps of a sequence, or by all places of a word."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class LockedDropout(nn.Module):
    """Dropout with one mask for all steps of a row: variational (Gal and Ghahramani 2016, arXiv:1512.05287).

    Args:
        p: the share of a row's units that are zero, while training.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to the same shape."""
        if not self.training or not self.p:
            return x
        return x * _kept(x.new_empty(x.shape[0], 1, x.shape[2]), self.p)


class EmbeddingDropout(nn.Module):
    """Leaves words out, each at all its places in a batch (Gal and Ghahramani 2016, arXiv:1512.05287, section 4.2).

    Args:
        vocab_size: V.
        p: the share of the words whose vectors are zero, while training.
    """

    def __init__(self, vocab_size: int, p: float) -> None:
        super().__init__()
        self.vocab_size, self.p = vocab_size, p

    def forward(self, vectors: Tensor, input_ids: Tensor) -> Tensor:
        """The vectors [B, T, D] of ids [B, T]."""
        if not self.training or not self.p:
            return vectors
        return vectors * _kept(vectors.new_empty(self.vocab_size, 1), self.p)[input_ids]


def _kept(mask: Tensor, p: float) -> Tensor:
    """1 / (1 - p) where something is kept, else 0."""
    return mask.bernoulli_(1 - p).div_(1 - p) if p < 1 else torch.zeros_like(mask)
