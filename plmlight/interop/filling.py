"""Modules that start from given weights instead of random ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from plmlight.text import nearest

M = TypeVar("M", bound=nn.Module)


def filled(make: Callable[[], M], weights: Mapping[str, Tensor], where: str) -> M:
    """Builds a module around weights, without drawing random ones first.

    Args:
        make: builds it; called on the meta device.
        weights: all of its parameters and persistent buffers by name. Copied, in the types that the module has.
        where: what to call their source in an error.

    Returns:
        The module, on the CPU.

    Raises:
        ValueError: naming the weight that is missing, left over, of another shape, or differs from its twin.
    """
    with torch.device("meta"):
        module = make()
    expected = module.state_dict(keep_vars=True)
    check_names(expected, weights, where)
    copies: dict[str, Tensor] = {}
    first: dict[int, str] = {}  # tied names are one tensor, and stay one
    for name, tensor in expected.items():
        if weights[name].shape != tensor.shape:
            raise ValueError(f"{where}: {name} is {list(weights[name].shape)}, expected {list(tensor.shape)}")
        twin = first.setdefault(id(tensor), name)
        if twin != name:
            if not torch.equal(weights[name], weights[twin]):
                raise ValueError(f"{where}: {name} differs from {twin}, but they are tied")
            copies[name] = copies[twin]
            continue
        copy = weights[name].to(tensor.dtype, copy=True, memory_format=torch.contiguous_format)
        copies[name] = nn.Parameter(copy, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else copy
    unsaved = any(tensor.is_meta for name, tensor in module.named_buffers() if name not in expected)
    if unsaved:
        module = make()  # what a checkpoint does not hold has to be computed
    module.load_state_dict(copies, assign=not unsaved)
    return module


def fill(module: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str], where: str) -> None:
    """Replaces some weights of a module.

    Args:
        module: changed in place.
        weights: some of its weights by name.
        names: what to call each in an error.
        where: what to call their source in an error.

    Raises:
        ValueError: naming the weight that has another shape.
    """
    state = module.state_dict()
    for key, weight in weights.items():
        if weight.shape != state[key].shape:
            raise ValueError(f"{where}: {names[key]} is {list(weight.shape)}, expected {list(state[key].shape)}")
        state[key].copy_(weight)


def check_names(expected: Mapping[str, object], given: Mapping[str, object], where: str) -> None:
    """Compares two sets of weights by their names.

    Args:
        expected: those that there have to be.
        given: those that there are.
        where: they were read, for messages.

    Raises:
        ValueError: naming the first that is missing or left over.
    """
    missing = [name for name in expected if name not in given]
    extra = [name for name in given if name not in expected]
    if missing:
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise ValueError(f"{where}: the weight {missing[0]} is missing{more}")
    if extra:
        more = f" (and {len(extra) - 1} more)" if len(extra) > 1 else ""
        near = nearest(extra[0], expected) if len(expected) < 8 else ""
        raise ValueError(f"{where}: the weight {extra[0]} is left over{more}{near}")
