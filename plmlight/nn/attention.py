"""The one attention of this project: every family is this core with other projections, biases and scales."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.nn.dropout import dropped
from plmlight.nn.masks import Mask, bias_of, triangle
from plmlight.nn.positions import RotaryPositions

KeyValue = tuple[Tensor, Tensor]

PACKED = {"qkv": ("query", "key", "value"), "key_value": ("key", "value")}
"""Projections that hold several matrices one above the other, by the name of their module."""


def attend(query: Tensor, key: Tensor, value: Tensor, mask: Mask, scale: float | None, dropout: float) -> Tensor:
    """Scaled dot-product attention (Vaswani et al. 2017, arXiv:1706.03762, section 3.2.1).

    Args:
        query: [B, H, T, D/H].
        key: [B, H, S, D/H].
        value: [B, H, S, D/H].
        mask: what is added to the scores, or the kernel's own triangle.
        scale: the factor of the scores; None is one over the root of D/H.
        dropout: the share of the attention weights that is dropped.

    Returns:
        [B, T, D], the heads side by side.
    """
    if dropout and query.device.type == "cpu":
        out = _attend_dropping(query, key, value, mask, scale, dropout)  # [B, H, T, D/H]
    else:
        out = F.scaled_dot_product_attention(
            query, key, value, attn_mask=mask.bias, is_causal=mask.causal, dropout_p=dropout, scale=scale
        )
    return out.transpose(1, 2).flatten(2)


def _attend_dropping(
    query: Tensor, key: Tensor, value: Tensor, mask: Mask, scale: float | None, dropout: float
) -> Tensor:
    """What torch does step by step, too, where it has no kernel that drops; here with a faster `dropped`."""
    scores = (query * (query.shape[-1] ** -0.5 if scale is None else scale)) @ key.mT  # [B, H, T, S]
    if mask.bias is not None:
        scores = scores + mask.bias
    elif mask.causal:
        hidden = ~triangle(query.shape[2], key.shape[2], query.device)
        scores = scores.masked_fill(hidden, torch.finfo(scores.dtype).min)
    return dropped(scores.softmax(-1), dropout) @ value


class KeyValuePrefix(nn.Module):
    """Keys and values that stand before those of every sequence (Li and Liang 2021, arXiv:2101.00190).

    Args:
        length: L, how many.
        num_heads: H.
        head_dim: D/H.
    """

    def __init__(self, length: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.length = length
        self.keys = nn.Parameter(torch.empty(num_heads, length, head_dim))
        self.values = nn.Parameter(torch.empty(num_heads, length, head_dim))
        for table in (self.keys, self.values):
            nn.init.normal_(table, std=0.02)

    def forward(self, key: Tensor, value: Tensor, mask: Mask, queries: int) -> tuple[Tensor, Tensor, Mask]:
        """Puts the prefix before what is attended to; every query sees all of it.

        Args:
            key: [B, H, S, D/H].
            value: [B, H, S, D/H].
            mask: over the scores [B, H, T, S].
            queries: T.

        Returns:
            Keys and values [B, H, L+S, D/H], and the mask over [B, H, T, L+S].
        """
        bias = mask.bias
        if mask.causal:  # the kernel's triangle starts at the first key
            bias = bias_of(triangle(queries, key.shape[2], key.device), key.dtype)
        keys, values = (table.to(key.dtype).expand(key.shape[0], -1, -1, -1) for table in (self.keys, self.values))
        seen = Mask(None if bias is None else F.pad(bias, (self.length, 0)))
        return torch.cat([keys, key], 2), torch.cat([values, value], 2), seen


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, with one matrix product for query, key and value.

    Args:
        d_model: D, the width of what comes in and goes out.
        num_heads: H.
        head_dim: the width of a head; D/H by default.
        dropout: on the attention weights, while training.
        bias: whether the projections have one.
        scale: the factor of the scores; one over the root of ``head_dim`` by default.
        rotary: rotary positions for queries and keys.

    Attributes:
        prefix: keys and values before those of the sequence, which no cache holds; None, until an adapter adds them.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        head_dim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        scale: float | None = None,
        rotary: RotaryPositions | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim if head_dim is not None else divided(d_model, num_heads)
        self.dropout = dropout
        self.scale = scale
        self.rotary = rotary
        inner = num_heads * self.head_dim
        self.qkv = nn.Linear(d_model, 3 * inner, bias=bias)
        self.out = nn.Linear(inner, d_model, bias=bias)
        self.prefix: KeyValuePrefix | None = None

    def forward(
        self, x: Tensor, mask: Mask, positions: Tensor | None = None, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        """Attends.

        Args:
            x: [B, T, D].
            mask: over the scores [B, H, T, P+T].
            positions: [B, T] or [1, T], for rotary positions.
            past: keys and values [B, H, P, D/H] of the tokens before.

        Returns:
            [B, T, D], and the keys and values [B, H, P+T, D/H].
        """
        query, key, value = self.project(x, positions)
        if past is not None:
            key, value = torch.cat([past[0], key], 2), torch.cat([past[1], value], 2)  # [B, H, P+T, D/H]
        present = key, value
        if self.prefix is not None:
            key, value, mask = self.prefix(key, value, mask, query.shape[2])
        out = attend(query, key, value, mask, self.scale, self.dropout if self.training else 0.0)
        projected: Tensor = self.out(out)
        return projected, present

    def project(self, x: Tensor, positions: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value of ``x`` [B, T, D], each [B, H, T, D/H], turned by the rotary positions if any."""
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, self.head_dim))  # [B, T, 3, H, D/H]
        query, key, value = qkv.permute(2, 0, 3, 1, 4).unbind(0)  # [B, H, T, D/H]
        if self.rotary is not None:
            assert positions is not None
            query, key = self.rotary(query, positions), self.rotary(key, positions)
        return query, key, value


