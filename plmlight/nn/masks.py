"""Who sees whom: from padding and document numbers to what attention adds to its scores."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Mask(NamedTuple):
    """What limits an attention.

    Attributes:
        bias: added to the scores, broadcastable to [B, H, T, S]; finite, so that a row that sees nothing stays a
            number.
        causal: position t sees the positions up to t, which the kernel applies by itself; only where P = 0 and
            ``bias`` is None.
    """

    bias: Tensor | None = None
    causal: bool = False


def triangle(length: int, total: int, device: torch.device | None = None) -> Tensor:
    """Which keys a query sees that sees nothing after it.

    Args:
        length: T, the queries, which are the last of the keys.
        total: S, the keys.
        device: of the mask.

    Returns:
        [T, S], true where the key is not after the query.
    """
    index = torch.arange(total, device=device)
    return index[None, :] <= index[total - length :, None]


def sees_causally(attention_mask: Tensor, length: int) -> Tensor:
    """The triangle of a decoder within each document.

    Args:
        attention_mask: [B, P+T]: 0 is padding, k >= 1 the number of the document.
        length: T; the last T tokens are the ones that look.

    Returns:
        [B, T, P+T], true where the query sees the key: earlier or the same, of the same document, no padding.
    """
    queries = attention_mask[:, -length:, None]  # [B, T, 1]
    keys = attention_mask[:, None, :]  # [B, 1, S]
    earlier = triangle(length, attention_mask.shape[1], attention_mask.device)  # [T, S]
    return (queries == keys) & (keys > 0) & earlier


def sees_document(query_mask: Tensor, key_mask: Tensor) -> Tensor:
    """The square of an encoder, or a cross-attention: equal document numbers see each other.

    Args:
        query_mask: [B, T], 0 is padding.
        key_mask: [B, S], 0 is padding.

    Returns:
        [B, T, S], true where the query sees the key.
    """
    return (query_mask[:, :, None] == key_mask[:, None, :]) & (key_mask[:, None, :] > 0)


def cross_mask(attention_mask: Tensor, queries: int, query_mask: Tensor | None, dtype: torch.dtype) -> Mask:
    """The mask of an attention to a memory.

    Args:
        attention_mask: [B, S], of the memory: 0 is padding, k >= 1 the number of the document.
        queries: R * T of all rows, where R is B or a multiple of it, as several rows may share a memory.
        query_mask: [R, T], likewise: each document of the queries sees the memory's one of its number; None where all
            see all of it.
        dtype: of the scores.

    Returns:
        A mask with a bias [B, 1, R/B * T, S].
    """
    memories = attention_mask.shape[0]
    if query_mask is None:
        visible = (attention_mask > 0)[:, None, :].expand(-1, queries // memories, -1)
    else:
        visible = sees_document(query_mask.reshape(memories, -1), attention_mask)
    return Mask(bias_of(visible, dtype))


def square_mask(attention_mask: Tensor, dtype: torch.dtype) -> Mask:
    """The mask of an encoder's attention to itself.

    Args:
        attention_mask: [B, T]: 0 is padding, k >= 1 the number of the document.
        dtype: of the scores.

    Returns:
        A mask with a bias [B, 1, T, T].
    """
    return Mask(bias_of(sees_document(attention_mask, attention_mask), dtype))


def within_window(length: int, total: int, window: int, device: torch.device | None = None) -> Tensor:
    """The band of locally banded attention (Child et al. 2019, arXiv:1904.10509): the last ``window`` tokens.

    Args:
        length: T, the number of the queries; they are the last T of the keys.
        total: S = P+T, the number of the keys.
        window: how many tokens a query sees, itself included.
        device: where the result lies.

    Returns:
        [T, S], true where the key is less than ``window`` before the query.
    """
    index = torch.arange(total, device=device)
    return index[total - length :, None] - index[None, :] < window


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """The additive form of a visibility.

    Args:
        visible: [B, T, S] or [T, S].
        dtype: of the result.

    Returns:
        [B, 1, T, S] or [1, 1, T, S]: 0 where true, else half of float16's lowest number. It is the same in every type:
        softmax makes it an exact zero, a learned bias added to it stays finite, and so does a cast by autocast.
    """
    if visible.dim() == 2:
        visible = visible[None]
    lowest = torch.finfo(torch.float16).min / 2
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, lowest)[:, None]


def positions_of(visible: Tensor) -> Tensor:
    """A decoder's positions: how many earlier tokens of its own document a token sees.

    Args:
        visible: [B, T, S], of `sees_causally`.

    Returns:
        [B, T], int64; 0 at padding. They restart with each document, and left padding does not move them.
    """
    return (visible.sum(-1) - 1).clamp(min=0)
