"""How a `Seq2Seq` becomes two graphs: one that reads, once, and one that writes, token by token.

The encoder's graph computes all that the decoder needs of the source: the keys and values of the attention to it
(``present.{i}.encoder.*``) and what recurrent layers start from (``present_state.*``). The decoder's graph takes them
under the names ``past_...``. Keys and values of the source are inputs only, and rows that go on from one source share
them: ``encoder_batch`` is a divisor of ``batch``. What the encoder gives nothing for starts empty, as the decoder's own
keys and values do, or as zeros, as the coverage does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from plmlight.export.graph import converted, frozen
from plmlight.export.specification import GraphSpec, TensorSpec
from plmlight.nn import EncoderDecoder, past_name, present_name
from plmlight.nn.cache import is_remembered
from plmlight.tasks import Seq2Seq

COVERAGE = "state.coverage"


class PortableReader(nn.Module):
    """The encoder, and all that the decoder needs of its output.

    Args:
        network: encoder and decoder.
        given: the names of the cache tensors that it gives, in the graph's order.
    """

    def __init__(self, network: EncoderDecoder, given: list[str]) -> None:
        super().__init__()
        self.network, self.given = network, given

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, ...]:
        """The memory [B, S, D], and what the decoder starts from."""
        memory = self.network.encode(input_ids, attention_mask)
        cache = dict(zip(self.network.cache_names(), self.network.empty_cache(memory), strict=True))
        return memory, *(cache[name] for name in self.given)


class PortableWriter(nn.Module):
    """The decoder and its head in plain operators; its own keys and values are returned longer than they came.

    Args:
        network: encoder and decoder.
        head: hidden states to logits.
    """

    def __init__(self, network: EncoderDecoder, head: nn.Module) -> None:
        super().__init__()
        self.network, self.head = network, head

    def forward(self, input_ids: Tensor, encoder_attention_mask: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Reads tokens: logits [B, 1, V] after the last, hidden states [B, T, D], and what changed of the past."""
        hidden, present = self.network.decode(input_ids, None, encoder_attention_mask, past)
        assert present is not None
        changed = [
            tensor for name, tensor in zip(self.network.cache_names(), present, strict=True) if not is_remembered(name)
        ]
        return self.head(hidden[:, -1:]), hidden, *changed


def sequence_graphs(task: Seq2Seq, dtype: torch.dtype) -> dict[str, GraphSpec]:
    """The graphs of an encoder and its decoder.

    Args:
        task: the task; it is not changed.
        dtype: of the weights, the cache and the outputs.

    Returns:
        ``portable``: the decoder's graph, with the encoder's beside it.
    """
    network, head = converted(nn.ModuleList([task.network, task.head]), dtype)
    assert isinstance(network, EncoderDecoder)
    axes = cache_axes(network, dtype)
    given = [name for name in axes if name != COVERAGE and "past" not in axes[name]]
    with frozen(network):
        width = network.encode(torch.ones(1, 2, dtype=torch.int64)).shape[-1]
    longest = {"source": network.max_length}
    encoder = GraphSpec(
        name="encoder",
        file="encoder.onnx",
        module=PortableReader(network, given),
        inputs=(TensorSpec("input_ids", ("batch", "source")), TensorSpec("attention_mask", ("batch", "source"))),
        outputs=(
            TensorSpec("last_hidden_state", ("batch", "source", width), dtype),
            *(TensorSpec(present_name(name), axes[name], dtype) for name in given),
        ),
        sizes={"batch": 3, "source": 5},
        longest=longest,
    )
    decoder = GraphSpec(
        name="portable",
        file="decoder.onnx",
        module=PortableWriter(network, head),
        inputs=(
            TensorSpec("input_ids", ("batch", "sequence")),
            TensorSpec("encoder_attention_mask", ("encoder_batch", "source")),
            *(
                TensorSpec(past_name(name), ("encoder_batch", *axis[1:]) if is_remembered(name) else axis, dtype)
                for name, axis in axes.items()
            ),
        ),
        outputs=(
            TensorSpec("logits", ("batch", 1, network.target_vocab_size), dtype),
            TensorSpec("last_hidden_state", ("batch", "sequence", head_width(task)), dtype),
            *(
                TensorSpec(present_name(name), tuple("total" if size == "past" else size for size in axis), dtype)
                for name, axis in axes.items()
                if not is_remembered(name)
            ),
        ),
        sizes={"batch": 6, "encoder_batch": 3, "source": 5, "sequence": 4, "past": 6},
        cache="concatenated",
        sums={"total": ("past", "sequence")},
        encoder=encoder,
        longest=longest,
    )
    return {"portable": decoder}


def cache_axes(network: EncoderDecoder, dtype: torch.dtype) -> dict[str, tuple[str | int, ...]]:
    """The axes of each tensor of the cache, by its name: found by reading sources of two lengths."""
    with frozen(network):
        short, long = (
            network.empty_cache(network.encode(torch.ones(1, length, dtype=torch.int64))) for length in (2, 3)
        )
    axes: dict[str, tuple[str | int, ...]] = {}
    for name, one, other in zip(network.cache_names(), short, long, strict=True):
        sizes = zip(one.shape[1:], other.shape[1:], strict=True)
        axes[name] = ("batch", *("past" if a == 0 else a if a == b else "source" for a, b in sizes))
    return axes


def head_width(task: Seq2Seq) -> int:
    """The width of the decoder's hidden states, which the head takes."""
    return int(task.head.weight.shape[1])


def sequence_facts(task: Seq2Seq) -> dict[str, Any]:
    """What the manifest says about an encoder and its decoder."""
    network = task.network
    return {
        "vocab_size": network.vocab_size,
        "target_vocab_size": network.target_vocab_size,
        "max_length": network.max_length,
        "target_max_length": network.target_max_length,
        "pad_token_id": network.pad_token_id,
        "decoder_start_token_id": network.decoder_start_token_id,
        "d_model": head_width(task),
    }
