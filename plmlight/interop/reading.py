"""A Hugging Face folder as a network and its heads, strictly: every weight is used exactly once."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from plmlight.interop.family import HEAD, Architecture, Family, Rule
from plmlight.interop.filling import check_names, filled
from plmlight.interop.folder import CONFIG, StoredWeights, read_config
from plmlight.nn import EncoderDecoder, Network
from plmlight.text import nearest


@dataclass(frozen=True)
class Imported:
    """What a Hugging Face folder holds.

    Attributes:
        network: the backbone.
        family: its table.
        architecture: the class that config.json names.
        heads: the other weights of the task that has this architecture, by their names in it; none where there is no
            such task. A head that is tied to the token table is left out.
        names: what the heads' weights are called there.
        arguments: what the task is built with beside its network.
    """

    network: Network
    family: Family
    architecture: str
    heads: dict[str, Tensor]
    names: dict[str, str]
    arguments: dict[str, Any]


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
    held = _Held(folder, family)
    with torch.device("meta"):
        blank = cls(**arguments)
    expected = blank.state_dict(keep_vars=True)
    written = blank.target_embedding if isinstance(blank, EncoderDecoder) else blank.token_embedding
    (table,) = (key for key, tensor in expected.items() if tensor is written.weight)
    untied = family.untied_by(config)
    tied_to = None if untied is not None else family.source(table, expected)[0][0]
    held.unite(expected, tied_to)
    network = filled(lambda: cls(**arguments), _translated(family, arguments, expected, held), str(folder))
    name = str((config.get("architectures") or [family.backbone])[0])
    architecture = family.architectures.get(name)
    if architecture is None:
        return Imported(network, family, name, {}, {}, {})
    for key, value in architecture.required.items():
        if config.get(key, value) != value:
            raise ValueError(f"{folder / CONFIG}: {key} is {config[key]!r}: only {value!r} is supported by {name}")
    told = "" if untied is None else f"{untied} is {json.dumps(config[untied])}"
    heads, names, chosen = _heads(family, architecture, held, tied_to, told)
    return Imported(network, family, name, heads, names, chosen)


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
        refused = f"{folder / CONFIG}: model_type {config['model_type']!r} is not"
        readers = {cls.__name__ for cls in tables.values()}
        if len(readers) == 1:
            raise ValueError(f"{refused} read by {readers.pop()}, which reads {', '.join(sorted(known))}")
        raise ValueError(f"{refused} known{nearest(config['model_type'], known)}")
    family, cls = known[config["model_type"]]
    try:
        return family, cls, family.arguments(config, given or {}), config
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG}: {error}") from None


class _Held:
    """The weights of a folder by the names of today, without prefix.

    Args:
        folder: holds safetensors.
        family: knows what older versions called them.

    Raises:
        ValueError: when one is there twice.
    """

    def __init__(self, folder: Path, family: Family) -> None:
        self.folder, self.family, self.weights = folder, family, StoredWeights(folder)
        self.files: dict[str, str] = {}  # today's name to the one in the file
        for name in self.weights:
            today = family.today(name)
            if family.is_derived(today):
                continue
            if today in self.files:
                raise ValueError(
                    f"{folder}: {name} is there twice, with and without {family.prefix!r}, or by an older name"
                )
            self.files[today] = name

    def __contains__(self, name: str) -> bool:
        return name in self.files

    def has(self, rule: Rule) -> bool:
        """Whether a head's weight is stored."""
        return rule.theirs in self.files or rule.twin in self.files

    def unite(self, expected: Collection[str], tied_to: str | None) -> None:
        """Lets each weight that is stored by several names have one, the first of its rule.

        Args:
            expected: the names of our network's weights.
            tied_to: what a head that is tied to it may be stored as alone.

        Raises:
            ValueError: when two of its copies differ.
        """
        for key in expected:
            names, rule = self.family.source(key, expected)
            found = [name for name in (*names[:1], *rule.copies) if name in self.files] if rule.copies else []
            for name in found[1:]:
                _check_tied(self, name, found[0], "they are one")
            if found:
                stored = [self.files.pop(name) for name in found]
                self.files[names[0]] = stored[0]
        if tied_to is not None and tied_to not in self.files:
            for rule in self.family.heads:
                if rule.ours == HEAD and rule.theirs in self.files:
                    self.files[tied_to] = self.files[rule.theirs]

    def tensor(self, name: str) -> Tensor:
        """One of them, if it is of a plain type."""
        tensor = self.weights[self.files[name]]
        if not tensor.is_floating_point():
            raise ValueError(
                f"{self.folder}: {self.files[name]} is {tensor.dtype}: only plain floating-point weights are read, no "
                "quantised ones"
            )
        return tensor


