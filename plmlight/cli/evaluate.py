"""``evaluate``: how good a model is on some data, and how sure that is."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from plmlight.cli.arguments import parse
from plmlight.cli.evaluate_options import WRITING, evaluate_parser
from plmlight.cli.infer_models import one_line_warnings
from plmlight.decoding import DecodingOptions
from plmlight.text import replace_file

if TYPE_CHECKING:
    from plmlight.evaluation import Settings
    from plmlight.evaluation.measurement import Advance
    from plmlight.evaluation.models import Opened


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
    chosen = parse(evaluate_parser(command), argv)
    decoding = {name: chosen[name] for name in WRITING if chosen[name] is not None}
    DecodingOptions(**decoding)  # before a model loads

    from plmlight.evaluation import evaluate, open_model
    from plmlight.evaluation.labelled import KINDS

    settings = _settings(chosen, decoding)

    def opened(name: str) -> Opened:
        with one_line_warnings(command):
            return open_model(name, chosen.provider, chosen.threads, chosen.graph)

    model = opened(chosen.model)
    baseline = opened(chosen.baseline) if chosen.baseline is not None else None
    rerank = opened(chosen.rerank) if chosen.rerank is not None else None
    for one in (model, baseline):
        if one is not None and one.task != "Seq2Seq":
            _refuse_foreign(one.name, one.task, chosen, decoding, written=one.task in KINDS)
    with _progress(f"Evaluating {chosen.model}") as advance, one_line_warnings(command):
        result = evaluate(model, chosen.data, settings, baseline, advance, rerank)
    _write(result, chosen)
    _show(result)
    return 0


def _settings(chosen: Any, decoding: Mapping[str, Any]) -> Settings:
    """What was chosen, as the evaluation takes it."""
    from plmlight.evaluation import Bootstrap, Columns, Generation, Settings
    from plmlight.evaluation.labelled import Fields

    return Settings(
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
            chosen.on_error,
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


def _write(result: dict[str, Any], chosen: Any) -> None:
    """Writes what was asked for; takes the texts, and what was left out, out of the result into files of their own."""
    from plmlight.data.labelled import list_skipped

    texts, skipped = result.pop("texts", []), result.pop("skipped", [])
    result.get("baseline", {}).pop("texts", None)
    if skipped:
        print(list_skipped(skipped), file=sys.stderr)
    if chosen.texts is not None:
        with replace_file(chosen.texts, "w") as handle:
            handle.writelines(json.dumps(pair, ensure_ascii=False) + "\n" for pair in texts)
        print(f"{chosen.texts}: {len(texts)} texts with what was expected", file=sys.stderr)
    if chosen.output is not None:
        with replace_file(chosen.output, "w") as handle:
            handle.write(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
        print(f"{chosen.output}: the numbers, and all that led to them", file=sys.stderr)


def _refuse_foreign(name: str, task: str, chosen: Any, decoding: Mapping[str, Any], *, written: bool) -> None:
    """Refuses what only a generation has, and the texts where there is nothing to write of them."""
    own = ("metrics", *(() if written else ("texts",)), "source_field", "target_field", "reverse", "task_prefix")
    given = [*decoding, *(option for option in own if chosen[option] not in (None, False))]
    if given:
        raise ValueError(f"{name}: is a {task}, which writes no texts: --{given[0]} is for encoder-decoders")


@contextmanager
def _progress(description: str) -> Iterator[Advance]:
    """Shows progress on stderr when it is a terminal, and nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
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
    console = Console(soft_wrap=True, markup=False, emoji=False)  # names of classes may look like markup
    console.print(table)
    console.print(f"model: {result['model']}", highlight=False)
    if "baseline" in result:
        console.print(f"baseline: {result['baseline']['model']}", highlight=False)
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
