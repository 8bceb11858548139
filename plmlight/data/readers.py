"""Sources of text become documents, streamed: no file is held in memory as a whole."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import json
import lzma
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from typing import IO, Any, Literal, NamedTuple

import fsspec
import zstandard

from plmlight.data.sources import Source, compression, open_dataset
from plmlight.text import nearest

DocumentUnit = Literal["file", "line", "paragraph"]
PIECE = 2**16
"""Characters after which a long document is cut for the tokenizer, at the next space between two words."""

_BLOCK = 2**20
_LONGEST = 64 * PIECE
_BETWEEN_WORDS = re.compile(r"(?<=\S)(?= \S)")
_BETWEEN_LINES = re.compile(r"(?<=\S\n)(?=\S)")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile)


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
            return iter([_decoded(source)])
        grouped = lines(source) if document == "line" else _paragraphs(lines(source))
        return ([text] for text in grouped if text.strip())
    return ([text] for _, (text,) in records(source, (field,)) if text)


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


def _blocks(source: Source) -> Iterator[bytes]:
    with fsspec.open(source.name, "rb") as raw:
        try:
            yield from _UNPACK[compression(source.name)](raw)
        except _DAMAGED as error:
            raise ValueError(f"{source.name}: the compressed data is damaged or cut off ({error})") from None


def _plain(raw: IO[bytes]) -> Iterator[bytes]:
    while block := raw.read(_BLOCK):
        yield block


def _zstandard(raw: IO[bytes]) -> Iterator[bytes]:
    frame = None
    for block in _plain(raw):
        while block:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(block)
            block = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the last frame has no end")


def _through(opened: Callable[[Any], Any]) -> Callable[[IO[bytes]], Iterator[bytes]]:
    def unpack(raw: IO[bytes]) -> Iterator[bytes]:
        with opened(raw) as unpacked:
            yield from _plain(unpacked)

    return unpack


_UNPACK: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    "": _plain,
    ".gz": _through(lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": _through(bz2.BZ2File),
    ".xz": _through(lzma.LZMAFile),
    ".zst": _zstandard,
}


def _decoded(source: Source) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder(source.encoding)()
    read_bytes = 0
    for block in _blocks(source):
        offset = read_bytes - len(decoder.getstate()[0])
        text = _decode(decoder, block, False, source, offset)
        yield text.removeprefix("\ufeff") if read_bytes == 0 else text
        read_bytes += len(block)
    yield _decode(decoder, b"", True, source, read_bytes - len(decoder.getstate()[0]))


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, final: bool, source: Source, offset: int) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        where = offset + error.start
        unpacked = " of the unpacked text" if compression(source.name) else ""
        byte = error.object[error.start]
        raise ValueError(
            f"{source.name}: byte 0x{byte:02x} at offset {where}{unpacked} is not {source.encoding.upper()}; convert "
            "the file to UTF-8"
        ) from None


def lines(source: Source) -> Iterator[str]:
    """Streams the lines of a text file.

    Args:
        source: the file.

    Yields:
        Lines without their end, split at line feeds only.
    """
    rest = ""
    for chunk in _decoded(source):
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
    if rest:
        yield rest


def _paragraphs(unwrapped: Iterable[str]) -> Iterator[str]:
    held: list[str] = []
    for line in unwrapped:
        if line.strip():
            held.append(line)
        elif held:
            yield "\n".join(held)
            held = []
    yield "\n".join(held)


Record = tuple[str, tuple[str, ...]]
"""Where something stands, for messages, and the texts of its fields."""


def records(source: Source, fields: Sequence[str], numbers: Sequence[str] = ()) -> Iterator[Record]:
    """Streams the records of a file that has fields (jsonl, csv, tsv, parquet, a data set).

    Args:
        source: the file.
        fields: the keys or columns to read. Columns that are all given by their number, from 1, are those of a csv or
            tsv file without a header.
        numbers: those of the fields that may hold a number in the place of a string.

    Yields:
        Where the record stands, and the text of each field, in the order of ``fields``.

    Raises:
        ValueError: for what cannot be read, or lacks a field, naming the place.
    """
    return _RECORDS[source.kind](source, fields, frozenset(numbers))


def objects(source: Source, field: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Streams the lines of a jsonl file.

    Args:
        source: the file.
        field: what the objects should have, for messages.

    Yields:
        Where the line stands, and the object.

    Raises:
        ValueError: for a line that is no JSON object, or has half a character, naming it.
    """
    for number, line in enumerate(lines(source), 1):
        if not line.strip():
            continue
        where = f"{source.name}:{number}"
        entry = from_json(line, where, "a line of JSON")
        if not isinstance(entry, dict):
            raise ValueError(f"{where}: expected an object with a field {field!r}, got {line[:40]}")
        yield where, entry


