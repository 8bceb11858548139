"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plmlight.nn.layer import TransformerLayer
from plmlight.nn.masks import Mask
from plmlight.nn.roles import Cache


class Stack(nn.Module):
    """Applies layers in order.

    Args:
        layers: the layers with weights of their own.
        num_layers: how many are applied; where it is more than there are layers, neighbours share one, in groups of
            equal size (ALBERT, arXiv:1909.11942, section 3.1). As many as there are by default.
        activation_checkpointing: while training, keep only each layer's input and compute the rest again in the
            backward pass: less memory for about a third more time.

    Raises:
        ValueError: when the layers cannot be shared evenly.
    """

    def __init__(
        self, layers: Sequence[nn.Module], num_layers: int | None = None, *, activation_checkpointing: bool = False
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.num_layers = len(layers) if num_layers is None else num_layers
        self.activation_checkpointing = activation_checkpointing
        if not layers or self.num_layers % len(layers):
            raise ValueError(f"{self.num_layers} layers cannot share {len(layers)} groups evenly")

    def forward(
        self,
        x: Tensor,
        masks: Sequence[Mask],
        positions: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Mask | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Applies every layer.

        Args:
            x: [B, T, D].
            masks: one a layer, cycled: two of them alternate.
            positions: [B, T] or [1, T], for rotary positions.
            cache: of the tokens before, as `empty_cache` makes it: keys and values of each layer; with
                cross-attention those of the memory too, and the last layer's coverage at the end.
            memory: [B, S, D_memory], not read where there is a cache.
            memory_mask: of the attention to the memory.

        Returns:
            [B, T, D], and the cache of past and present (None when ``cache`` is None).
        """
        presents: list[Tensor] = []
        share = self.num_layers // len(self.layers)
        for i in range(self.num_layers):
            layer = self.layers[i // share]
            past = remembered = None
            if cache is not None and not self.crosses:
                past = cache[2 * i : 2 * i + 2]
            elif cache is not None:
                past, remembered = cache[4 * i : 4 * i + 2], cache[4 * i + 2 : 4 * i + 4]
                if i == self.num_layers - 1:
                    past = (*past, cache[-1])
            arguments = (x, masks[i % len(masks)], positions, past, memory, memory_mask, remembered)
            if self.activation_checkpointing and self.training and cache is None:
                x, present = checkpoint(layer, *arguments, use_reentrant=False)
            else:
                x, present = layer(*arguments)
            if cache is not None:
                presents.extend((*present[:2], *(remembered or ()), *present[2:]))
        return x, None if cache is None else tuple(presents)

    def empty_cache(
        self, batch_size: int, dtype: torch.dtype, device: torch.device | str, memory: Tensor | None = None
    ) -> Cache:
        """The cache of layers that have read nothing.

        Args:
            batch_size: B.
            dtype: of the keys and values.
            device: where they lie.
            memory: [B, S, D_memory], for layers with cross-attention: its keys and values are computed here, once.

        Returns:
            Tensors in the order of `cache_names`.
        """
        cache: list[Tensor] = []
        for layer in self._applied():
            heads, width = layer.attention.num_heads, layer.attention.head_dim
            cache += [torch.empty((batch_size, heads, 0, width), dtype=dtype, device=device) for _ in range(2)]
            if self.crosses:
                assert memory is not None, "no memory to attend to"
                assert layer.cross_attention is not None
                cache += [kept.contiguous() for kept in layer.cross_attention.remember(memory)]  # it is read often
        if memory is not None and self.crosses:
            cache.append(memory.new_zeros(memory.shape[:2]))
        return tuple(cache)

    def cache_names(self) -> list[str]:
        """The names of the cache's tensors in a graph, as `plmlight.nn.cache.past_name` takes them."""
        if not self.crosses:
            return [f"{i}.{kind}" for i in range(self.num_layers) for kind in ("key", "value")]
        kinds = [f"{side}.{kind}" for side in ("decoder", "encoder") for kind in ("key", "value")]
        return [*(f"{i}.{kind}" for i in range(self.num_layers) for kind in kinds), "state.coverage"]

    @property
    def crosses(self) -> bool:
        """Whether the layers attend to a memory."""
        return getattr(self.layers[0], "cross_attention", None) is not None

    def _applied(self) -> list[TransformerLayer]:
        share = self.num_layers // len(self.layers)
        return [cast(TransformerLayer, self.layers[i // share]) for i in range(self.num_layers)]
