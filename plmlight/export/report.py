"""The verdict as a page that explains itself: one file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from html import escape
from typing import Any

from plmlight.export.verdict import Check, Verdict, shown

TIMINGS = {
    "prompt_tokens": "prompt tokens",
    "prompt_ms": "prompt, ms",
    "token_ms": "a token, ms",
    "tokens": "tokens of a text",
    "forward_ms": "a text, ms",
    "export_s": "export, s",
}
"""What may have been timed, and its title."""

STYLE = """
:root { --ink: #1d2330; --soft: #667085; --line: #e4e7ec; --card: #fff; --page: #f6f7f9;
  --good: #12805c; --bad: #c4320a; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2b3240; --card: #181d27; --page: #10141b;
    --good: #3ccb96; --bad: #ff8a5c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
header { display: flex; align-items: center; gap: 1rem; flex-wrap: wrap; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .6rem; }
p { color: var(--soft); margin: .4rem 0; max-width: 48rem; }
.badge { padding: .2rem .8rem; border-radius: 99px; font-weight: 650; color: var(--card); background: var(--good); }
.badge.bad { background: var(--bad); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 10px; overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .5rem .9rem; border-bottom: 1px solid var(--line); vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th { color: var(--soft); font-weight: 550; font-size: .85rem; white-space: nowrap; }
td.number { text-align: right; white-space: nowrap; }
td.good { color: var(--good); font-weight: 600; } td.bad { color: var(--bad); font-weight: 600; }
td small { color: var(--soft); display: block; }
code { font: .85em ui-monospace, monospace; overflow-wrap: anywhere; }
.bar { display: block; height: 6px; min-width: 7rem; border-radius: 3px; background: var(--line); margin-top: .5rem; }
.bar i { display: block; height: 100%; border-radius: 3px; background: var(--good); }
.bad .bar i, .bar.bad i { background: var(--bad); }
"""


def verdict_page(verdict: Verdict) -> str:
    """The content of verdict.html.

    Args:
        verdict: what was measured.

    Returns:
        A complete HTML document.
    """
    badge = (
        '<span class="badge">passed</span>' if verdict.passed else '<span class="badge bad">failed: do not use</span>'
    )
    parts = [
        f"<header><h1>Verdict: {escape(verdict.recipe)}</h1>{badge}</header>",
        f"<p>Is the exported model the trained one? Checked on {escape(verdict.computed_on)}, made for "
        f"{escape(verdict.provider)}. Trained weights <code>{verdict.weights_sha256[:16]}</code>.</p>",
        _section("Checks", "", ("", "graph", "check", "measured", "limit"), map(_check_row, verdict.checks)),
        _shapes(verdict.measurements),
        _timings(verdict.timings),
        _section(
            "Files",
            "The runtime refuses the bundle when one byte differs.",
            ("file", "size", "SHA-256"),
            [
                f"<td>{escape(name)}</td>{_number(_size(each['bytes']))}<td><code>{each['sha256']}</code></td>"
                for name, each in verdict.files.items()
            ],
        ),
        _section(
            "Versions",
            "",
            ("package", "version"),
            [f"<td>{escape(name)}</td><td>{escape(version)}</td>" for name, version in verdict.versions.items()],
        ),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Verdict: {escape(verdict.recipe)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def _section(title: str, text: str, heads: tuple[str, ...], rows: Any) -> str:
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(head)}</th>" for head in heads)
    about = f"<p>{escape(text)}</p>" if text else ""
    return f"<h2>{escape(title)}</h2>{about}<section><table><tr>{head}</tr>\n{body}</table></section>\n"


def _check_row(check: Check) -> str:
    mark = '<td class="good">ok</td>' if check.passed else '<td class="bad">fails</td>'
    return (
        f"{mark}<td>{escape(check.graph)}</td><td>{escape(check.name)}<small>{escape(check.detail)}</small></td>"
        f"{_number(shown(check.measured))}{_number(f'{check.bound} {shown(check.limit)}')}"
    )


def _shapes(measurements: list[dict[str, Any]]) -> str:
    """A row a shape and a column a graph, each with a bar on a logarithmic scale."""
    keys = [key for key in ("batch", "length", "past", "padded") if any(key in each for each in measurements)]
    graphs = list(dict.fromkeys((each["graph"], each["relative"]) for each in measurements))
    found = {(_shape(each, keys), each["graph"], each["relative"]): each["error"] for each in measurements}
    rows = [
        "".join(f"<td>{escape(text)}</td>" for text in shape)
        + "".join(_error(found.get((shape, *graph))) for graph in graphs)
        for shape in dict.fromkeys(_shape(each, keys) for each in measurements)
    ]
    heads = tuple(f"{graph}{', relative' if relative else ''}" for graph, relative in graphs)
    text = (
        "The error of the outputs against torch, which computed each row alone, without cache and, unless positions "
        "depend on it, without padding. None of these shapes was used for tracing. Bars: 1e-8 to 1, logarithmic."
    )
    return _section("Shapes", text, (*keys, *heads), rows)


def _shape(each: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    """The shape's cells; ``padded`` is a side, or whether it is so at all."""
    words = {True: "yes", False: ""}
    values = (each.get(key, "") for key in keys)
    return tuple(words[value] if isinstance(value, bool) else str(value) for value in values)


def _error(error: float | None) -> str:
    if error is None:
        return "<td></td>"
    share = 100.0 if not math.isfinite(error) else min(100.0, max(0.0, 100 * (8 + math.log10(max(error, 1e-8))) / 8))
    return f'<td>{shown(error)}<span class="bar"><i style="width:{share:.0f}%"></i></span></td>'


def _timings(timings: dict[str, dict[str, float]]) -> str:
    keys = [key for key in TIMINGS if any(key in values for values in timings.values())]
    rows = [
        f"<td>{escape(name)}</td>" + "".join(_number(f"{values[key]:g}" if key in values else "") for key in keys)
        for name, values in timings.items()
    ]
    text = "Batch 1, for orientation: the machine may have been busy."
    return _section("Timings", text, ("", *(TIMINGS[key] for key in keys)), rows)


def _number(text: str) -> str:
    return f'<td class="number">{escape(text)}</td>'


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
