"""A progress bar over bytes of text, where someone is watching."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from plmlight.data.sources import Source, compression

Advance = Callable[[int], None]
"""Is told how many more bytes of text are done."""


def text_size(sources: Sequence[Source]) -> int | None:
    """About how many bytes of text there are.

    Args:
        sources: what is read.

    Returns:
        Bytes, None when a source is compressed or of unknown size.
    """
    sizes = [source.size for source in sources if source.kind != "parquet" and not compression(source.name)]
    return sum(size for size in sizes if size) if len(sizes) == len(sources) and None not in sizes else None


@contextmanager
def progress_bar(description: str, total: int | None) -> Iterator[Advance]:
    """Shows progress on stderr when it is a terminal, and nothing elsewhere.

    Args:
        description: what is going on.
        total: bytes of text, if known.

    Yields:
        The function to call with the bytes done since the last call.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done: bar.update(task, advance=done)
        bar.update(task, total=bar.tasks[0].completed)
