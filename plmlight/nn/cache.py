"""The memory of a decoder, as plain tensors."""

import torch

from plmlight.nn.roles import Cache


def empty_key_values(
    num_layers: int, batch_size: int, num_heads: int, head_dim: int, dtype: torch.dtype, device: torch.device | str
) -> Cache:
    """Keys and values of no token: two tensors [B, H, 0, D/H] a layer."""
    shape = (batch_size, num_heads, 0, head_dim)
    return tuple(torch.empty(shape, dtype=dtype, device=device) for _ in range(2 * num_layers))


def key_value_names(num_layers: int) -> list[str]:
    """The names of these tensors in a graph: ``0.key``, ``0.value``, ``1.key``, ..."""
    return [f"{i}.{kind}" for i in range(num_layers) for kind in ("key", "value")]
