"""Checkpoints of this project: one file, or the folder of shards that FSDP2 writes."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch
from torch import Tensor

_SHARDED = ".metadata"
_REST = "meta.pt"  # Lightning's: what a sharded checkpoint holds beside tensors
_STATE = "state_dict"


def is_checkpoint(path: Path) -> bool:
    """Whether a path is a checkpoint rather than a Hugging Face folder: any file, or a folder of shards."""
    return path.is_file() or (path / _SHARDED).exists()


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint to the CPU, without running what it may contain.

    Args:
        path: a file that a Lightning trainer wrote for a task of this project, or a folder of shards. Tensors of a
            file are mapped, not read: what is not used (an optimiser's state) costs nothing.

    Returns:
        The dictionary: ``state_dict``, ``hyper_parameters``, ``task``, ``tokenizer`` and what Lightning adds. From a
        folder the optimiser's shards are left out.

    Raises:
        ValueError: for a file that is truncated, holds more than plain data, or was written by something else.
    """
    path = Path(path)
    checkpoint = _read_shards(path) if path.is_dir() else _read_file(path)
    if not isinstance(checkpoint, dict) or not isinstance(checkpoint.get(_STATE), dict):
        raise ValueError(f"{path}: not a checkpoint of a training run: state_dict is missing")
    if not isinstance(checkpoint.get("hyper_parameters"), dict) or not isinstance(checkpoint.get("task"), str):
        raise ValueError(f"{path}: a checkpoint of something else than a plmlight task: it does not name its task")
    return checkpoint


def _read_file(path: Path) -> Any:
    with open(path, "rb"):
        pass  # what is wrong with the file as such is the system's to say
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError:
        if is_zipfile(path):
            raise ValueError(f"{path}: holds objects that only running code would restore") from None
        raise ValueError(f"{path}: not a checkpoint") from None
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, AttributeError):
        raise ValueError(f"{path}: not a checkpoint, or a truncated one") from None


def _read_shards(path: Path) -> Any:
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.filesystem import FileSystemReader
    from torch.distributed.checkpoint.metadata import TensorStorageMetadata
    from torch.distributed.checkpoint.state_dict_loader import load

    rest = _read_file(path / _REST) if (path / _REST).exists() else {}
    try:
        reader = FileSystemReader(path)
        listed = reader.read_metadata().state_dict_metadata
        state: dict[str, Tensor] = {
            key: torch.empty(stored.size, dtype=stored.properties.dtype)
            for key, stored in listed.items()
            if key.startswith(f"{_STATE}.") and isinstance(stored, TensorStorageMetadata)
        }
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.distributed is disabled")  # it says so even where asked for
            load(state, storage_reader=reader, no_dist=True)
    except (OSError, CheckpointException, RuntimeError, ValueError, EOFError, pickle.UnpicklingError):
        raise ValueError(f"{path}: not a sharded checkpoint, or one with missing or truncated shards") from None
    return {**rest, _STATE: {key.removeprefix(f"{_STATE}."): value for key, value in state.items()}}
