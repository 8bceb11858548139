"""The way back from a checkpoint to its task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tokenizers import Tokenizer

from plmlight.interop import read_checkpoint
from plmlight.nn import build, class_path

if TYPE_CHECKING:
    from plmlight.tasks.base import Task

TASK, ARGUMENTS, TOKENIZER, WEIGHTS = "task", "hyper_parameters", "tokenizer", "state_dict"
"""What a checkpoint holds: a class path, that class's arguments, JSON text or None, tensors; beside Lightning's own."""


def task_from_checkpoint(path: str | Path) -> Task:
    """Builds a checkpoint's task again, with its weights and tokenizer, without its data.

    Args:
        path: a file, or the folder that sharded training writes.

    Returns:
        The task, in evaluation mode, on the CPU.

    Raises:
        ValueError: when it is not a checkpoint of a task, is cut short, or its classes do not fit its weights.
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
