"""Sources of text become documents, streamed: no file is held in memory as a whole."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from plmlight.data.lines import decoded, lines
from plmlight.data.records import records
from plmlight.data.sources import Source

DocumentUnit = Literal["file", "line", "paragraph"]
PIECE = 2**16
"""Characters after which a long document is cut for the tokenizer, at the next space between two words."""

_LONGEST = 64 * PIECE
_BETWEEN_WORDS = re.compile(r"(?<=\S)(?= \S)")
_BETWEEN_LINES = re.compile(r"(?<=\S\n)(?=\S)")


class Piece(NamedTuple):
    """A part of a document, and whether it is the last one."""

    text: str
    last: bool


def read(sources: Sequence[Source], text_field: str = "text", document: DocumentUnit = "file") -> Iterator[Piece]:
    """Streams documents in the order of their sources. Empty documents are left out.

    Args:
        sources: what `resolve` found.
        text_field: the key (jsonl) or column (csv, tsv, parquet, data sets) that holds the text.
        document: what a document is in a plain text file: the file, each line, or each paragraph (blank lines between).

    Yields:
        Pieces of at most a few megabytes; the pieces of a document concatenate to its text.

    Raises:
        ValueError: for bytes that are not UTF-8 (file and offset), damaged compression, a missing field or column (file
            and line), a named file without text, or no text at all.
    """
    anything = False
    for source in sources:
        something = False
        for piece in _cut_all(_documents(source, text_field, document)):
            something = True
            yield piece
        if not something and source.named:
            raise ValueError(f"{source.name}: the file has no text")
        anything = anything or something
    if not anything:
        raise ValueError(f"{sources[0].name} and {len(sources) - 1} more: no text in any of them")


class Documents:
    """The text of some sources as strings of at most a few megabytes, to go through as often as needed.

    Args:
        sources: what `resolve` found.
        text_field: as in `read`.
        document: as in `read`.
        limit: stop after so many characters.
        advance: is told how many more bytes of text are read.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        text_field: str = "text",
        document: DocumentUnit = "file",
        limit: int | None = None,
        advance: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._arguments = (sources, text_field, document)
        self._limit = limit
        self._advance = advance

    def __iter__(self) -> Iterator[str]:
        seen = 0
        for piece in read(*self._arguments):
            if self._limit is not None and seen >= self._limit:
                return
            seen += len(piece.text)
            self._advance(len(piece.text.encode()))
            yield piece.text


def _documents(source: Source, field: str, document: DocumentUnit) -> Iterator[Iterable[str]]:
    """Each document as an iterable of strings that concatenate to it."""
    if source.kind == "text":
        if document == "file":
            return iter([decoded(source)])
        grouped = lines(source) if document == "line" else _paragraphs(lines(source))
        return ([text] for text in grouped if text.strip())
    return ([text] for _, (text,) in records(source, (field,)) if text)


def _paragraphs(unwrapped: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for line in unwrapped:
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    yield "\n".join(held)


def _cut_all(documents: Iterable[Iterable[str]]) -> Iterator[Piece]:
    for chunks in documents:
        text = ""
        for chunk in chunks:
            text += chunk
            start = 0
            while len(text) - start > PIECE and (end := _cut(text, start + PIECE)):
                yield Piece(text[start:end], last=False)
                start = end
            text = text[start:]
        # a cut is always followed by text, so that what is left over is empty only when the whole document is
        if text:
            yield Piece(text, last=True)


def _cut(text: str, at_least: int) -> int | None:
    """Where a document can be cut without changing its tokens: before a space, else after a line's end."""
    found = _BETWEEN_WORDS.search(text, at_least) or _BETWEEN_LINES.search(text, at_least)
    if found:
        return found.start()
    return at_least if len(text) - at_least > _LONGEST else None  # a desert of one word: cut it anywhere
