"""``convert``: Hugging Face format to checkpoint, and back; an n-gram model to the ARPA format, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

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
    arguments.add_argument("source", type=str, help="a checkpoint, a Hugging Face folder, a hub id, or an ARPA file")
    arguments.add_argument(
        "--output", type=str, required=True, help="the checkpoint or ARPA file, or the folder to write"
    )
    arguments.add_argument("--task", type=str | None, default=None, help=OPENED_AS)
    values = parse(arguments, argv)
    source, output = str(values.source), Path(values.output)

    from plmlight.interop import fetch, is_checkpoint
    from plmlight.loading import load, write_checkpoint, write_ngrams
    from plmlight.text.vectors import SUFFIXES, is_vectors

    found = fetch(source)
    if output.exists() and output.samefile(found):
        raise ValueError(f"{output}: is the source itself, name another output")
    to_arpa = output.suffix == ".arpa"
    to_vectors = output.suffix in SUFFIXES
    to_folder = (
        is_checkpoint(found) and found.suffix != ".arpa" and not to_arpa and not is_vectors(found) and not to_vectors
    )
    if to_folder and output.suffix in (".ckpt", ".safetensors"):
        raise ValueError(f"{output}: {source} is a checkpoint and becomes a folder: name one for --output")
    if not to_folder and output.is_dir():
        raise ValueError(f"{output}: {source} becomes a checkpoint file, but this is a folder: name a .ckpt file")
    print(f"reading {source}", file=sys.stderr)
    task = load(found, values.task)
    if to_arpa:
        write_ngrams(task, output)
    elif to_vectors:
        _write_vectors(source, task, output)
    elif to_folder:
        save = getattr(task, "save_pretrained", None)
        if save is None:
            raise ValueError(f"{source}: {type(task).__name__} has no Hugging Face format")
        save(str(output))
    else:
        write_checkpoint(task, output)
    files = sorted(output.iterdir()) if to_folder else [output]
    size = sum(path.stat().st_size for path in files)
    count = sum(parameter.numel() for parameter in task.parameters())
    tokenizer = f"a tokenizer of {task.tokenizer.get_vocab_size()} tokens" if task.tokenizer else "no tokenizer"
    print(
        f"{output}: {type(task).__name__} with {type(task.network).__name__}, {count:,} parameters, {tokenizer}; "
        f"{size / 1e6:.1f} MB in {', '.join(path.name for path in files)}"
    )
    return 0


def _write_vectors(source: str, task: Task, output: Path) -> None:
    from plmlight.tasks import WordVectorModel
    from plmlight.text.vectors import write_vectors

    if not isinstance(task, WordVectorModel):
        raise ValueError(f"{source}: holds a {type(task).__name__}, of which {output.suffix} can hold nothing")
    space = task.space()
    write_vectors(output, space.words, space.vectors)
