"""Pages that explain themselves: one file, no script, nothing loaded from elsewhere; whatever is shown is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

STYLE = """
:root { --ink: #1d2330; --soft: #667085; --line: #e4e7ec; --card: #fff; --page: #f6f7f9;
  --good: #12805c; --bad: #c4320a; --other: #7a5af8; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ef; --soft: #98a2b3; --line: #2b3240; --card: #181d27; --page: #10141b;
    --good: #3ccb96; --bad: #ff8a5c; --other: #a995ff; }
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
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: .8rem; border: 0;
  background: none; }
figure { margin: 0; padding: .7rem .9rem; background: var(--card); border: 1px solid var(--line); border-radius: 10px; }
figcaption { font-weight: 550; font-size: .9rem; } figcaption small { color: var(--soft); font-weight: 400; }
figcaption .other { color: var(--other); }
svg { display: block; width: 100%; height: auto; } svg text { font: 10px system-ui, sans-serif; fill: var(--soft); }
svg line { stroke: var(--line); } svg polyline { fill: none; stroke: var(--good); stroke-width: 1.6; }
svg circle { fill: var(--good); }
svg .other polyline { stroke: var(--other); } svg .other circle { fill: var(--other); }
td.text { min-width: 16rem; white-space: pre-line; overflow-wrap: anywhere; }
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A complete HTML document.

    Args:
        title: of the window, a text.
        parts: HTML, one after the other.

    Returns:
        The document.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n"
        f"<body><main>\n{''.join(parts)}</main></body></html>\n"
    )


def section(title: str, text: str, heads: Sequence[str], rows: Iterable[str]) -> str:
    """A table under a title.

    Args:
        title: a text.
        text: what a reader should know about it.
        heads: of the columns, texts.
        rows: the cells of each row, HTML.

    Returns:
        HTML, nothing where there is no row.
    """
    body = "".join(f"<tr>{row}</tr>\n" for row in rows)
    if not body:
        return ""
    head = "".join(f"<th>{escape(head)}</th>" for head in heads)
    about = f"<p>{escape(text)}</p>" if text else ""
    return f"<h2>{escape(title)}</h2>{about}<section><table><tr>{head}</tr>\n{body}</table></section>\n"


def number(text: str) -> str:
    """A cell with a number."""
    return f'<td class="number">{escape(text)}</td>'


def escape(text: str) -> str:
    """A text as HTML; halves of characters that no file can hold become question marks."""
    return html.escape(text.encode("utf-8", "replace").decode("utf-8"))