def _translated(
    family: Family, arguments: Mapping[str, Any], expected: Mapping[str, Tensor], held: _Held
) -> dict[str, Tensor]:
    """Our weights out of theirs, after checking that each is there once, with the shape that config.json implies."""
    sources = {key: family.source(key, expected) for key in expected}
    used = {name: key for key, (names, _) in sources.items() for name in names}
    assert len(used) == sum(len(names) for names, _ in sources.values()), "two rules share a weight"
    check_names(used, {name: file for name, file in held.files.items() if not family.is_head(name)}, str(held.folder))
    state: dict[str, Tensor] = {}
    for key, (names, rule) in sources.items():
        parts = [held.tensor(name) for name in names]
        parts = [part.flatten(1) if rule.by_head and part.dim() == 3 else part for part in parts]
        parts = [part.mT if rule.transposed and part.dim() == 2 else part for part in parts]
        shape = expected[key].shape
        split = [shape[0] // len(parts) + rule.skipped, *shape[1:]]
        if any(list(part.shape) != split for part in parts):
            found = [held.weights.shape(held.files[name]) for name in names]
            wanted = split[::-1] if rule.transposed else split
            if rule.by_head:
                wanted = [wanted[0], arguments["num_heads"], wanted[1] // arguments["num_heads"]]
            raise ValueError(
                f"{held.folder}: {' + '.join(held.files[name] for name in names)} is {', '.join(map(str, found))}, "
                f"but by {CONFIG} it should be {wanted}"
            )
        state[key] = parts[0][rule.skipped :] if len(parts) == 1 else torch.cat(parts)
    return state


def _heads(
    family: Family, architecture: Architecture, held: _Held, tied_to: str | None, untied: str
) -> tuple[dict[str, Tensor], dict[str, str], dict[str, Any]]:
    """What a task has beside its network: its weights, their names there, and the arguments that build it."""
    modules, arguments = set(architecture.heads), dict(architecture.arguments)
    for module, asked in architecture.optional.items():
        if any(held.has(rule) for rule in family.head_rules([module], architecture)):
            modules.add(module)
            arguments |= asked
    heads: dict[str, Tensor] = {}
    names: dict[str, str] = {}
    for rule in family.head_rules(modules, architecture):
        assert isinstance(rule.theirs, str)
        name = rule.theirs
        if rule.twin is not None and rule.twin in held:
            if tied_to is not None and name in held:
                _check_tied(held, rule.twin, name, "they are one")
            name = rule.twin
        if rule.ours == HEAD and tied_to is not None:
            if name in held:
                _check_tied(held, name, tied_to, f"tie_word_embeddings in {CONFIG} is true")
            continue
        if name not in held:
            why = f", and {CONFIG} does not tie it ({untied})" if rule.ours == HEAD else ""
            raise ValueError(f"{held.folder}: the weight {name} is missing{why}")
        tensor = held.tensor(name)
        heads[rule.ours] = tensor[0] if rule.row and tensor.dim() == 2 else tensor
        names[rule.ours] = held.files[name]
    if HEAD in heads:
        arguments["tie_head"] = False
    return heads, names, arguments


def _check_tied(held: _Held, name: str, twin: str, reason: str) -> None:
    one, other = held.tensor(name), held.tensor(twin)
    if one.shape != other.shape:
        raise ValueError(f"{held.folder}: {held.files[name]} is {list(one.shape)}, expected {list(other.shape)}")
    if not torch.equal(one, other):
        raise ValueError(f"{held.folder}: {held.files[name]} differs from {held.files[twin]}, but {reason}")
