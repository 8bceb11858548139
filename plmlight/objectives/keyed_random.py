"""Random numbers that are a function of where they are used, not of how many were drawn before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

_GOLDEN = -0x61C8864680B583EB  # 2**64 / golden ratio, as a signed number


@dataclass(frozen=True)
class KeyedRandom:
    """The key of the random choices of a batch.

    What a sample gets is a pure function of (seed, sample id, epoch), so that it does not depend on the number of
    workers or ranks, nor on a run having been stopped and resumed.

    Args:
        seed: of the run.
        sample_ids: [B], int64; None when the data gives none, which only an objective without chance can do with.
        epoch: [], int64; likewise.
        progress: how much of the run is over, 0 to 1, for what changes over it; 1 outside training.
    """

    seed: int
    sample_ids: Tensor | None
    epoch: Tensor | None
    progress: float = 0.0

    def uniform(self, length: int, stream: int) -> Tensor:
        """Numbers of [0, 1), one a position.

        Args:
            length: T.
            stream: tells apart what is drawn for different purposes.

        Returns:
            [B, T], float32, on the device of the batch. More of them begin with the same ones, so that what a sample
            gets does not depend on how long the other rows of its batch are.

        Raises:
            ValueError: when the data gave no ``sample_ids``.
        """
        if self.sample_ids is None:
            raise ValueError("the batch has no sample_ids, which random choices are keyed by: let the data give them")
        epoch = torch.zeros_like(self.sample_ids[:1]) if self.epoch is None else self.epoch
        # a hash, as with a sum of seed, stream and sample id one sample's second stream would be the next one's first
        digest = hashlib.blake2b(f"{self.seed}/{stream}".encode(), digest_size=8).digest()
        key = _mixed(_mixed(self.sample_ids + int.from_bytes(digest, "little", signed=True)) + epoch)  # [B]
        index = torch.arange(1, length + 1, device=key.device)
        bits = _mixed(key[:, None] + index * _GOLDEN)  # [B, T]
        return (bits & 0xFFFFFF).to(torch.float32) / 0x1000000


def _mixed(x: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele et al. 2014, figure 16), in wrapping signed arithmetic."""
    x = (x ^ _shifted(x, 30)) * _signed(0xBF58476D1CE4E5B9)
    x = (x ^ _shifted(x, 27)) * _signed(0x94D049BB133111EB)
    return x ^ _shifted(x, 31)


def _shifted(x: Tensor, bits: int) -> Tensor:
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
