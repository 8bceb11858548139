"""The way back from a checkpoint to its task."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from plmlight.interop import read_checkpoint
from plmlight.nn import build, class_path

if TYPE_CHECKING:
    from plmlight.tasks.base import Task

TASK, ARGUMENTS, TOKENIZER, WEIGHTS = "task", "hyper_parameters", "tokenizer", "state_dict"
"""What a checkpoint holds: a class path, that class's arguments, JSON text or None, tensors; beside Lightning's own."""

ORIGIN = "origin"
"""And of any task: the name that its network's weights came from, or None."""

TARGET_TOKENIZER, TEXT_FORM, DECODING_DEFAULTS = "target_tokenizer", "text_form", "decoding_defaults"
"""And of a task that reads one text and writes another: JSON text or None, and two dictionaries of plain values."""


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
    task.restore_text(checkpoint)
    task.network.origin = checkpoint.get(ORIGIN)
    return task.eval()
