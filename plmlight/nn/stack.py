"""Layers one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plmlight.nn.attention import KeyValue
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
            cache: keys and values of the tokens before, two tensors a layer.
            memory: [B, S, D_memory].
            memory_mask: of the attention to the memory.

        Returns:
            [B, T, D], and the cache of past and present (None when ``cache`` is None).
        """
        presents: list[Tensor] = []
        share = self.num_layers // len(self.layers)
        for i in range(self.num_layers):
            layer = self.layers[i // share]
            past = None if cache is None else cast(KeyValue, cache[2 * i : 2 * i + 2])
            arguments = (x, masks[i % len(masks)], positions, past, memory, memory_mask)
            if self.activation_checkpointing and self.training and cache is None:
                x, present = checkpoint(layer, *arguments, use_reentrant=False)
            else:
                x, present = layer(*arguments)
            if cache is not None:
                presents.extend(present)
        return x, None if cache is None else tuple(presents)
