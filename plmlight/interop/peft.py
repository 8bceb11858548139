"""Adapters as the library PEFT stores them.

Differences of low rank are a pair of matrices for each linear layer of theirs, a prompt is a table.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from plmlight.adapters import Adapter, LoRA, PromptTuning, adapter_weights
from plmlight.interop.family import Family
from plmlight.nn import EncoderDecoder, LowRankLinear, Network, config_of

_TASKS = {"CausalLM": "CAUSAL_LM", "Seq2Seq": "SEQ_2_SEQ_LM", "SpanCorruptionLM": "SEQ_2_SEQ_LM", "MaskedLM": None}
"""Tasks whose model there is one with a head, and what PEFT calls its kind; of others it is the network alone."""

_PROMPT = "prompt_embeddings"


@dataclass(frozen=True)
class _Place:
    """A linear layer of theirs, and which differences of ours lie in it.

    Attributes:
        theirs: its name there.
        ours: the name of our layer in the network.
        parts: the differences: name, first row in their layer, and one more than the last.
        rows: how many their layer has.
        transposed: whether its matrix is [in, out].
    """

    theirs: str
    ours: str
    parts: tuple[tuple[str, int, int], ...]
    rows: int
    transposed: bool


def peft_config(network: Network, adapter: Adapter, task: str, base: str) -> dict[str, Any]:
    """The content of ``adapter_config.json``, with which PEFT opens the adapter over the base.

    Args:
        network: with the adapter.
        adapter: what it has.
        task: the name of the task.
        base: the name of the model that the network comes from.

    Returns:
        The settings.

    Raises:
        ValueError: where PEFT has no such adapter, or the published form of the network no such matrices.
    """
    if isinstance(adapter, PromptTuning):
        return _prompt_config(network, adapter, task, base)
    places = _places(network, adapter)
    assert isinstance(adapter, LoRA)
    prefix = _prefix(network, task)
    widened = {prefix + place.theirs: len(place.parts) for place in places if len(place.parts) > 1}
    return {
        "peft_type": "LORA",
        "task_type": _TASKS.get(task, "FEATURE_EXTRACTION"),
        "base_model_name_or_path": base,
        "r": adapter.rank,
        "lora_alpha": adapter.alpha,
        "lora_dropout": adapter.dropout,
        "target_modules": sorted(prefix + place.theirs for place in places),
        "rank_pattern": {f"^{name}": count * adapter.rank for name, count in widened.items()},
        "alpha_pattern": {f"^{name}": count * adapter.alpha for name, count in widened.items()},
        "fan_in_fan_out": any(place.transposed for place in places),
        "bias": "none",
        "inference_mode": True,
    }


def _prompt_config(network: Network, adapter: PromptTuning, task: str, base: str) -> dict[str, Any]:
    _family(network)
    if isinstance(network, EncoderDecoder):
        raise ValueError("PEFT lets a decoder attend to an encoder's prompt, which it does not here")
    sizes = config_of(network)["init_args"]
    return {
        "peft_type": "PROMPT_TUNING",
        "task_type": _TASKS.get(task) or "FEATURE_EXTRACTION",
        "base_model_name_or_path": base,
        "num_virtual_tokens": adapter.length,
        "token_dim": network.token_embedding.embedding_dim,
        "num_transformer_submodules": 1,
        "num_attention_heads": sizes["num_heads"],
        "num_layers": sizes["num_layers"],
        "prompt_tuning_init": "RANDOM",
        "inference_mode": True,
    }


def to_peft(network: Network, adapter: Adapter, task: str) -> dict[str, Tensor]:
    """What an adapter learned by PEFT's names.

    Args:
        network: with the adapter.
        adapter: what it has.
        task: the name of the task.

    Returns:
        The weights of ``adapter_model.safetensors``.

    Raises:
        ValueError: as `peft_config` does.
    """
    if isinstance(adapter, PromptTuning):
        (prompt,) = adapter_weights(network).values()
        return {_PROMPT: prompt}
    weights: dict[str, Tensor] = {}
    for place in _places(network, adapter):
        layer = network.get_submodule(place.ours)
        pieces = [
            (layer.get_parameter(f"low_rank.{name}.a"), layer.get_parameter(f"low_rank.{name}.b"))
            for name, _, _ in place.parts
        ]
        rank = pieces[0][0].shape[0]
        up = pieces[0][1].new_zeros(place.rows, len(pieces) * rank)
        for number, ((_, first, last), (_, b)) in enumerate(zip(place.parts, pieces, strict=True)):
            up[first:last, number * rank : (number + 1) * rank] = b.detach()
        down, high = _names(_prefix(network, task) + place.theirs)
        weights |= {down: torch.cat([a.detach() for a, _ in pieces]), high: up}
    return weights


def from_peft(network: Network, adapter: Adapter, task: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The way back from `to_peft`.

    Args:
        network: with the adapter.
        adapter: what it has.
        task: the name of the task.
        weights: by PEFT's names.

    Returns:
        The weights by their names in the network.

    Raises:
        ValueError: naming one that is missing.
    """
    if isinstance(adapter, PromptTuning):
        if _PROMPT not in weights:
            raise ValueError(f"the weight {_PROMPT} is missing")
        return dict.fromkeys(adapter_weights(network), weights[_PROMPT])
    found: dict[str, Tensor] = {}
    for place in _places(network, adapter):
        names = _names(_prefix(network, task) + place.theirs)
        if missing := [name for name in names if name not in weights]:
            raise ValueError(f"the weight {missing[0]} is missing")
        down, up = (weights[name] for name in names)
        rank = down.shape[0] // len(place.parts)
        for number, (name, first, last) in enumerate(place.parts):
            columns = slice(number * rank, (number + 1) * rank)
            found[f"{place.ours}.low_rank.{name}.a"] = down[columns]
            found[f"{place.ours}.low_rank.{name}.b"] = up[first:last, columns]
    return found


def _names(path: str) -> tuple[str, str]:
    return f"base_model.model.{path}.lora_A.weight", f"base_model.model.{path}.lora_B.weight"


def _prefix(network: Network, task: str) -> str:
    return _family(network).prefix if task in _TASKS else ""


def _family(network: Network) -> Family:
    arguments = config_of(network)["init_args"]
    parameters = inspect.signature(type(network)).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    reasons = []
    families: tuple[Family, ...] = getattr(network, "families", ())
    for family in families:
        try:
            family.configuration(arguments, defaults)
        except ValueError as error:
            reasons.append(f"as {family.model_type}: {error}")
        else:
            return family
    told = " | ".join(reasons) or "it belongs to no family"
    raise ValueError(f"transformers has no such {type(network).__name__}: {told}")


def _places(network: Network, adapter: Adapter) -> list[_Place]:
    if not isinstance(adapter, LoRA):
        raise ValueError(f"PEFT has no adapter that does what {type(adapter).__name__} does here")
    family = _family(network)
    places = []
    for path, layer in network.named_modules():
        if not isinstance(layer, LowRankLinear):
            continue
        theirs, rule = family.source(f"{path}.weight", dict(network.named_parameters()))
        if rule.by_head:
            raise ValueError(f"{path} of {type(network).__name__} is no linear layer there, which LoRA in PEFT needs")
        rows = layer.out_features // len(theirs)
        for number, name in enumerate(theirs):
            start = number * rows
            parts = tuple(
                (part, first - start, last - start)
                for part, (first, last) in layer.parts.items()
                if start <= first and last <= start + rows
            )
            if parts:
                places.append(_Place(name.removesuffix(".weight"), path, parts, rows, rule.transposed))
    return places
