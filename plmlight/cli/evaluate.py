"""``evaluate``: how good a model is on some data, and how sure that is."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

from plmlight.cli.arguments import OneLineErrors, parse, parser
from plmlight.cli.infer import add_decoding_options
from plmlight.cli.infer_models import one_line_warnings
from plmlight.decoding import DecodingOptions
from plmlight.text import replace_file

if TYPE_CHECKING:
    from plmlight.evaluation.measurement import Advance
    from plmlight.evaluation.models import Opened

DESCRIPTION = """Measures a bundle, a checkpoint, a Hugging Face folder or a hub id on data, with bootstrap intervals.
perplexity and bits-per-byte: language models that read left to right, every token with as much before it as the model
reads. pseudo-perplexity: masked language models, each token hidden in turn. similarity: rank correlation of the cosines
of two texts' vectors with given scores. retrieval: how early the texts that belong to a query come when all are ranked
by the cosine (nDCG, MRR, MAP, recall), and with --rerank the first of them by a model that reads both together.
generation: BLEU, chrF, ROUGE, exact matches or distinct n-grams of what an encoder-decoder writes, decoded as asked
for, and in torch the loss and perplexity of what it should have written.
labels: a task that was trained on labels on data of its kind, with its own measures.
words: word vectors on a file of word pairs with scores (rank correlation) or of analogies (3CosAdd, by section).
Examples:
python -m plmlight evaluate bundles/de-en --data test.de test.en --metrics bleu chrf --num_beams 4 --texts written.jsonl
python -m plmlight evaluate runs/last.ckpt --data test.txt --baseline runs/other.ckpt --output result.json"""

_DECODING = tuple(field.name for field in dataclasses.fields(DecodingOptions) if field.name != "seed")
"""What decides how texts are written; the seed is that of the bootstrap."""


def main(command: str, argv: list[str]) -> int:
    """Runs the command.

    Args:
        command: its name.
        argv: the words after it.

    Returns:
        0.

    Raises:
        ValueError: when a model or the data can not be read, or the metric does not fit the model.
    """
    chosen = parse(_parser(command), argv)
    decoding = {name: chosen[name] for name in _DECODING if chosen[name] is not None}
    DecodingOptions(**decoding)  # before a model loads

    from plmlight.evaluation import Bootstrap, Columns, Generation, Settings, evaluate, open_model
    from plmlight.evaluation.labelled import KINDS, Fields

    settings = Settings(
        metric=chosen.metric,
        text_field=chosen.text_field,
        document=chosen.document,
        columns=Columns(chosen.sentence1, chosen.sentence2, chosen.score),
        fields=Fields(
            chosen.text_field,
            chosen.pair_field,
            chosen.label_field,
            chosen.label_separator,
            chosen.file_format,
            chosen.encoding,
            chosen.word_column,
            chosen.tag_column,
        ),
        limit=chosen.limit,
        generation=Generation(
            tuple(chosen.metrics or ("bleu", "chrf")),
            (chosen.source_field, chosen.target_field),
            chosen.reverse,
            chosen.task_prefix,
            decoding,
        ),
        vocabulary=chosen.vocabulary,
        context=chosen.context,
        stride=chosen.stride,
        prefix=chosen.prefix,
        candidates=chosen.candidates,
        batch_size=chosen.batch_size,
        bootstrap=Bootstrap(chosen.samples, chosen.confidence, chosen.seed),
    )
    running = (chosen.provider, chosen.threads, chosen.graph)

    def opened(name: str) -> Opened:
        with one_line_warnings(command):
            return open_model(name, *running)

    model = opened(chosen.model)
    baseline = opened(chosen.baseline) if chosen.baseline is not None else None
    rerank = opened(chosen.rerank) if chosen.rerank is not None else None
    for one in (model, baseline):
        if one is not None and one.task != "Seq2Seq":
            _refuse_foreign(one.name, one.task, chosen, decoding, written=one.task in KINDS)
    with _progress(f"Evaluating {chosen.model}") as advance, one_line_warnings(command):
        result = evaluate(model, chosen.data, settings, baseline, advance, rerank)
    texts = result.pop("texts", [])
    result.get("baseline", {}).pop("texts", None)
    _show(result)
    if chosen.texts is not None:
        with replace_file(chosen.texts, "w") as handle:
            handle.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in texts)
        print(f"{chosen.texts}: {len(texts)} texts with what was expected", file=sys.stderr)
    if chosen.output is not None:
        with replace_file(chosen.output, "w") as handle:
            handle.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        print(f"{chosen.output}: the numbers, and all that led to them", file=sys.stderr)
    return 0


def _refuse_foreign(name: str, task: str, chosen: Any, decoding: Mapping[str, Any], *, written: bool) -> None:
    """Refuses what only a generation has, and the texts where there is nothing to write of them."""
    own = ("metrics", *(() if written else ("texts",)), "source_field", "target_field", "reverse", "task_prefix")
    given = [*decoding, *(option for option in own if chosen[option] not in (None, False))]
    if given:
        raise ValueError(f"{name}: is a {task}, which writes no texts: --{given[0]} is for encoder-decoders")


def _parser(command: str) -> OneLineErrors:
    options = parser(command, DESCRIPTION)
    add = options.add_argument
    add("model", type=str, help="a bundle, a checkpoint, a Hugging Face folder, or a hub id")
    add(
        "--data",
        type=str,
        nargs="+",
        required=True,
        help="text, as `tokenizer` reads it; for similarity one .csv, .tsv or .jsonl file of pairs; for retrieval one "
        "of pairs, or queries.jsonl corpus.jsonl relevance.tsv, or their folder (BEIR); for generation two "
        "files of lines, one of two columns (source, tab, reference), or one with fields (.jsonl, .csv, .parquet); "
        "for a model of dialogues these, as `fit` reads them",
    )
    add(
        "--metric",
        type=str | None,
        default=None,
        help="perplexity, bits-per-byte, pseudo-perplexity, permutation-perplexity (XLNet in torch, in orders of a "
        "fixed seed), similarity, retrieval or generation; by default what fits the model",
    )
    add(
        "--metrics",
        type=str,
        nargs="+",
        default=None,
        help="of generation: bleu, bleu_zh, chrf, rouge, rouge_zh, exact_match, distinct (usual: bleu chrf)",
    )
    add(
        "--texts",
        type=str | None,
        default=None,
        help="write source, hypothesis and reference, or of labels request, gold and answer, to this JSON-lines file",
    )
    add(
        "--source_field",
        type=str | None,
        default=None,
        help="the field of a source (usual: source), or of a dialogue's turns (usual: turns)",
    )
    add(
        "--target_field",
        type=str | None,
        default=None,
        help="the field of a reference (usual: target), or of a turn's text where turns are objects (usual: text)",
    )
    add("--reverse", action="store_true", help="take the second file, column or field for the source")
    add(
        "--task_prefix",
        type=str | None,
        default=None,
        help="the name of the task that the model is asked for",
    )
    add("--baseline", type=str | None, default=None, help="another model, to be compared with on the same data")
    add(
        "--rerank",
        type=str | None,
        default=None,
        help="of retrieval: a classifier of pairs (a cross-encoder) that orders what was found; the model alone is "
        "the baseline then",
    )
    add("--candidates", type=int, default=100, help="of retrieval: how many documents of a query --rerank reads")
    add("--output", type=str | None, default=None, help="write the numbers and all that led to them to this JSON file")
    add(
        "--vocabulary",
        type=int | None,
        default=None,
        help="of word vectors: use only so many of the first words, in most files the most frequent ones",
    )
    add("--limit", type=int | None, default=None, help="take only so many documents, pairs or queries")
    add(
        "--document",
        type=Literal["file", "line", "paragraph"] | None,
        default=None,
        help="a document of plain text: by default the file, for pseudo-perplexity the line",
    )
    add("--text_field", type=str, default="text", help="the field or column that holds the text")
    add("--pair_field", type=str | None, default=None, help="of labels: the field of a second text, where there is one")
    add("--label_field", type=str, default="label", help="of labels: the field of the label")
    add("--label_separator", type=str, default=",", help="of labels: between several of a text")
    add(
        "--file_format",
        type=Literal["auto", "csv", "tsv", "jsonl", "parquet", "text"],
        default="auto",
        help="of texts with classes: what the files are, whatever their names say",
    )
    add("--encoding", type=str, default="utf-8", help="of labels: how the files are written (latin-1, gb18030, ...)")
    add("--word_column", type=int, default=0, help="of tags in columns: the column of the word, from 0")
    add("--tag_column", type=int, default=-1, help="of tags in columns: the column of the tag; -1 is the last one")
    add("--sentence1", type=str, default="sentence1", help="the column of the first text, or its number from 1")
    add("--sentence2", type=str, default="sentence2", help="the column of the second text, or its number")
    add("--score", type=str, default="score", help="the column of the score, or its number")
    add(
        "--context",
        type=int | None,
        default=None,
        help="the most tokens to read at once; the model's length by default",
    )
    add("--stride", type=int | None, default=None, help="tokens that a window moves; half the context by default")
    add("--prefix", type=bool, default=True, help="score a document's first token too, after the end-of-text token")
    add("--batch_size", type=int, default=16, help="rows that run together")
    add("--samples", type=int, default=1000, help="of the bootstrap; 0 for no intervals")
    add("--confidence", type=float, default=0.95, help="of the intervals")
    add("--seed", type=int, default=0, help="of the bootstrap")
    add("--provider", type=str, default="auto", help="auto, cpu, cuda or tensorrt")
    add("--threads", type=int | None, default=None, help="threads of the CPU; all allowed by default")
    add("--graph", type=str | None, default=None, help="of a bundle: in_place or portable")
    add_decoding_options(options, _DECODING)
    return options


@contextmanager
def _progress(description: str) -> Iterator[Advance]:
    """Shows progress on stderr when it is a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(description, total=None)

        def advance(done: int, total: int) -> None:
            if done == 0:
                bar.reset(task, total=total)
            bar.update(task, advance=done)

        yield advance


