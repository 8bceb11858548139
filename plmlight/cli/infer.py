"""``infer``: any model on text, from a bundle, a checkpoint, a Hugging Face folder or the hub."""

from __future__ import annotations

import json
import sys
from typing import Any

from plmlight.cli.arguments import OneLineErrors, add_running_arguments, parse, parser
from plmlight.cli.decoding_options import DECODING, add_decoding_options
from plmlight.cli.infer_answers import answers_of
from plmlight.cli.infer_chat import chat
from plmlight.cli.infer_models import one_line_warnings, open_model
from plmlight.cli.infer_requests import asked, asked_of_pairs, check_words, told_by_place
from plmlight.cli.infer_search import NAMED, searching
from plmlight.decoding import DecodingOptions, TextAnalyser
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
    - Word vectors: of one text a line a word that was found; otherwise a JSON line a text: ``{"text", "words"}``, each
      ``{"word", "score"}``, or ``{"text", "similarity"}`` where the text is two words.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0.

    Raises:
        ValueError: when the model or the texts can not be read, or do not fit together.
    """
    values = parse(_parser(command), argv)
    check_words(values)
    named = (*DECODING, "echo", "raw", "prefix", "token_type_id", "system")
    given = {name: values[name] for name in named if values[name] is not None}
    DecodingOptions(**{name: value for name, value in given.items() if name in DECODING})  # before a model loads
    if values.batch_size is not None and values.batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {values.batch_size}")
    searches = any(values[name] is not None for name in NAMED)
    if values.chat:
        others = ("text", "pair", "question", "context", "input", "output", "batch_size", *NAMED)
        alone = [name for name in others if values[name] is not None]
        if alone:
            raise ValueError(f"--chat reads lines and answers each: --{alone[0]} does not go with it")
        model = open_model(values.model, values.provider, values.threads, values.graph)
        return chat(values.model, model, given)
    requests = asked_of_pairs(values) or asked(values.text, values.input)
    model = open_model(values.model, values.provider, values.threads, values.graph)
    if isinstance(requests[0].content, dict) and not requests[0].where and not isinstance(model, TextAnalyser):
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
        [each.request(model) for each in requests]
        if isinstance(model, TextAnalyser)
        else [each.text for each in requests]
    )
    batch_size = values.batch_size or answers.batch_size
    with one_line_warnings(command), told_by_place(requests):
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


def _parser(command: str) -> OneLineErrors:
    options = parser(
        command,
        "Run a bundle, a checkpoint, a Hugging Face folder or a hub id on text: continue it (causal language models), "
        "translate, summarise or answer it (models that read one text and write another), "
        "fill its masks, written as the tokenizer's own mask token such as [MASK] or <mask> (masked language models), "
        "name its class, its tags, the roles in it or an answer (models that were trained on labels), "
        "turn it into a vector (sentence embeddings), or find the words near a word, the cosine of two words or what "
        "is to the third word as the second is to the first (word vectors). Options of another kind of model are an "
        "error.",
    )
    add = options.add_argument
    add(
        "model",
        type=str,
        help="a bundle, a checkpoint, a Hugging Face folder, a hub id, an ARPA file or a file of word vectors (.vec, "
        ".bin, .txt)",
    )
    add("--output", type=str, default=None, help="write one JSON line an answer to this file")
    add("--batch_size", type=int, default=None, help="texts that run together (usual: 8 to continue, else 32)")
    _add_request(options)
    _add_conversation(options)
    _add_search(options)
    _add_own(options)
    add_decoding_options(options)
    add_running_arguments(options)
    return options


def _add_request(options: OneLineErrors) -> None:
    add = options.add_argument_group("what is asked").add_argument
    add(
        "--text",
        action="append",
        type=str,
        help="a text; repeatable. A predicate whose roles are labelled is in brackets: She [gave] it away.",
    )
    add("--pair", type=str, default=None, help="of models of pairs of texts: the second text, beside one --text")
    add(
        "--question", action="append", type=str, help="of models that answer questions: one about --context; repeatable"
    )
    add("--context", type=str, default=None, help="the text that the questions are about")
    add(
        "--input",
        type=str,
        default=None,
        help='texts from a file: .jsonl with a "text" or "prompt" a line (or what a task needs: "pair", "question", '
        '"context", "tokens", "predicate"), else one text a line. '
        "Without --text and --input they are read from the standard input, one a line",
    )


def _add_conversation(options: OneLineErrors) -> None:
    add = options.add_argument_group("models that were trained on dialogues or instructions").add_argument
    add(
        "--chat",
        action="store_true",
        help="talk to the model: a line is a turn, /reset begins anew, the end of the input (Ctrl-D) ends; not for a "
        "language model that continues texts, as nothing in it says who speaks",
    )
    add("--system", type=str, default=None, help="with --chat: what holds for all turns")
    add(
        "--raw",
        action="store_true",
        default=None,
        help="of models that follow instructions: continue the text as it is, without what stands around instructions",
    )


def _add_search(options: OneLineErrors) -> None:
    add = options.add_argument_group("search, by models that embed").add_argument
    add(
        "--documents",
        type=str,
        default=None,
        help='find, for each text, the nearest of these: .jsonl with a "text" a line, else one a line; or a folder '
        "that an index was saved to. --top_k of them (usual: 10)",
    )
    add("--rerank", type=str, default=None, help="a classifier of pairs (a cross-encoder) that orders what is found")
    add("--candidates", type=int, default=None, help="how many of the nearest documents it orders (usual: --top_k)")


def _add_own(options: OneLineErrors) -> None:
    add = options.add_argument_group("other kinds of models").add_argument
    add("--echo", action="store_true", default=None, help="print a single text before its continuation")
    add(
        "--prefix",
        type=str,
        default=None,
        help="of models that were trained for several tasks with prefixes: the name of the task",
    )
    add(
        "--token_type_id",
        type=int,
        default=None,
        help="of masked language models and embeddings: the segment, or XLM's language, of every token",
    )
