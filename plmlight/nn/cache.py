"""What the tensors of a cache are called in an exported graph.

A network names them without the prefix: ``0.key`` or ``0.decoder.key`` for keys and values, ``state.0.hidden`` for what
else goes from step to step, ``mems.0`` for hidden states that are remembered (XLNet). Hugging Face's graphs know the
first as ``past_key_values.`` and ``present.``.
"""

from collections.abc import Mapping, Sequence

from torch import Tensor

_STATE, _MEMORY = "state.", "mems."


def past_name(name: str) -> str:
    """The input: ``past_key_values.0.key``, ``past_state.0.hidden``, ``mems.0``."""
    if name.startswith(_MEMORY):
        return name
    return f"past_{name}" if name.startswith(_STATE) else f"past_key_values.{name}"


def present_name(name: str) -> str:
    """The output: ``present.0.key``, ``present_state.0.hidden``, ``present_mems.0``."""
    return f"present_{name}" if name.startswith((_STATE, _MEMORY)) else f"present.{name}"


def cache_of(inputs: Mapping[str, Tensor], names: Sequence[str]) -> tuple[Tensor, ...] | None:
    """The cache among a graph's inputs.

    Args:
        inputs: tensors by their inputs' names, in any order; none to go without a cache.
        names: of the cache's tensors.

    Returns:
        The tensors in the order of the names, None where there are no inputs.

    Raises:
        ValueError: when one is missing or unknown.
    """
    if not inputs:
        return None
    expected = [past_name(name) for name in names]
    if wrong := sorted(set(expected) ^ set(inputs)):
        raise ValueError(f"unknown or missing inputs {wrong}: expected {expected[0]} to {expected[-1]}")
    return tuple(inputs[name] for name in expected)


def is_state(name: str) -> bool:
    """Whether the tensor has the same shape however much was read, so that it can be carried from batch to batch."""
    return name.startswith(_STATE)


def is_remembered(name: str) -> bool:
    """Whether the tensor belongs to the memory: it is the same at every step, so graphs have it as an input only."""
    return ".encoder." in name
