"""The records of files that have fields: jsonl, csv, tsv, parquet, data sets; streamed."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Sequence, Set
from typing import Any

import fsspec

from plmlight.data.lines import lines
from plmlight.data.sources import Source, open_dataset
from plmlight.text import nearest

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

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
        columns = [column_of(header, field, f"{source.name}:{number}") for field in fields]
        expected = str(len(header))
    for number, row in rows:
        where = f"{source.name}:{number}"
        if len(row) <= max(columns):
            raise ValueError(f"{where}: has {len(row)} columns, expected {expected}")
        yield where, tuple(row[column] for column in columns)


def parquet_rows(source: Source, fields: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Streams the rows of a parquet file.

    Args:
        source: the file.
        fields: the columns to read.

    Yields:
        Where the row stands, and its values by column.

    Raises:
        ValueError: for what is no parquet file, or lacks a column.
    """
    import pyarrow
    import pyarrow.parquet

    with fsspec.open(source.name, "rb") as raw:
        try:
            table = pyarrow.parquet.ParquetFile(raw)
        except pyarrow.ArrowInvalid as error:
            raise ValueError(f"{source.name}: not a parquet file ({error})") from None
        for field in fields:
            column_of(table.schema_arrow.names, field, source.name)
        entries = (row for batch in table.iter_batches(1024, columns=list(fields)) for row in batch.to_pylist())
        for number, entry in enumerate(entries, 1):
            yield f"{source.name}: row {number}", entry


def _parquet(source: Source, fields: Sequence[str], numbers: Set[str]) -> Iterator[Record]:
    for where, entry in parquet_rows(source, fields):
        yield where, tuple(_text(entry, field, where, field in numbers) for field in fields)


def _dataset(source: Source, fields: Sequence[str], numbers: Set[str]) -> Iterator[Record]:
    table = open_dataset(source.name)
    for field in fields:
        column_of(table.column_names, field, source.name)
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


def column_of(names: Sequence[str], field: str, where: str) -> int:
    """The place of a column.

    Args:
        names: of all columns.
        field: the column.
        where: they stand, for messages.

    Raises:
        ValueError: where there is none, with the nearest name.
    """
    if field not in names:
        raise ValueError(f"{where}: there is no column {field!r}{nearest(field, names)}")
    return list(names).index(field)
