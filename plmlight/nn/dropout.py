"""Dropout: of single units, and with a mask that is shared by the steps of a sequence or by all places of a word."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_LANES = 2**16


def dropped(x: Tensor, p: float) -> Tensor:
    """Dropout (Srivastava et al. 2014), which on a CPU takes less than half the time of torch's own.

    There the generator's 64-bit words are cut into four, so that p is rounded to a multiple of 2**-16.

    Args:
        x: of any shape.
        p: the share of the elements that become 0; the others are scaled up to keep the mean.

    Returns:
        The same shape.
    """
    if x.device.type != "cpu" or p >= 1:
        return F.dropout(x, p)
    below = round(p * _LANES)
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    lanes = words.view(torch.int16)[: x.numel()].view(x.shape)
    return x * (lanes >= below - _LANES // 2).to(x.dtype).mul_(_LANES / (_LANES - below))


class Dropout(nn.Dropout):
    """`dropped`, while training; see `torch.nn.Dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same shape."""
        return dropped(x, self.p) if self.training and self.p else x


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