def _show(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    drawn = result["intervals"]
    interval = f"{100 * drawn['confidence']:g} % interval"
    table = Table("", "", "value", interval, "p")
    for name in result["values"]:
        table.add_row(name, "model", *_cells(result["values"][name]), "")
        if name in result.get("baseline", {"values": {}})["values"]:  # a bundle has no loss
            table.add_row("", "baseline", *_cells(result["baseline"]["values"][name]), "")
        if name in result.get("comparison", {}):
            found = result["comparison"][name]
            table.add_row("", "difference", *_cells(found["difference"]), _number(found["p_value"]))
    if "baseline" not in result:
        table.columns.pop()
    counted = ", ".join(f"{count:,} {name}" for name, count in result["counts"].items())
    console = Console(soft_wrap=True)
    console.print(table)
    console.print(f"model: {result['model']}", markup=False, highlight=False)
    if "baseline" in result:
        console.print(f"baseline: {result['baseline']['model']}", markup=False, highlight=False)
    console.print(
        f"{counted}; intervals from {drawn['samples']} bootstrap samples of {drawn['count']:,} {drawn['units']}",
        highlight=False,
    )


def _cells(found: dict[str, float | None]) -> tuple[str, str]:
    ends = "" if found["low"] is None else f"{_number(found['low'])} to {_number(found['high'])}"
    return _number(found["value"]), ends


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{round(value, 4) + 0.0:.4f}" if abs(value) < 100 else f"{value:,.2f}"
