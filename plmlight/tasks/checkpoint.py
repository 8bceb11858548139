"""Checkpoints: what they hold, and the way back to a task."""

from __future__ import annotations

import pickle
import tempfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer

from plmlight.nn import build, class_path

if TYPE_CHECKING:
    from plmlight.tasks.base import Task

TASK, ARGUMENTS, TOKENIZER, WEIGHTS = "task", "hyper_parameters", "tokenizer", "state_dict"


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """Reads a checkpoint without running any code that lies in it.

    Args:
        path: a file, or the folder that sharded training writes.

    Returns:
        Its content: ``task`` (a class path), ``hyper_parameters`` (that class's arguments, plain), ``state_dict`` (on
        the CPU), ``tokenizer`` (JSON text or None), and Lightning's own entries.

    Raises:
        FileNotFoundError: when there is nothing at ``path``.
        ValueError: when it is not a checkpoint, is cut short, or was not written by a plmlight task.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if path.is_dir() and not (path / ".metadata").exists():
        raise ValueError(f"{path}: a folder, but not a sharded checkpoint (it has no .metadata)")
    if path.is_file() and not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a checkpoint, or cut short")
    try:
        checkpoint = _read_folder(path) if path.is_dir() else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ValueError(f"{path}: not a checkpoint of plmlight: it holds more than tensors and plain values") from None
    except (RuntimeError, EOFError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{path}: not a checkpoint, or cut short ({reason})") from None
    if not isinstance(checkpoint, dict) or not {TASK, ARGUMENTS, WEIGHTS} <= checkpoint.keys():
        raise ValueError(f"{path}: a torch file, but not a checkpoint that plmlight wrote (it names no task)")
    return checkpoint


def task_from_checkpoint(path: str | Path) -> Task:
    """Builds a checkpoint's task again, with its weights and tokenizer, without its data.

    Args:
        path: what `read_checkpoint` takes.

    Returns:
        The task, in evaluation mode, on the CPU.

    Raises:
        ValueError: as `read_checkpoint`, or when its classes do not fit its weights.
    """
    from plmlight.tasks.base import Task

    checkpoint = read_checkpoint(path)
    task = build({"class_path": checkpoint[TASK], "init_args": checkpoint[ARGUMENTS]})
    if not isinstance(task, Task):
        raise ValueError(f"{path}: {class_path(type(task))} is not a task")
    try:
        task.load_state_dict(checkpoint[WEIGHTS])
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{path}: the weights do not fit {checkpoint[TASK]} ({reason})") from None
    if checkpoint.get(TOKENIZER):
        task.tokenizer = Tokenizer.from_str(checkpoint[TOKENIZER])
    return task.eval()


def _read_folder(folder: Path) -> Any:
    from torch.distributed.checkpoint.format_utils import dcp_to_torch_save

    rest = torch.load(folder / "meta.pt", map_location="cpu", weights_only=True)
    with tempfile.NamedTemporaryFile(dir=folder.parent, prefix=f".{folder.name}.") as whole:
        dcp_to_torch_save(folder, whole.name)
        tensors = torch.load(whole.name, map_location="cpu", weights_only=True)
    return {**rest, WEIGHTS: tensors[WEIGHTS]}
