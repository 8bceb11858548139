"""Decoders whose cache is one buffer that each call writes into, for ONNX Runtime.

The cache of the portable graph grows by concatenation: every step copies all of it. Here the attention modules are
replaced, in a copy of the network that shares its weights, by one that stands for the fused operator
``com.microsoft::GroupQueryAttention`` of ONNX Runtime, which reads and writes the same buffer. In eager mode that
operator is only a placeholder: the copy is for tracing, never for computing.

The graph's contract: ``input_ids`` [B, T] is padded on the right; ``attention_mask`` [B, P+T] is the masks of all
calls so far side by side, this one's last; only how many ones stand in its first P and last T columns of a row
counts, because each row's tokens lie without gaps at the start of its buffer. Padding is written behind them and
overwritten by the next call. ``past_key_values.*`` [B, H, buffer, D/H] and ``present.*`` are to be bound to the same
memory, with a buffer of at least P+T. With a past, T > 1 needs B = 1 (a limit of the operator).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from plmlight.export.graph import sharing
from plmlight.nn import Decoder, SelfAttention, prompt_length
from plmlight.nn.attention import KeyValue
from plmlight.nn.masks import Mask


@dataclass
class Call:
    """What the operator asks of a call, handed past the network to its attention modules.

    Attributes:
        last: [B], int32: where each row's last token is written, its padding included.
        total: a scalar, int32: P+T.
        buffers: two a layer.
    """

    last: Tensor | None = None
    total: Tensor | None = None
    buffers: Sequence[Tensor] = ()


class InPlaceAttention(nn.Module):
    """Stands for a `SelfAttention` while a graph is traced.

    Args:
        attention: the module whose weights and settings it takes.
        call: filled in by `InPlaceDecoder` before each call.
        layer: which of the call's buffers are this module's.
        window: how many tokens a query sees, itself included; None is all of them.
    """

    def __init__(self, attention: SelfAttention, call: Call, layer: int, window: int | None) -> None:
        super().__init__()
        self.attention = attention
        self.call = call
        self.layer = layer
        self.attributes: dict[str, Any] = {
            "num_heads": attention.num_heads,
            "kv_num_heads": attention.num_heads,
        }
        if attention.scale is not None:
            self.attributes["scale"] = attention.scale
        if window is not None:
            self.attributes["local_window_size"] = window

    def forward(
        self, x: Tensor, mask: Mask, positions: Tensor | None = None, past: KeyValue | None = None
    ) -> tuple[Tensor, KeyValue]:
        """As `SelfAttention.forward`, but with the operator's own mask and the call's buffers."""
        past_key, past_value = self.call.buffers[2 * self.layer : 2 * self.layer + 2]
        attention, (batch, length, _) = self.attention, x.shape
        inner = attention.num_heads * attention.head_dim
        packed: list[Tensor | None]
        if attention.rotary is None:
            packed = [attention.qkv(x), None, None]  # [B, T, 3 D]
        else:
            packed = [part.transpose(1, 2).flatten(2) for part in attention.project(x, positions)]  # 3 x [B, T, D]
        out, key, value = torch.onnx.ops.symbolic_multi_out(
            "com.microsoft::GroupQueryAttention",
            [*packed, past_key, past_value, self.call.last, self.call.total],
            attrs=self.attributes,
            dtypes=[x.dtype] * 3,
            shapes=[[batch, length, inner], list(past_key.shape), list(past_value.shape)],
            version=1,
        )
        projected: Tensor = attention.out(out)
        return projected, (key, value)


class InPlaceDecoder(nn.Module):
    """A decoder and its head over buffers; see the module's contract.

    Args:
        network: the decoder; it is not changed.
        head: hidden states to logits.
    """

    def __init__(self, network: Decoder, head: nn.Module) -> None:
        super().__init__()
        self.call = Call()
        self.network = in_place(network, self.call)
        self.head = head

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *buffers: Tensor) -> tuple[Tensor, ...]:
        """Reads tokens: the logits [B, 1, V] after each row's last, the hidden states [B, T, D], and the buffers."""
        length, total = input_ids.shape[1], attention_mask.shape[1]
        before = attention_mask[:, : total - length].sum(1)  # [B]
        fresh = attention_mask[:, total - length :].sum(1)  # [B]
        self.call.last = (before + length - 1).to(torch.int32)
        self.call.total = torch.scalar_tensor(total, dtype=torch.int32)
        self.call.buffers = buffers
        # the network sees a cache as long as the past, from which it only takes that length
        past = tuple(buffer.new_empty(*buffer.shape[:2], total - length, buffer.shape[3]) for buffer in buffers)
        hidden, presents = self.network(input_ids, attention_mask, past)  # [B, T, D]
        assert presents is not None
        last = (fresh - 1).clamp(min=0)[:, None, None].expand(-1, 1, hidden.shape[-1])  # [B, 1, D]
        logits: Tensor = self.head(hidden.gather(1, last))
        return logits, hidden, *presents


def in_place(network: Decoder, call: Call) -> Decoder:
    """A copy of a decoder, for tracing, whose attention writes into buffers.

    Args:
        network: a decoder that attends through `SelfAttention`, one module a layer; its ``windows``, if it has any, are
            cycled over them.
        call: what the copy's attention modules will read.

    Returns:
        The copy; its weights are the network's own.
    """
    windows: Sequence[int | None] = getattr(network, "windows", (None,))
    shared = sharing(network)
    names = [name for name, module in shared.named_modules() if isinstance(module, SelfAttention)]
    for index, name in enumerate(names):
        parent, _, attribute = name.rpartition(".")
        attention = shared.get_submodule(name)
        assert isinstance(attention, SelfAttention)
        replacement = InPlaceAttention(attention, call, index, windows[index % len(windows)])
        setattr(shared.get_submodule(parent), attribute, replacement)
    return shared


def attends_in_place(network: nn.Module) -> bool:
    """Whether `in_place` can stand for a network: all it remembers are the keys and values of its own attentions."""
    attentions = [module for module in network.modules() if isinstance(module, SelfAttention)]
    if not attentions or any(attention.prefix is not None for attention in attentions):
        return False
    if not isinstance(network, Decoder) or prompt_length(network):
        return False
    return len(network.cache_names()) == 2 * len(attentions)
