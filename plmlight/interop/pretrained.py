"""Networks that start from published weights or from a checkpoint, and can be published."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from torch import Tensor

from plmlight.interop.checkpoint import is_checkpoint, read_checkpoint
from plmlight.interop.family import Family
from plmlight.interop.filling import filled
from plmlight.interop.folder import fetch
from plmlight.interop.reading import import_folder, read_settings
from plmlight.interop.writing import write_folder
from plmlight.nn import Network, build

N = TypeVar("N", bound="Pretrained")


class Pretrained(Network):
    """A network with families on the Hugging Face Hub.

    A class derived from it sets ``families`` and defines ``from_pretrained`` as one call of `load_network`. It is
    written out in each class because jsonargparse resolves ``class_path: plmlight.GPT.from_pretrained`` by the return
    annotation, which has to be the class itself.
    """

    families: ClassVar[tuple[Family, ...]] = ()

    def save_pretrained(self, folder: str) -> None:
        """Writes config.json and model.safetensors, which ``transformers.AutoModel`` opens.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no family can express the network, or the folder holds other files.
        """
        write_folder(folder, self)


def load_network(cls: type[N], folder: str, dropout: float | None = None) -> N:
    """The network of a Hugging Face folder, a hub id or a checkpoint.

    Args:
        cls: the class that is expected.
        folder: where it is.
        dropout: replaces the one that is written there.

    Returns:
        The network, in training mode as one that was just built.

    Raises:
        ValueError: when there is no such network, or its weights do not fit.
    """
    path = fetch(folder)
    given = {} if dropout is None else {"dropout": dropout}
    if is_checkpoint(path):
        checkpoint = read_checkpoint(path)
        stored = _stored(checkpoint, path)
        config = {**stored, "init_args": {**stored["init_args"], **given}}
        prefix = "network."
        weights = {k.removeprefix(prefix): v for k, v in checkpoint["state_dict"].items() if k.startswith(prefix)}
        if checkpoint["hyper_parameters"].get("adapter") is not None:
            weights = merged_weights(stored, checkpoint["hyper_parameters"]["adapter"], weights, str(path))
        network: Network = filled(lambda: build(config), weights, str(path))
    else:
        network = import_folder(path, dict.fromkeys(cls.families, cls), given).network
    if not isinstance(network, cls):
        raise ValueError(f"{path}: holds a {type(network).__name__}, expected a {cls.__name__}")
    network.origin = str(folder)
    return network


def stored_arguments(cls: type[Pretrained], folder: str) -> dict[str, Any]:
    """What `load_network` would build a network with, without reading its weights.

    Args:
        cls: the class that is expected.
        folder: where it is.

    Returns:
        The constructor's arguments: ``vocab_size``, ``max_length``, ...

    Raises:
        ValueError: when there is no such network.
    """
    path = fetch(folder)
    if is_checkpoint(path):
        return dict(_stored(read_checkpoint(path), path)["init_args"])
    return read_settings(path, dict.fromkeys(cls.families, cls))[2]


def merged_weights(
    network: Mapping[str, Any], adapter: Mapping[str, Any], weights: Mapping[str, Tensor], where: str
) -> dict[str, Tensor]:
    """The weights of a network, with what an adapter learned folded into them.

    Args:
        network: as `plmlight.nn.build` takes it.
        adapter: likewise.
        weights: of the network with the adapter.
        where: what to call their source in an error.

    Returns:
        The weights of the network without.

    Raises:
        ValueError: when they do not fit, or the adapter cannot be merged.
    """

    def adapted() -> Network:
        made: Network = build(network)
        build(adapter).apply(made)
        return made

    whole = filled(adapted, weights, where)
    try:
        build(adapter).merge(whole)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return whole.state_dict()


def _stored(checkpoint: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    stored = checkpoint["hyper_parameters"].get("network")
    if not (isinstance(stored, Mapping) and {"class_path", "init_args"} <= stored.keys()):
        raise ValueError(f"{path}: the checkpoint names no network")
    return stored
