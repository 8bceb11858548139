"""``infer``: any model on text, from a bundle, a checkpoint, a Hugging Face folder or the hub."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docstring_parser

from plmlight.cli.arguments import OneLineErrors, parse, parser
from plmlight.cli.infer_answers import DECODING, answers_of
from plmlight.cli.infer_chat import chat
from plmlight.cli.infer_models import one_line_warnings, open_model
from plmlight.cli.infer_search import NAMED, searching
from plmlight.decoding import DecodingOptions, Record, TextAnalyser
from plmlight.text import replace_file


def main(command: str, argv: list[str]) -> int:
    """Continues texts, translates, fills masks or embeds, as the model's task is; or holds a dialogue.

    - A causal language model continues a text, or answers it where it was trained on instructions: one text with one
      answer is written while it is generated; otherwise a JSON line an answer, in the order of the texts:
      ``{"prompt", "answer", "text", "finish_reason", "token_ids"}``, and ``"score"`` with beams.
    - One that reads a text and writes another: on a terminal, or of one text, a line an answer; otherwise JSON lines as
      above, with ``"source"`` in the place of ``"prompt"``. With ``--chat``, see `plmlight.cli.infer_chat`.
    - A masked one: of one text a line a token; otherwise a JSON line a text: ``{"text", "masks"}``, for each mask the
      likeliest ``{"token", "token_id", "score", "text"}``.
    - One that was trained on labels: of one text what a person reads; otherwise a JSON line a request: the request, and
      the answer of its task, as ``{"text", "label", "score", "scores"}``. A line of a JSON-lines file is a request as
      it is: with ``"pair"``, ``"question"`` and ``"context"``, ``"predicate"``, ... as the task needs; other keys are
      passed on. What a text is asked about is marked in it: ``She [gave] it away.``, ``<e1>Ann</e1> met <e2>Bob</e2>``.
    - One that embeds: on a terminal the beginning of each vector; otherwise a JSON line a text:
      ``{"text", "embedding"}``. With ``--documents`` of one text a line a document that was found, otherwise a JSON
      line a text: ``{"text", "matches"}``, each ``{"document", "score", "place"}``.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0.

    Raises:
        ValueError: when the model or the texts can not be read, or do not fit together.
    """
    values = parse(_parser(command), argv)
    named = (*DECODING, "echo", "raw", "prefix", "token_type_id", "system")
    given = {name: values[name] for name in named if values[name] is not None}
    DecodingOptions(**{name: value for name, value in given.items() if name in DECODING})  # before a model loads
    if values.batch_size is not None and values.batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {values.batch_size}")
    searches = any(values[name] is not None for name in NAMED)
    if values.chat:
        alone = [name for name in ("text", "input", "output", "batch_size", *NAMED) if values[name] is not None]
        if alone:
            raise ValueError(f"--chat reads lines and answers each: --{alone[0]} does not go with it")
        model = open_model(values.model, values.provider, values.threads, values.graph)
        return chat(values.model, model, given)
    asked = _asked_of_pairs(values) or _asked(values.text, values.input)
    model = open_model(values.model, values.provider, values.threads, values.graph)
    if isinstance(asked[0].content, dict) and not asked[0].where and not isinstance(model, TextAnalyser):
        flag = "question" if values.question else "pair"
        raise ValueError(f"--{flag} is for models that were trained on labels, and {values.model} is none of them")
    answers = (
        searching(
            values.model, model, values, given, lambda name: open_model(name, values.provider, values.threads, None)
        )
        if searches
        else answers_of(values.model, model, given)
    )
    texts: list[Any] = (
        [each.request(model) for each in asked] if isinstance(model, TextAnalyser) else [each.text for each in asked]
    )
    batch_size = values.batch_size or answers.batch_size
    with one_line_warnings(command):
        if values.output is None and answers.shows(texts):
            answers.show(texts, batch_size)
            return 0
        lines = [json.dumps(record, ensure_ascii=False) for record in answers.records(texts, batch_size)]
    if values.output is None:
        print(*lines, sep="\n")
        return 0
    with replace_file(values.output, "w") as handle:
        handle.writelines(f"{line}\n" for line in lines)
    print(f"{values.output}: {len(lines)} answers to {len(texts)} texts", file=sys.stderr)
    return 0


def add_decoding_options(arguments: OneLineErrors, names: Sequence[str] = DECODING) -> None:
    """Gives a parser a flag for each field of `DecodingOptions`, with the help that its docstring has for it.

    Args:
        arguments: the parser. A flag that is not given has the value None: the model's own default holds.
        names: of the fields.
    """
    parsed = docstring_parser.parse(DecodingOptions.__doc__ or "")
    help_of = {item.arg_name: " ".join((item.description or "").split()) for item in parsed.params}
    types = typing.get_type_hints(DecodingOptions)
    for field in (each for each in dataclasses.fields(DecodingOptions) if each.name in names):
        usual = f" (usual: {field.default})" if field.default not in (None, ()) else ""
        more = "; of masked language models: how many tokens a mask gets (usual: 5)" if field.name == "top_k" else ""
        text = f"{help_of[field.name].rstrip('.')}{usual}{more}".replace("%", "%%")
        flag = f"--{field.name}"
        own = {"stop": str, "eos_token_id": int, "suppress_tokens": int, "early_stopping": _early_stopping}
        kind = own.get(field.name, types[field.name])
        if field.name == "stop":
            arguments.add_argument(flag, action="append", type=kind, help=f"{text}; repeatable")
        elif field.name in ("eos_token_id", "suppress_tokens"):
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


def _parser(command: str) -> OneLineErrors:
    arguments = parser(
        command,
        "Run a bundle, a checkpoint, a Hugging Face folder or a hub id on text: continue it (causal language models), "
        "translate, summarise or answer it (models that read one text and write another), "
        "fill its masks, written as the tokenizer's own mask token such as [MASK] or <mask> (masked language models), "
        "name its class, its tags, the roles in it or an answer (models that were trained on labels), "
        "or turn it into a vector (sentence embeddings). Options of another kind of model are an error.",
    )
    arguments.add_argument("model", type=str, help="a bundle, a checkpoint, a Hugging Face folder, or a hub id")
    arguments.add_argument(
        "--text",
        action="append",
        type=str,
        help="a text; repeatable. A predicate whose roles are labelled is in brackets: She [gave] it away.",
    )
    arguments.add_argument(
        "--pair", type=str, default=None, help="of models of pairs of texts: the second text, beside one --text"
    )
    arguments.add_argument(
        "--question", action="append", type=str, help="of models that answer questions: one about --context; repeatable"
    )
    arguments.add_argument("--context", type=str, default=None, help="the text that the questions are about")
    arguments.add_argument(
        "--input",
        type=str,
        default=None,
        help='texts from a file: .jsonl with a "text" or "prompt" a line (or what a task needs: "pair", "question", '
        '"context", "tokens", "predicate"), else one text a line. '
        "Without --text and --input they are read from the standard input, one a line",
    )
    arguments.add_argument(
        "--documents",
        type=str,
        default=None,
        help='of models that embed: find, for each text, the nearest of these: .jsonl with a "text" a line, else one a '
        "line; or a folder that an index was saved to. --top_k of them (usual: 10)",
    )
    arguments.add_argument(
        "--rerank", type=str, default=None, help="a classifier of pairs (a cross-encoder) that orders what is found"
    )
    arguments.add_argument(
        "--candidates", type=int, default=None, help="how many of the nearest documents it orders (usual: --top_k)"
    )
    arguments.add_argument(
        "--prefix",
        type=str,
        default=None,
        help="of models that were trained for several tasks with prefixes: the name of the task",
    )
    arguments.add_argument(
        "--chat",
        action="store_true",
        help="talk to a model that was trained on dialogues or instructions: a line is a turn, /reset begins anew, the "
        "end of the input (Ctrl-D) ends; not for a language model that continues texts, as nothing in it says who "
        "speaks",
    )
    arguments.add_argument("--system", type=str, default=None, help="with --chat: what holds for all turns")
    arguments.add_argument("--output", type=str, default=None, help="write one JSON line an answer to this file")
    arguments.add_argument(
        "--echo", action="store_true", default=None, help="print a single text before its continuation"
    )
    arguments.add_argument(
        "--raw",
        action="store_true",
        default=None,
        help="of models that follow instructions: continue the text as it is, without what stands around instructions",
    )
    arguments.add_argument(
        "--batch_size", type=int, default=None, help="texts that run together (usual: 8 to continue, else 32)"
    )
    arguments.add_argument("--provider", type=str, default="auto", help="auto, cpu, cuda or tensorrt")
    arguments.add_argument("--threads", type=int, default=None, help="threads of the CPU; all allowed by default")
    arguments.add_argument("--graph", type=str, default=None, help="of a bundle: in_place or portable")
    arguments.add_argument(
        "--token_type_id",
        type=int | None,
        default=None,
        help="of masked language models and embeddings: the segment, or XLM's language, of every token",
    )
    add_decoding_options(arguments)
    return arguments


@dataclass(frozen=True)
class _Asked:
    """What a model is asked: a text, or a record of a file with the place where it stands."""

    content: str | Record
    where: str = ""

    @property
    def text(self) -> str:
        """The text alone.

        Raises:
            ValueError: where there is none.
        """
        if isinstance(self.content, str):
            return self.content
        found = [self.content[key] for key in ("text", "prompt") if key in self.content]
        if not found or not isinstance(found[0], str):
            raise ValueError(f'{self.where}: expected an object with the text under "text" or "prompt"')
        return found[0]

    def request(self, model: TextAnalyser) -> Record:
        """The whole record, as a task with labels may need more than a text."""
        return model.request(self.content) if isinstance(self.content, str) else self.content


def _asked_of_pairs(values: Any) -> list[_Asked]:
    """Requests of two texts that were given as words of the command; none where they were not."""
    if values.question is None and values.context is None and values.pair is None:
        return []
    if values.input is not None:
        raise ValueError("--input has whole requests: --pair, --question and --context do not go with it")
    if values.pair is not None:
        if values.question or values.context or not values.text or len(values.text) > 1:
            raise ValueError("--pair is the second of two texts: it goes with one --text, and nothing else")
        return [_Asked({"text": values.text[0], "pair": values.pair})]
    if values.text or not values.question or values.context is None:
        raise ValueError("a question needs --question and the --context that it is about, and no --text")
    return [_Asked({"question": question, "context": values.context}) for question in values.question]


def _asked(given: Sequence[str] | None, file: str | None) -> list[_Asked]:
    if given and file:
        raise ValueError("--text and --input are two sources of texts: give one of them")
    if given:
        return [_Asked(text) for text in given]
    if file is None:
        if sys.stdin.isatty():
            raise ValueError("there is no text: give --text, --input, or texts on the standard input")
        content, name = sys.stdin.buffer.read(), "standard input"
    else:
        content, name = Path(file).read_bytes(), file
    try:
        lines = content.decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: byte {error.start} is not UTF-8") from error
    found = list(_from_jsonl(lines, name)) if name.endswith((".jsonl", ".json")) else list(map(_Asked, lines))
    if not found:
        raise ValueError(f"{name}: holds no text")
    return found


def _from_jsonl(lines: list[str], name: str) -> Iterator[_Asked]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{name}:{number}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f'{name}:{number}: expected an object with the text under "text" or "prompt"')
        yield _Asked(record, f"{name}:{number}")
