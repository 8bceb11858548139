"""``infer``: any model on text, from a bundle, a checkpoint, a Hugging Face folder or the hub."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import typing
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import docstring_parser

from plmlight.cli.arguments import CommandParser, parse, parser
from plmlight.decoding import DecodingOptions, Hypothesis, TextGenerator
from plmlight.text import nearest, replace_file


def main(command: str, argv: list[str]) -> int:
    """Continues texts.

    One text with one answer is written while it is generated. Otherwise there is one JSON line an answer, in the order
    of the texts: ``{"prompt", "answer", "text", "finish_reason", "token_ids"}``, and ``"score"`` with beams.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0.

    Raises:
        ValueError: when the model or the texts can not be read, or do not fit together.
    """
    values = parse(_parser(command), argv)
    changes = {field.name: values[field.name] for field in dataclasses.fields(DecodingOptions)}
    changes = {name: value for name, value in changes.items() if value is not None}
    DecodingOptions(**changes)  # a mistake there should not wait for a model to load
    if values.batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {values.batch_size}")
    texts = _texts(values.text, values.input)
    model = _open(values.model, values.provider, values.threads, values.graph)
    options = dataclasses.replace(model.options, **changes)
    if values.output is None and len(texts) == options.num_return_sequences == 1:
        if values.echo:
            print(texts[0], end="", flush=True)
        for text in _pieces(model, texts[0], options):
            print(text, end="", flush=True)
        print()
        return 0
    answers = model.generate(texts, options, batch_size=values.batch_size)
    lines = [json.dumps(record, ensure_ascii=False) for record in _records(texts, answers)]
    if values.output is None:
        print(*lines, sep="\n")
        return 0
    with replace_file(values.output, "w") as handle:
        handle.writelines(f"{line}\n" for line in lines)
    print(f"{values.output}: {len(lines)} answers to {len(texts)} texts", file=sys.stderr)
    return 0


def add_decoding_options(arguments: CommandParser) -> None:
    """Gives a parser a flag for each field of `DecodingOptions`, with the help that its docstring has for it.

    Args:
        arguments: the parser. A flag that is not given has the value None: the model's own default holds.
    """
    parsed = docstring_parser.parse(DecodingOptions.__doc__ or "")
    help_of = {item.arg_name: " ".join((item.description or "").split()) for item in parsed.params}
    types = typing.get_type_hints(DecodingOptions)
    for field in dataclasses.fields(DecodingOptions):
        usual = f" (usual: {field.default})" if field.default not in (None, ()) else ""
        text = f"{help_of[field.name]}{usual}".replace("%", "%%")
        flag = f"--{field.name}"
        kind = {"stop": str, "eos_token_id": int, "early_stopping": _early_stopping}.get(field.name, types[field.name])
        if field.name == "stop":
            arguments.add_argument(flag, action="append", type=kind, help=f"{text}; repeatable")
        elif field.name == "eos_token_id":
            arguments.add_argument(flag, nargs="+", type=kind, help=text)
        elif kind is bool:
            arguments.add_argument(flag, action="store_true", default=None, help=text)
        else:
            alone = [member for member in typing.get_args(kind) if member is not type(None)]
            arguments.add_argument(flag, type=alone[0] if alone else kind, default=None, help=text)


def _early_stopping(value: object) -> bool | str:
    words: dict[object, bool | str] = {"true": True, "false": False, "never": "never"}
    if str(value).lower() not in words:
        raise argparse.ArgumentTypeError(f"expected true, false or never, not {value!r}")
    return words[str(value).lower()]


def _parser(command: str) -> CommandParser:
    arguments = parser(command, "Continue texts with a bundle, a checkpoint, a Hugging Face folder or a hub id.")
    arguments.add_argument("model", type=str, help="a bundle, a checkpoint, a Hugging Face folder, or a hub id")
    arguments.add_argument("--text", action="append", type=str, help="a text to continue; repeatable")
    arguments.add_argument(
        "--input",
        type=str,
        default=None,
        help='texts from a file: .jsonl with a "text" or "prompt" a line, else one text a line. '
        "Without --text and --input they are read from the standard input, one a line",
    )
    arguments.add_argument("--output", type=str, default=None, help="write one JSON line an answer to this file")
    arguments.add_argument("--echo", action="store_true", help="print a single text before its continuation")
    arguments.add_argument("--batch_size", type=int, default=8, help="texts that run together")
    arguments.add_argument("--provider", type=str, default="auto", help="auto, cpu, cuda or tensorrt")
    arguments.add_argument("--threads", type=int, default=None, help="threads of the CPU; all allowed by default")
    arguments.add_argument("--graph", type=str, default=None, help="of a bundle: in_place or portable")
    add_decoding_options(arguments)
    return arguments


def _texts(given: Sequence[str] | None, file: str | None) -> list[str]:
    if given and file:
        raise ValueError("--text and --input are two sources of texts: give one of them")
    if given:
        return list(given)
    if file is None:
        if sys.stdin.isatty():
            raise ValueError("nothing to continue: give --text, --input, or texts on the standard input")
        content, name = sys.stdin.buffer.read(), "standard input"
    else:
        content, name = Path(file).read_bytes(), file
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: byte {error.start} is not UTF-8") from error
    texts = list(_from_jsonl(lines, name)) if name.endswith((".jsonl", ".json")) else lines
    if not texts:
        raise ValueError(f"{name}: holds no text")
    return texts


def _from_jsonl(lines: list[str], name: str) -> Iterator[str]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{name}:{number}: not valid JSON: {error}") from error
        found = [record[key] for key in ("text", "prompt") if key in record] if isinstance(record, dict) else []
        if not found or not isinstance(found[0], str):
            raise ValueError(f'{name}:{number}: expected an object with the text under "text" or "prompt"')
        yield found[0]


def _open(name: str, provider: str, threads: int | None, graph: str | None) -> TextGenerator:
    if (Path(name) / "manifest.json").is_file():
        from plmlight import runtime

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            model = runtime.load(name, provider, threads, graph)
        for warning in caught:
            print(f"plmlight infer: {warning.message}", file=sys.stderr)
        return model
    if graph is not None:
        raise ValueError(f"{name}: --graph chooses among a bundle's graphs, and this is no bundle")
    return _torch_model(name, provider, threads)


def _torch_model(name: str, provider: str, threads: int | None) -> TextGenerator:
    import torch

    from plmlight.loading import load
    from plmlight.tasks import CausalLM, TorchLanguageModel
    from plmlight.text import special_token_ids

    if provider not in ("auto", "cpu", "cuda"):
        expected = nearest(provider, ["auto", "cpu", "cuda"])
        raise ValueError(f"{name}: not a bundle, so it can not run on the provider {provider!r}{expected}")
    cuda = torch.cuda.is_available()
    if provider == "cuda" and not cuda:
        raise ValueError("provider 'cuda' was asked for, but torch finds no CUDA device: see `plmlight doctor`")
    task = load(name)
    if not isinstance(task, CausalLM):
        raise ValueError(f"{name}: holds a {type(task).__name__}, and infer continues texts with a CausalLM")
    if task.tokenizer is None:
        raise ValueError(f"{name}: has no tokenizer, so it can not read text")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    task.to("cuda" if cuda and provider != "cpu" else "cpu")
    special = special_token_ids(task.tokenizer)
    options = DecodingOptions(eos_token_id=special.get("eos"))
    return TextGenerator(TorchLanguageModel(task), task.tokenizer, options, special.get("bos", special.get("eos")))


def _pieces(model: TextGenerator, text: str, options: DecodingOptions) -> Iterator[str]:
    """The answer's text, in pieces unless a beam search has to end first."""
    if options.num_beams > 1:
        yield model.generate([text], options)[0][0].text
    else:
        yield from (piece.text for piece in model.stream(text, options))


def _records(texts: Sequence[str], answers: Sequence[Sequence[Hypothesis]]) -> Iterator[dict[str, Any]]:
    for text, found in zip(texts, answers, strict=True):
        for rank, answer in enumerate(found):
            score = {} if answer.score is None else {"score": answer.score}
            yield {
                "prompt": text,
                "answer": rank,
                "text": answer.text,
                "finish_reason": answer.finish_reason,
                "token_ids": answer.token_ids,
                **score,
            }