def from_json(text: str, where: str, what: str = "JSON") -> Any:
    """What JSON says.

    Args:
        text: the JSON.
        where: where it stands, for messages.
        what: what it should be, for messages.

    Returns:
        Its value, whose strings can all be written as UTF-8.

    Raises:
        ValueError: for what is no JSON, or has an escape of half a character.
    """
    try:
        value = json.loads(text)
        if _SURROGATE.search(text):  # two of them are a character
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        around = error.object[max(0, error.start - 20) : error.end + 20]
        raise ValueError(f"{where}: half a character (a surrogate without the other one) in {around!r}") from None
    except ValueError as error:
        raise ValueError(f"{where}: not {what} ({error})") from None
    return value


def _jsonl(source: Source, fields: Sequence[str], numbers: Set[str]) -> Iterator[Record]:
    for where, entry in objects(source, fields[0]):
        yield where, tuple(_text(entry, field, where, field in numbers) for field in fields)


def table_rows(source: Source) -> Iterator[tuple[int, list[str]]]:
    """Streams the rows of a table, without empty ones.

    In a .csv file quotes are read, and may hold commas, quotes and line ends. All else is parted by TABs alone, a line
    a row, and a quote is a character like any other, so that one that is never closed cannot swallow what follows.

    Args:
        source: the file.

    Yields:
        The line on which a row begins, from 1, and its columns.

    Raises:
        ValueError: for a row whose quotes are not closed, or closed within a field, naming the line where it begins.
    """
    if source.kind != "csv":
        yield from ((number, line.split("\t")) for number, line in enumerate(lines(source), 1) if line)
        return
    csv.field_size_limit(2**31 - 1)
    rows = csv.reader((f"{line}\n" for line in lines(source)), strict=True)
    begins = 1
    try:
        for row in rows:
            if row:
                yield begins, row
            begins = rows.line_num + 1
    except csv.Error as error:
        why = "its quote is never closed" if "unexpected end" in str(error) else error
        raise ValueError(f"{source.name}:{begins}: not a row of CSV ({why})") from None


def _table(source: Source, fields: Sequence[str], numbers: Set[str]) -> Iterator[Record]:
    rows = table_rows(source)
    if all(field.isdecimal() and int(field) > 0 for field in fields):
        columns = [int(field) - 1 for field in fields]
        expected = f"at least {max(columns) + 1}"
    else:
        number, header = next(rows, (0, []))
        if not header:
            return
        columns = [_column(header, field, f"{source.name}:{number}") for field in fields]
        expected = str(len(header))
    for number, row in rows:
        where = f"{source.name}:{number}"
        if len(row) <= max(columns):
            raise ValueError(f"{where}: has {len(row)} columns, expected {expected}")
        yield where, tuple(row[column] for column in columns)


def _parquet(source: Source, fields: Sequence[str], numbers: Set[str]) -> Iterator[Record]:
    import pyarrow
    import pyarrow.parquet

    with fsspec.open(source.name, "rb") as raw:
        try:
            table = pyarrow.parquet.ParquetFile(raw)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{source.name}: not a parquet file ({error})") from None
        for field in fields:
            _column(table.schema_arrow.names, field, source.name)
        row = 0
        for batch in table.iter_batches(batch_size=1024, columns=list(fields)):
            for entry in batch.to_pylist():
                row += 1
                where = f"{source.name}: row {row}"
                yield where, tuple(_text(entry, field, where, field in numbers) for field in fields)


def _dataset(source: Source, fields: Sequence[str], numbers: Set[str]) -> Iterator[Record]:
    table = open_dataset(source.name)
    for field in fields:
        _column(table.column_names, field, source.name)
    for start in range(0, len(table), 1024):
        part = table[start : start + 1024]
        for place in range(len(part[fields[0]])):
            where = f"{source.name}: row {start + place + 1}"
            found = ((field, {field: part[field][place]}) for field in fields)
            yield where, tuple(_text(entry, field, where, field in numbers) for field, entry in found)


_RECORDS: dict[str, Callable[[Source, Sequence[str], Set[str]], Iterator[Record]]] = {
    "jsonl": _jsonl,
    "csv": _table,
    "tsv": _table,
    "parquet": _parquet,
    "dataset": _dataset,
}


def _text(entry: dict[str, Any], field: str, where: str, number: bool = False) -> str:
    if field not in entry:
        raise ValueError(f"{where}: there is no field {field!r}{nearest(field, map(str, entry))}")
    value = entry[field]
    if number and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise ValueError(f"{where}: field {field!r} is {type(value).__name__}, expected a string")
    return value


def _column(names: Sequence[str], field: str, where: str) -> int:
    if field not in names:
        raise ValueError(f"{where}: there is no column {field!r}{nearest(field, names)}")
    return list(names).index(field)
