"""Where a token stands: learned and sinusoidal vectors to add, rotations of queries and keys."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """One trained vector a position: positions [B, T] to [B, T, D].

    Args:
        max_length: the number of positions.
        d_model: D.
    """

    def __init__(self, max_length: int, d_model: int) -> None:
        super().__init__(max_length, d_model)


class SinusoidalPositions(nn.Module):
    """Sines and cosines of geometric wavelengths (Vaswani et al. 2017, arXiv:1706.03762, section 3.5).

    There is no table and no limit to the positions.

    Args:
        d_model: D, even.
        interleaved: even columns are sines, odd ones cosines, as in the paper; otherwise the first half is sines, the
            second cosines.

    Raises:
        ValueError: for an odd width.
    """

    def __init__(self, d_model: int, interleaved: bool = True) -> None:
        super().__init__()
        if d_model % 2:
            raise ValueError(f"sinusoidal positions need an even d_model, got {d_model}")
        self.d_model = d_model
        self.interleaved = interleaved

    def forward(self, positions: Tensor) -> Tensor:
        """Positions [B, T] to vectors [B, T, D], float32."""
        angles = _angles(positions, self.d_model, 10000.0)  # [B, T, D/2]
        both = [angles.sin(), angles.cos()]
        return torch.stack(both, -1).flatten(-2) if self.interleaved else torch.cat(both, -1)


class RotaryPositions(nn.Module):
    """Rotates queries and keys by angles that grow with the position (Su et al. 2021, arXiv:2104.09864, section 3.2.2).

    The two halves of a head are paired, as in Hugging Face's and ONNX Runtime's default layout, where the paper pairs
    neighbours: the same up to an order of the columns.

    Args:
        head_dim: D/H, even.
        theta: the base of the wavelengths.

    Raises:
        ValueError: for an odd width.
    """

    def __init__(self, head_dim: int, theta: float = 10000.0) -> None:
        super().__init__()
        if head_dim % 2:
            raise ValueError(f"rotary positions need an even head width, got {head_dim}")
        self.head_dim = head_dim
        self.theta = theta

    def forward(self, x: Tensor, positions: Tensor) -> Tensor:
        """Rotates ``x`` [B, H, T, D/H] at ``positions`` [B, T] or [1, T]."""
        angles = _angles(positions, self.head_dim, self.theta)[:, None]  # [B, 1, T, D/H/2]
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        left, right = x.chunk(2, -1)
        return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def _angles(positions: Tensor, width: int, theta: float) -> Tensor:
    exponents = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width
    return positions[..., None].float() * torch.exp(exponents * -math.log(theta))
