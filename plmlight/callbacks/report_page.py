"""The HTML of a run's report."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from plmlight.text.page import escape, number, page, section
from plmlight.text.tables import Analysis, Mistake, Table, Value

Curve = Sequence[tuple[int, float]]
"""Steps, each with a value."""
Told = str | tuple[str, ...]

CHARTS = 9
"""Curves that are drawn; all metrics are in the table."""
POINTS = 300
"""Of a curve, at most."""
WIDTH, HEIGHT, LEFT, BOTTOM = 320, 170, 44, 18
LONGEST = 600
"""Characters that are shown of a text."""


@dataclass(frozen=True)
class Content:
    """What a report says.

    Attributes:
        title: such as the task's name.
        text: of what it is the report.
        curves: by the name of the metric.
        metrics: at the end.
        analysis: of the last evaluation.
        texts: of each of its mistakes; "" where it is not known.
        statistics: of the data.
    """

    title: str
    text: str
    curves: Mapping[str, Curve] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    analysis: Analysis = field(default_factory=Analysis)
    texts: Sequence[Told] = ()
    statistics: Sequence[Table] = ()


def report_page(content: Content) -> str:
    """A complete HTML document without script, that loads nothing.

    Args:
        content: what it says.
    """
    return page(
        content.title,
        [
            f"<header><h1>{escape(content.title)}</h1></header><p>{escape(content.text)}</p>",
            _charts(content.curves),
            _metrics(content.metrics, content.curves),
            *map(_table, content.analysis.tables),
            _mistakes(content.analysis, content.texts),
            *map(_table, content.statistics),
        ],
    )


def _charts(curves: Mapping[str, Curve]) -> str:
    """A chart a measure: of losses that of training and that of validation together."""
    charts: dict[str, list[str]] = {}
    for name in curves:
        charts.setdefault(name.removeprefix("train_").removeprefix("val_"), []).append(name)
    drawn = sorted(charts.items(), key=lambda chart: chart[0] != "loss")[:CHARTS]
    figures = [_chart(title, {name: _thinned(curves[name]) for name in names}) for title, names in drawn]
    return f'<h2>Curves</h2><section class="charts">{"".join(figures)}</section>\n' if any(figures) else ""


def _thinned(curve: Curve) -> Curve:
    """The means of as many neighbours as leave few enough points; without what is no number."""
    known = [(step, value) for step, value in curve if math.isfinite(value)]
    size = -(-len(known) // POINTS) or 1
    parts = [known[start : start + size] for start in range(0, len(known), size)]
    return [(part[-1][0], sum(value for _, value in part) / len(part)) for part in parts]


def _chart(title: str, curves: Mapping[str, Curve]) -> str:
    points = [point for curve in curves.values() for point in curve]
    if not points:
        return ""
    steps, values = zip(*points, strict=True)
    (first, last), (low, high) = (min(steps), max(steps)), (min(values), max(values))

    def place(step: int, value: float) -> tuple[float, float]:
        across = (step - first) / (last - first) if last > first else 0.5
        up = (value - low) / (high - low) if high > low else 0.5
        return LEFT + across * (WIDTH - LEFT - 6), HEIGHT - BOTTOM - 6 - up * (HEIGHT - BOTTOM - 12)

    lines, names = [], []
    for name, curve in curves.items():
        places = [place(*point) for point in curve]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        kind = ' class="other"' if name.startswith("val_") and len(curves) > 1 else ""
        end = f'<circle cx="{places[-1][0]:.1f}" cy="{places[-1][1]:.1f}" r="2.5"/>' if places else ""
        lines.append(f'<g{kind}><polyline points="{drawn}"/>{end}</g>')
        names.append(f"<small{kind}>{escape(name)}{f' {shown(curve[-1][1])}' if curve else ''}</small>")
    axes = (
        f'<line x1="{LEFT}" y1="{HEIGHT - BOTTOM}" x2="{WIDTH}" y2="{HEIGHT - BOTTOM}"/>'
        f'<line x1="{LEFT}" y1="0" x2="{LEFT}" y2="{HEIGHT - BOTTOM}"/>'
        f'<text x="{LEFT - 4}" y="12" text-anchor="end">{shown(high)}</text>'
        f'<text x="{LEFT - 4}" y="{HEIGHT - BOTTOM - 4}" text-anchor="end">{shown(low)}</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 4}">{first:,}</text>'
        f'<text x="{WIDTH}" y="{HEIGHT - 4}" text-anchor="end">step {last:,}</text>'
    )
    about = f'role="img" aria-label="{escape(title)} by step"'
    return (
        f"<figure><figcaption>{escape(title)} {' '.join(names)}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" {about}>{axes}{"".join(lines)}</svg></figure>'
    )


def _metrics(metrics: Mapping[str, float], curves: Mapping[str, Curve]) -> str:
    rows = []
    for name, value in metrics.items():
        past = [each for _, each in curves.get(name, ()) if math.isfinite(each)]
        ends = [shown(min(past)), shown(max(past))] if past else ["", ""]
        rows.append(f"<td>{escape(name)}</td>" + "".join(number(text) for text in (shown(value), *ends)))
    return section("Metrics", "", ("metric", "at the end", "lowest", "highest"), rows)


def _table(table: Table) -> str:
    if table.confusion:
        rows = [_confusions(row, place) for place, row in enumerate(table.rows)]
    else:
        rows = [_cells(row) for row in table.rows]
    return section(table.title, table.text, table.heads, rows)


def _cells(row: Sequence[Value]) -> str:
    return "".join(
        f'<td dir="auto">{escape(value)}</td>' if isinstance(value, str) else number(shown(value)) for value in row
    )


def _confusions(row: Sequence[Value], place: int) -> str:
    """A row of a confusion matrix: the larger a cell's share of the row, the stronger its colour."""
    counts = [value if isinstance(value, int) else 0 for value in row[1:]]
    total = max(1, sum(counts))
    cells = []
    for column, count in enumerate(counts):
        colour = "18,158,112" if column == place else "226,80,40"
        style = f' style="background:rgba({colour},{0.1 + 0.6 * count / total:.2f})"' if count else ""
        cells.append(f'<td class="number"{style}>{count:,}</td>')
    return f'<th dir="auto">{escape(str(row[0]))}</th>' + "".join(cells)


def _mistakes(analysis: Analysis, texts: Sequence[Told]) -> str:
    pairs = zip(analysis.mistakes, texts, strict=True)
    about = "The worst first, on the data of the last evaluation."
    heads = ("text", "right", "said", analysis.weight)
    return section("Mistakes", about, heads, [_mistake(mistake, text) for mistake, text in pairs])


def _mistake(mistake: Mistake, text: Told) -> str:
    whole = text if isinstance(text, str) else " ".join(text)
    whole = whole if len(whole) <= LONGEST else f"{whole[:LONGEST]} ..."
    words = () if isinstance(text, str) else text
    said = "".join(f'<td dir="auto">{_said(side, words)}</td>' for side in (mistake.label, mistake.said))
    return f'<td class="text" dir="auto">{escape(whole)}</td>{said}{number(shown(mistake.weight))}'


def _said(said: str | tuple[tuple[int, str], ...], words: Sequence[str]) -> str:
    if isinstance(said, str):
        return escape(said)
    named = ((words[place] if place < len(words) else str(place + 1), tag) for place, tag in said)
    return "<br>".join(f"{escape(word)} <b>{escape(tag)}</b>" for word, tag in named)


def shown(value: Value) -> str:
    """A number as a person reads it."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
