"""How deep below the heads a parameter lies."""

from __future__ import annotations

import re

from torch import nn

from plmlight.nn.roles import Network


def distances_from_top(model: nn.Module) -> dict[str, int]:
    """How many layers lie between a parameter and the heads.

    Every stack counts for itself: the last layer of an encoder is as far from the top as that of the decoder beside it.

    Args:
        model: a task, or another module with networks in it.

    Returns:
        By the parameter's name: 0 for heads, 1 for a network's last layer and the norm after it, and so on down, and
        one more than for its first layer for embeddings, positions, and what else stands before the layers.

    Raises:
        ValueError: when there is no network, or one without layers.
    """
    networks = [path for path, module in model.named_modules() if isinstance(module, Network)]
    if not networks:
        raise ValueError(f"{type(model).__name__} has no network whose layers could be counted")
    found: dict[str, int] = {}
    inner = sorted(networks, key=len, reverse=True)  # those within another one first
    owned: dict[str, list[str]] = {path: [] for path in networks}
    for name, _ in model.named_parameters():
        owner = next((path for path in inner if not path or name.startswith(f"{path}.")), None)
        if owner is None:
            found[name] = 0
        else:
            owned[owner].append(name)
    for path, names in owned.items():
        found |= _in_network(model.get_submodule(path), path, names)
    return found


def _in_network(network: nn.Module, path: str, names: list[str]) -> dict[str, int]:
    """The distances of the parameters of one network, whose names are in the order in which it uses them."""
    below = f"{path}." if path else ""
    stacks = {
        below + name: len(module)
        for name, module in network.named_modules()
        if isinstance(module, nn.ModuleList) and name.rpartition(".")[2] == "layers"
    }
    outer = any(isinstance(module, Network) for module in network.modules() if module is not network)
    if not stacks:
        raise ValueError(f"{type(network).__name__} has no stack of layers to count")
    deepest = 1 + max(stacks.values())
    tables = {below + name for name, module in network.named_modules() if isinstance(module, nn.Embedding)}
    found: dict[str, int] = {}
    seen = outer  # what holds other networks stands after them
    for name in names:
        layer = next((match for stack in stacks if (match := re.match(rf"{re.escape(stack)}\.(\d+)\.", name))), None)
        if layer is not None:
            seen = True
            found[name] = stacks[layer[0][: -len(layer[1]) - 2]] - int(layer[1])
        else:
            found[name] = deepest if not seen or name.rpartition(".")[0] in tables else 1
    return found
