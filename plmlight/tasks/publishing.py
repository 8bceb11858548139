from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop import TEMPLATE, write_folder
from plmlight.tasks.base import Task
from plmlight.text import TextForm


def publish(
    task: Task,
    folder: str,
    files: Mapping[str, str] | None = None,
    published_as: str | None = None,
    arguments: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Writes a task in Hugging Face format: its network, its heads, and its tokenizer if it has one.

    Args:
        task: the task.
        folder: made, or replaced if it holds nothing but such files.
        files: texts that go along, by name.
        published_as: the name of the task that it is in the families' tables, where it is another than its class's.
        arguments: some of what the task is built with, which the family must have too.
        settings: what else config.json says.

    Raises:
        ValueError: when no Hugging Face family can express the task, or the folder holds other files.
    """
    if task.adapter is not None:
        raise ValueError(
            f"{folder}: this {type(task).__name__} has an adapter ({type(task.adapter).__name__}), for which Hugging "
            "Face's format of models has no place: merge it (convert --merge), or write it alone (convert --adapter)"
        )
    own = {id(parameter) for parameter in task.network.parameters()}
    state = task.state_dict(keep_vars=True)
    besides = ("network.", "problem.", "auxiliaries.")
    heads = {k: v.detach() for k, v in state.items() if not k.startswith(besides) and id(v) not in own}
    name = published_as or type(task).__name__
    form: TextForm | None = getattr(task, "text_form", None)
    if form is not None and form.chat is not None:
        files = {**(files or {}), TEMPLATE: form.chat.template()}
    write_folder(
        folder,
        task.network,
        task=name,
        heads=heads,
        tokenizer=task.tokenizer,
        target_tokenizer=getattr(task, "target_tokenizer", None),
        files=files,
        decoding=getattr(task, "decoding_defaults", None),
        prefixes=None if form is None else form.prefixes,
        arguments=arguments,
        settings=settings,
    )
