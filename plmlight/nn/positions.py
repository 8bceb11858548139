"""Where a token stands: vectors to add, rotations of queries and keys, or what is added to their scores."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LearnedPositions(nn.Embedding):
    """One trained vector a position: positions [B, T] to [B, T, D].

    Args:
        max_length: the number of positions.
        d_model: D.
    """

    def __init__(self, max_length: int, d_model: int) -> None:
        super().__init__(max_length, d_model)

    def check(self, total: int, positions: Tensor | None = None) -> None:
        """Refuses tokens for which there is no position.

        Only rows that are longer than that are looked at: they may hold several documents, or padding.

        Args:
            total: the tokens of a row, those before included.
            positions: [B, T] of what is read; None where each row is one document without padding.

        Raises:
            ValueError: naming how many there are.
        """
        if torch.compiler.is_exporting() or total <= self.num_embeddings:  # a graph has no lengths while it is traced
            return
        longest = total if positions is None else int(positions.max()) + 1
        if longest > self.num_embeddings:
            raise ValueError(f"{longest} tokens are more than max_length {self.num_embeddings}")


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


class RelativePositionBias(nn.Module):
    """What the distance between two tokens adds to their score (Raffel et al. 2020, arXiv:1910.10683, section 2.1).

    A learned number for each head and bucket of distances: half of the buckets are exact distances, the others grow
    logarithmically; all beyond ``max_distance`` share the last. It is computed once and serves every layer.

    Args:
        num_heads: H.
        bidirectional: whether what comes later has buckets of its own (an encoder's); otherwise it is as far as the
            token itself.
        num_buckets: how many there are.
        max_distance: from where on all distances are the same.
    """

    def __init__(self, num_heads: int, *, bidirectional: bool, num_buckets: int = 32, max_distance: int = 128) -> None:
        super().__init__()
        self.bidirectional, self.num_buckets, self.max_distance = bidirectional, num_buckets, max_distance
        self.table = nn.Embedding(num_buckets, num_heads)

    def forward(self, length: int, total: int, device: torch.device | None = None) -> Tensor:
        """The bias [1, H, T, S] of T queries, which are the last of S keys."""
        furthest = self.max_distance
        distances = torch.arange(-furthest, furthest + 1, device=device)
        by_distance = self.table(self.buckets(distances))  # [2 * max_distance + 1, H]
        places = torch.arange(total, device=device)
        apart = places[None, :] - places[total - length :, None]  # [T, S]
        bias = F.embedding(apart.clamp(-furthest, furthest) + furthest, by_distance)  # [T, S, H]
        return bias.permute(2, 0, 1)[None].contiguous()

    def buckets(self, distances: Tensor) -> Tensor:
        """Which bucket each distance is in: the key's place less the query's, int64, any shape."""
        number = self.num_buckets // 2 if self.bidirectional else self.num_buckets
        away = distances.abs() if self.bidirectional else (-distances).clamp(min=0)
        exact = number // 2
        share = torch.log(away.clamp(min=1) / exact) / math.log(self.max_distance / exact)
        # raised a little, so that no rounding moves a distance that lies on an edge: every runtime has the same buckets
        far = (exact + (share * (number - exact) + 1e-5).long()).clamp(max=number - 1)
        bucket = torch.where(away < exact, away, far)
        return bucket + (distances > 0) * number if self.bidirectional else bucket


def _angles(positions: Tensor, width: int, theta: float) -> Tensor:
    exponents = torch.arange(0, width, 2, device=positions.device, dtype=torch.float32) / width
    return positions[..., None].float() * torch.exp(exponents * -math.log(theta))
