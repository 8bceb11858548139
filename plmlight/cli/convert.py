"""``convert``: Hugging Face format to checkpoint, and back; an adapter alone or merged; n-grams to ARPA, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plmlight.cli.arguments import OPENED_AS, parse, parser

if TYPE_CHECKING:
    from plmlight.tasks import Task


def main(command: str, argv: list[str]) -> int:
    """Converts a model, in the direction that the source decides.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0.

    Raises:
        ValueError: when the source cannot be opened, or the other format cannot express it.
    """
    arguments = parser(
        command,
        "Turn a Hugging Face folder or hub id into a checkpoint (.ckpt), or a checkpoint into a Hugging Face folder "
        "that transformers opens: config.json, model.safetensors and, if the model has one, its tokenizer. An n-gram "
        "model becomes an ARPA file (.arpa, its tokenizer beside it), and that a checkpoint; word "
        "vectors become a file (.vec: word2vec's text, .bin: its binary format, .txt: GloVe's text), and that a "
        "checkpoint.",
    )
    arguments.add_argument(
        "source",
        type=str,
        help="a checkpoint, a Hugging Face folder, a hub id, an ARPA file, or a file of word vectors",
    )
    arguments.add_argument(
        "--output",
        type=str,
        required=True,
        help="the checkpoint, ARPA file or file of word vectors to write, or the folder",
    )
    arguments.add_argument("--task", type=str | None, default=None, help=OPENED_AS)
    arguments.add_argument(
        "--adapter", action="store_true", help="write only the adapter and the heads of a checkpoint, as a folder"
    )
    arguments.add_argument(
        "--merge", action="store_true", help="fold the adapter into the weights: a model as any other comes out"
    )
    arguments.add_argument(
        "--base", type=str | None, default=None, help="where the network of an adapter is, if it is not where it was"
    )
    values = parse(arguments, argv)
    source, output = str(values.source), Path(values.output)

    from plmlight.interop import fetch
    from plmlight.loading import load

    if values.adapter and values.merge:
        raise ValueError("--adapter writes what --merge would fold into the weights: give one of them")
    found = fetch(source)
    if output.exists() and output.samefile(found):
        raise ValueError(f"{output}: is the source itself, name another output")
    to_folder = _becomes_folder(values, found, output)
    print(f"reading {source}", file=sys.stderr)
    task = load(found, values.task, values.base)
    if values.merge and task.adapter is None:
        raise ValueError(f"{source}: this {type(task).__name__} has no adapter that could be merged")
    if values.adapter:
        _write_adapter(source, task, output, values.base)
    else:
        task = task.merged() if values.merge else task
        _write(source, task, output, to_folder)
    files = sorted(output.iterdir()) if to_folder else [output]
    if output.suffix == ".arpa":
        files.append(output.with_suffix(".tokenizer.json"))
    size = sum(path.stat().st_size for path in files)
    count = sum(parameter.numel() for parameter in task.parameters())
    tokenizer = f"a tokenizer of {task.tokenizer.get_vocab_size()} tokens" if task.tokenizer else "no tokenizer"
    print(
        f"{output}: {type(task).__name__} with {type(task.network).__name__}, {count:,} parameters, {tokenizer}; "
        f"{size / 1e6:.1f} MB in {', '.join(path.name for path in files)}"
    )
    return 0


def _becomes_folder(values: Any, found: Path, output: Path) -> bool:
    """Whether a folder is written, and not a file."""
    from plmlight.interop import is_checkpoint
    from plmlight.text.vectors import SUFFIXES, is_vectors

    if values.adapter or values.merge:
        to_folder = bool(values.adapter) or output.suffix != ".ckpt"
    else:
        plain = is_checkpoint(found) and found.suffix != ".arpa" and not is_vectors(found)
        to_folder = plain and output.suffix not in (".arpa", *SUFFIXES)
    if to_folder and output.suffix in (".ckpt", ".safetensors"):
        raise ValueError(f"{output}: {values.source} is a checkpoint and becomes a folder: name one for --output")
    if not to_folder and output.is_dir():
        raise ValueError(
            f"{output}: {values.source} becomes a checkpoint file, but this is a folder: name a .ckpt file"
        )
    return to_folder


def _write(source: str, task: Task, output: Path, to_folder: bool) -> None:
    from plmlight.loading import write_checkpoint, write_ngrams
    from plmlight.text.vectors import SUFFIXES

    if output.suffix == ".arpa":
        write_ngrams(task, output)
    elif output.suffix in SUFFIXES:
        _write_vectors(source, task, output)
    elif to_folder:
        save = getattr(task, "save_pretrained", None)
        if save is None:
            raise ValueError(f"{source}: {type(task).__name__} has no Hugging Face format")
        save(str(output))
    else:
        write_checkpoint(task, output)


def _write_adapter(source: str, task: Task, output: Path, base: str | None) -> None:
    from plmlight.tasks.adapter_folder import write_adapter

    try:
        reason = write_adapter(task, output, base)
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None
    trained, total = task.trained_parameters()
    print(f"{trained:,} of {total:,} parameters were trained ({trained / total:.2%})", file=sys.stderr)
    if reason is not None:
        print(f"PEFT cannot open the adapter, plmlight can: {reason}", file=sys.stderr)


def _write_vectors(source: str, task: Task, output: Path) -> None:
    from plmlight.tasks import WordVectorModel
    from plmlight.text.vectors import write_vectors

    if not isinstance(task, WordVectorModel):
        raise ValueError(f"{source}: holds a {type(task).__name__}, of which {output.suffix} can hold nothing")
    space = task.space()
    write_vectors(output, space.words, space.vectors)
