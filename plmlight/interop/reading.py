"""A Hugging Face folder as a network, strictly: every weight of the backbone is used exactly once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plmlight.interop.family import Family
from plmlight.interop.filling import check_names, filled
from plmlight.interop.folder import CONFIG, StoredWeights, read_config
from plmlight.nn import Network
from plmlight.text import nearest


@dataclass(frozen=True)
class Imported:
    """What a Hugging Face folder holds.

    Attributes:
        network: the backbone.
        family: its table.
        architecture: the class that config.json names.
        head: the language-model head's matrix [V, D]; None where it is the token table, or there is none.
    """

    network: Network
    family: Family
    architecture: str
    head: Tensor | None


def import_folder(
    folder: Path, tables: Mapping[Family, type[Network]], given: Mapping[str, Any] | None = None
) -> Imported:
    """Reads a folder of any known family.

    Args:
        folder: holds config.json and safetensors.
        tables: the families, and the network of each.
        given: constructor arguments that replace what config.json says.

    Returns:
        The network, and what stands beside it.

    Raises:
        ValueError: naming the key of config.json, or the weight, that is missing, left over or does not fit.
    """
    family, cls, arguments, config = read_settings(folder, tables, given)
    weights = StoredWeights(folder)
    stored = _without_prefix(weights, family, folder)  # their names to the names in the file
    with torch.device("meta"):
        expected = cls(**arguments).state_dict()
    state = _translated(family, expected, weights, stored, folder)
    network = filled(lambda: cls(**arguments), state, str(folder))
    architecture = str((config.get("architectures") or [family.backbone])[0])
    tied = config.get("tie_word_embeddings", True)
    if family.head in stored:
        head = _head(tied, family, weights, stored, folder)
    elif tied or architecture not in family.architectures:
        head = None
    else:
        raise ValueError(f"{folder}: the weight {family.head} is missing, and {CONFIG} does not tie it")
    return Imported(network, family, architecture, head)


def read_settings(
    folder: Path, tables: Mapping[Family, type[Network]], given: Mapping[str, Any] | None = None
) -> tuple[Family, type[Network], dict[str, Any], dict[str, Any]]:
    """What a folder's config.json says, without reading its weights.

    Args:
        folder: holds config.json.
        tables: the families, and the network of each.
        given: constructor arguments that replace what it says.

    Returns:
        The family, its network, that network's constructor arguments, and config.json itself.

    Raises:
        ValueError: naming the key that cannot be honoured.
    """
    config = read_config(folder)
    known = {family.model_type: (family, network) for family, network in tables.items()}
    if config["model_type"] not in known:
        hint = nearest(config["model_type"], known)
        raise ValueError(f"{folder / CONFIG}: model_type {config['model_type']!r} is not known{hint}")
    family, cls = known[config["model_type"]]
    try:
        return family, cls, family.arguments(config, given or {}), config
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None


def _without_prefix(weights: StoredWeights, family: Family, folder: Path) -> dict[str, str]:
    stored: dict[str, str] = {}
    for name in weights:
        short = name.removeprefix(family.prefix)
        if family.is_derived(short):
            continue
        if short in stored:
            raise ValueError(f"{folder}: {name} is there twice, with and without {family.prefix!r}")
        stored[short] = name
    return stored


def _translated(
    family: Family, expected: Mapping[str, Tensor], weights: StoredWeights, stored: Mapping[str, str], folder: Path
) -> dict[str, Tensor]:
    """Our weights out of theirs, after checking that each is there once, with the shape that config.json implies."""
    sources = {key: family.sources(key) for key in expected}
    used = {name: key for key, (names, _) in sources.items() for name in names}
    assert len(used) == sum(len(names) for names, _ in sources.values()), "two rules share a weight"
    check_names(used, {name: file for name, file in stored.items() if not family.is_head(name)}, str(folder))
    state: dict[str, Tensor] = {}
    for key, (names, transposed) in sources.items():
        parts = []
        for name in names:
            part = _floating(weights[stored[name]], f"{folder}: {stored[name]}")
            parts.append(part.mT if transposed and part.dim() == 2 else part)
        state[key] = parts[0] if len(parts) == 1 else torch.cat(parts)
        if state[key].shape != expected[key].shape:
            shape = list(reversed(expected[key].shape)) if transposed else list(expected[key].shape)
            found = [weights.shape(stored[name]) for name in names]
            raise ValueError(
                f"{folder}: {' + '.join(stored[name] for name in names)} is {', '.join(map(str, found))}, "
                f"but by {CONFIG} it should be {shape}"
            )
    return state


def _head(tied: bool, family: Family, weights: StoredWeights, stored: Mapping[str, str], folder: Path) -> Tensor | None:
    """The head's matrix where it is one of its own; where it should be tied, that it equals the token table."""
    head = _floating(weights[stored[family.head]], f"{folder}: {family.head}")
    table_name = family.sources("token_table.weight")[0][0]
    table = weights[stored[table_name]]
    if head.shape != table.shape:
        raise ValueError(f"{folder}: {family.head} is {list(head.shape)}, expected {list(table.shape)}")
    if not tied:
        return head.float()
    if not torch.equal(head, table):
        raise ValueError(
            f"{folder}: {family.head} differs from {stored[table_name]}, but tie_word_embeddings in {CONFIG} is true"
        )
    return None


def _floating(tensor: Tensor, name: str) -> Tensor:
    if not tensor.is_floating_point():
        raise ValueError(f"{name} is {tensor.dtype}: only plain floating-point weights are read, no quantised ones")
    return tensor
