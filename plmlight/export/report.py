"""The verdict as a page that explains itself: one file, no script, nothing loaded from elsewhere."""

from __future__ import annotations

import math
from typing import Any

from plmlight.export.verdict import Check, Verdict, shown
from plmlight.text.page import escape, number, page, section

TIMINGS = {
    "prompt_tokens": "prompt tokens",
    "prompt_ms": "prompt, ms",
    "token_ms": "a token, ms",
    "tokens": "tokens of a text",
    "forward_ms": "a text, ms",
    "export_s": "export, s",
}
"""What may have been timed, and its title."""


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
        section("Checks", "", ("", "graph", "check", "measured", "limit"), map(_check_row, verdict.checks)),
        _shapes(verdict.measurements),
        _timings(verdict.timings),
        section(
            "Files",
            "The runtime refuses the bundle when one byte differs.",
            ("file", "size", "SHA-256"),
            [
                f"<td>{escape(name)}</td>{number(_size(each['bytes']))}<td><code>{each['sha256']}</code></td>"
                for name, each in verdict.files.items()
            ],
        ),
        section(
            "Versions",
            "",
            ("package", "version"),
            [f"<td>{escape(name)}</td><td>{escape(version)}</td>" for name, version in verdict.versions.items()],
        ),
    ]
    return page(f"Verdict: {verdict.recipe}", parts)


def _check_row(check: Check) -> str:
    mark = '<td class="good">ok</td>' if check.passed else '<td class="bad">fails</td>'
    return (
        f"{mark}<td>{escape(check.graph)}</td><td>{escape(check.name)}<small>{escape(check.detail)}</small></td>"
        f"{number(shown(check.measured))}{number(f'{check.bound} {shown(check.limit)}')}"
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
    return section("Shapes", text, (*keys, *heads), rows)


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
        f"<td>{escape(name)}</td>" + "".join(number(f"{values[key]:g}" if key in values else "") for key in keys)
        for name, values in timings.items()
    ]
    text = "Batch 1, for orientation: the machine may have been busy."
    return section("Timings", text, ("", *(TIMINGS[key] for key in keys)), rows)


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB"
