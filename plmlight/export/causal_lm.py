"""How a `CausalLM` becomes graphs."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from plmlight.export.graph import converted
from plmlight.export.in_place import InPlaceDecoder, attends_in_place
from plmlight.export.specification import CacheKind, GraphSpec, TensorSpec
from plmlight.nn import Decoder, is_state, past_name, present_name
from plmlight.tasks import CausalLM

_ENDLESS = 1024
"""Tokens that stand for a row without end."""


class PortableDecoder(nn.Module):
    """A decoder and its head in plain operators; the cache is returned longer than it came, or as the state it is.

    Args:
        network: the decoder.
        head: hidden states to logits.
    """

    def __init__(self, network: Decoder, head: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.head = head
        self.reveals = _reveals(network)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        """Reads tokens: the logits [B, 1, V] after the last column, perhaps the hidden states, and the cache."""
        hidden, present = self.network(input_ids, attention_mask, past)  # [B, T, D]
        assert present is not None
        logits: Tensor = self.head(hidden[:, -1:])
        return (logits, hidden, *present) if self.reveals else (logits, *present)


def causal_lm_graphs(task: CausalLM, dtype: torch.dtype) -> dict[str, GraphSpec]:
    """The graphs of a decoder.

    Args:
        task: the task; it is not changed.
        dtype: of the weights, the cache and the logits.

    Returns:
        ``portable``, whose keys and values grow by concatenation (a recurrent network's state stays as long as it is)
        and whose batches are padded on the left, and, where all that the network remembers are its attentions' keys and
        values, ``in_place`` (see `plmlight.export.in_place`). What a network that attends makes of each token is an
        output too, for contrastive search.
    """
    network, head = _converted(task, dtype)
    graphs = {"portable": _spec(task, PortableDecoder(network, head), "portable", "model.onnx", "concatenated", dtype)}
    if attends_in_place(network):
        module = InPlaceDecoder(network, head)
        graphs["in_place"] = _spec(task, module, "in_place", "model_in_place.onnx", "in_place", dtype)
    return graphs


def _converted(task: CausalLM, dtype: torch.dtype) -> tuple[Decoder, nn.Module]:
    """Network and head in a type. A tied head stays tied."""
    network, head = converted(nn.ModuleList([task.network, task.head]), dtype)
    assert isinstance(network, Decoder)
    return network, head


def _spec(task: CausalLM, module: nn.Module, name: str, file: str, cache: CacheKind, dtype: torch.dtype) -> GraphSpec:
    length = "buffer" if cache == "in_place" else "past"
    empty = dict(zip(task.network.cache_names(), task.network.empty_cache(1, dtype), strict=True))
    # the batch is a cache tensor's first dimension; the one that is empty holds what was read
    axes = {
        key: ("batch", *(length if size == 0 else size for size in tensor.shape[1:])) for key, tensor in empty.items()
    }
    grown = "buffer" if cache == "in_place" else "total"
    return GraphSpec(
        name=name,
        file=file,
        module=module,
        inputs=(
            TensorSpec("input_ids", ("batch", "sequence")),
            TensorSpec("attention_mask", ("batch", "total")),
            *(TensorSpec(past_name(key), axis, empty[key].dtype) for key, axis in axes.items()),
        ),
        outputs=(
            TensorSpec("logits", ("batch", 1, task.network.vocab_size), dtype),
            *(
                [TensorSpec("last_hidden_state", ("batch", "sequence", task.network.d_model), dtype)]
                if _reveals(task.network)
                else []
            ),
            *(
                TensorSpec(
                    present_name(key), tuple(grown if size == length else size for size in axis), empty[key].dtype
                )
                for key, axis in axes.items()
            ),
        ),
        sizes={"batch": 3, "sequence": 4, "past": 6} | ({"buffer": 16} if cache == "in_place" else {}),
        cache=cache,
        sums={"total": ("past", "sequence")},
    )


def _reveals(network: Decoder) -> bool:
    """Whether the hidden states are vectors that can be compared: those of a network that keeps keys and values."""
    return not is_state(network.cache_names()[0])


def causal_lm_facts(task: CausalLM) -> dict[str, Any]:
    """What the manifest says about a decoder; its attention's sizes where it has keys and values."""
    network = task.network
    cache = network.empty_cache(1)
    facts = {"vocab_size": network.vocab_size, "max_length": network.context_length}
    if is_state(network.cache_names()[0]):
        return facts
    return facts | {"num_layers": len(cache) // 2, "num_heads": cache[0].shape[1], "head_dim": cache[0].shape[-1]}


def tested_length(network: Decoder) -> int:
    """The most tokens of a row that graphs are tested with, and engines built for: all that the network reads."""
    return network.context_length or _ENDLESS