class CrossAttention(nn.Module):
    """Attention to a memory, such as an encoder's output.

    Args:
        d_model: D, the width of what asks.
        num_heads: H.
        memory_dim: the width of the memory; D by default.
        head_dim: the width of a head; D/H by default.
        dropout: on the attention weights, while training.
        bias: whether the projections have one.
        scale: the factor of the scores; one over the root of ``head_dim`` by default.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    def __init__(
        self,
        d_model: int,
        num_heads: int,
        *,
        memory_dim: int | None = None,
        head_dim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        scale: float | None = None,
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.head_dim = head_dim if head_dim is not None else divided(d_model, num_heads)
        self.dropout = dropout
        self.scale = scale
        inner = num_heads * self.head_dim
        self.query = nn.Linear(d_model, inner, bias=bias)
        self.key_value = nn.Linear(memory_dim if memory_dim is not None else d_model, 2 * inner, bias=bias)
        self.out = nn.Linear(inner, d_model, bias=bias)

    def remember(self, memory: Tensor) -> KeyValue:
        """Keys and values [B, H, S, D/H] of a memory [B, S, D_memory]: the same at every step of generation."""
        both = self.key_value(memory).unflatten(-1, (2, self.num_heads, self.head_dim))  # [B, S, 2, H, D/H]
        key, value = both.permute(2, 0, 3, 1, 4).unbind(0)
        return key, value

    def forward(self, x: Tensor, remembered: KeyValue, mask: Mask) -> Tensor:
        """Attends.

        Args:
            x: [R, T, D], where R is B or a multiple of it: then the rows of one memory are next to each other.
            remembered: what `remember` gave, of B memories.
            mask: over [B, H, R/B * T, S].

        Returns:
            [R, T, D].
        """
        dropout = self.dropout if self.training else 0.0
        out: Tensor = self.out(attend(self._ask(x, remembered[0].shape[0]), *remembered, mask, self.scale, dropout))
        return out.reshape(x.shape)

    def weights(self, x: Tensor, key: Tensor, mask: Mask) -> Tensor:
        """How the attention spreads over the memory, as the mean over the heads.

        Args:
            x: [R, T, D], as in `forward`.
            key: [B, H, S, D/H], what `remember` gave.
            mask: over [B, H, R/B * T, S].

        Returns:
            [R, T, S], rows sum to 1.
        """
        scale = self.scale if self.scale is not None else self.head_dim**-0.5
        scores = self._ask(x, key.shape[0]) @ key.mT * scale  # [B, H, R/B * T, S]
        weights = torch.softmax(scores if mask.bias is None else scores + mask.bias, -1)
        return weights.mean(1).reshape(*x.shape[:2], key.shape[2])

    def _ask(self, x: Tensor, memories: int) -> Tensor:
        asking = x.reshape(memories, -1, x.shape[-1])  # [B, R/B * T, D]: a memory is read once for all its rows
        query: Tensor = self.query(asking).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        return query  # [B, H, R/B * T, D/H]


def divided(d_model: int, num_heads: int) -> int:
    """The width of a head.

    Args:
        d_model: D, of all heads together.
        num_heads: H.

    Returns:
        D / H.

    Raises:
        ValueError: when the heads do not divide the width.
    """
    if d_model % num_heads:
        raise ValueError(f"d_model {d_model} is not a multiple of num_heads {num_heads}")
    return d_model // num_heads
