"""Files that people label: what stands in which fields, line by line."""

from __future__ import annotations

import codecs
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

import fsspec

from plmlight.data.lines import lines
from plmlight.data.readers import read
from plmlight.data.records import column_of, objects, parquet_rows, table_rows
from plmlight.data.sources import Kind, Source, is_folder, open_dataset, resolve
from plmlight.text import nearest

Values = tuple[str, tuple[Any, ...]]
"""Where something stands, for messages, and what its fields hold: text, or what JSON and columns of a type can say."""

Refuse = Callable[[str, str], None]
"""Told where something stands that cannot be used, and why."""

FileFormat = Literal["auto", "csv", "tsv", "jsonl", "parquet", "text"]
_KINDS: dict[str, Kind] = {"csv": "csv", "tsv": "tsv", "jsonl": "jsonl", "parquet": "parquet", "text": "text"}


def stop(where: str, why: str) -> None:
    """Leaves nothing out.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"{where}: {why}")


def entries(
    files: str | Sequence[str],
    texts: Sequence[str | int],
    label: str | int | None,
    file_format: FileFormat = "auto",
    encoding: str = "utf-8",
    refuse: Refuse = stop,
) -> Iterator[Values]:
    """Streams what some files hold.

    - ``.jsonl``, ``.parquet`` and ``dataset:`` names have fields by name.
    - ``.csv`` (with quotes) and ``.tsv`` (without) have a header, unless columns are given by number, from 1.
    - A text file has an example a line: its columns are parted by TABs where they are given by number, else the first
      word of a line is the label, and the rest the text.
    - A folder whose text files lie in folders of their own has an example a file: its label is the folder's name. Where
      no label is read, files that lie in it directly have a text a line.

    Args:
        files: see `plmlight.data.sources.resolve`.
        texts: the fields of texts: names, or numbers of columns.
        label: that of the label; None where it is not read. Then a line of a text file is a text as a whole.
        file_format: what the files are, whatever their names say.
        encoding: of their text.
        refuse: told of a line or row without all of the fields; where it returns, that is left out.

    Yields:
        Where it stands, the texts, and then the label.

    Raises:
        ValueError: for a file or a line that is not of this form, naming it.
    """
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"encoding {encoding!r} is not known: expected utf-8, latin-1, gb18030, ...") from None
    fields = [str(field) for field in (*texts, *(() if label is None else (label,)))]
    numbered = [field.isdecimal() for field in fields]
    if any(numbered) and not all(numbered):
        raise ValueError(f"fields {', '.join(fields)}: all by name, or all by the number of their column, from 1")
    for name in [files] if isinstance(files, str) else files:
        sources = resolve(name, _KINDS.get(file_format))
        folder = name if any(source.kind == "text" for source in sources) and is_folder(name) else None
        for source in sources:
            source = replace(source, encoding=encoding)
            if source.kind == "text" and not numbered[0]:
                yield from _texts(source, folder, len(texts), labelled=label is not None)
            else:
                yield from _fielded(source, fields, numbered[0], refuse)


def _fielded(source: Source, fields: Sequence[str], numbered: bool, refuse: Refuse) -> Iterator[Values]:
    if source.kind in ("csv", "tsv", "text"):
        return _table(source, fields, not numbered, refuse)
    if numbered:
        raise ValueError(f"{source.name}: has no columns by number, but fields by name: give their names")
    if source.kind == "jsonl":
        return _jsonl(source, fields, refuse)
    return (_parquet if source.kind == "parquet" else _dataset)(source, fields)


def _texts(source: Source, folder: str | None, count: int, labelled: bool) -> Iterator[Values]:
    if count > 1:
        raise ValueError(f"{source.name}: of a text file columns are given by number, from 1: TABs part them")
    if folder is not None and (labelled or len(_below(source, folder)) > 1):
        return iter([_file(source, folder, labelled)])
    return _label_first(source, labelled)


def _table(source: Source, fields: Sequence[str], header: bool, refuse: Refuse) -> Iterator[Values]:
    """Rows of columns: with quotes in CSV, parted by TABs alone elsewhere."""
    rows = table_rows(source)
    columns = [] if header else [int(field) - 1 for field in fields]
    if -1 in columns:
        raise ValueError("columns are counted from 1")
    for number, row in rows:
        where = f"{source.name}:{number}"
        if header and not columns:
            columns = [column_of(row, field, where) for field in fields]
            continue
        if len(row) <= max(columns):
            refuse(where, f"has {len(row)} columns, expected {max(columns) + 1}")
        else:
            yield where, tuple(row[column] for column in columns)


def _jsonl(source: Source, fields: Sequence[str], refuse: Refuse) -> Iterator[Values]:
    for where, entry in objects(source, fields[0]):
        missing = next((field for field in fields if field not in entry), None)
        if missing is None:
            yield where, tuple(entry[field] for field in fields)
        else:
            refuse(where, f"there is no field {missing!r}{nearest(missing, map(str, entry))}")


def _parquet(source: Source, fields: Sequence[str]) -> Iterator[Values]:
    for where, entry in parquet_rows(source, fields):
        yield where, tuple(entry[field] for field in fields)


def _dataset(source: Source, fields: Sequence[str]) -> Iterator[Values]:
    """Classes of a data set that has names for them (``ClassLabel``) are their names, None where there is none."""
    table = open_dataset(source.name)
    for field in fields:
        column_of(table.column_names, field, source.name)
    names = [_class_names(table.features[field]) for field in fields]
    columns = [table[field] for field in fields]
    for number, row in enumerate(zip(*columns, strict=True), 1):
        found = (_named(value, known) for value, known in zip(row, names, strict=True))
        yield f"{source.name}: row {number}", tuple(found)


def _class_names(feature: Any) -> list[str] | None:
    names: list[str] | None = getattr(getattr(feature, "feature", feature), "names", None)
    return names


def _named(value: Any, names: list[str] | None) -> Any:
    if names is None:
        return value
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None


def _label_first(source: Source, labelled: bool) -> Iterator[Values]:
    for number, line in enumerate(lines(source), 1):
        if not line.strip():
            continue
        where = f"{source.name}:{number}"
        if not labelled:
            yield where, (line,)
            continue
        label, *text = line.split(None, 1)
        yield where, ("".join(text).rstrip(), label)


def _below(source: Source, folder: str) -> tuple[str, ...]:
    file, root = (fsspec.core.url_to_fs(os.path.expanduser(name))[1] for name in (source.name, folder))
    return PurePosixPath(file).relative_to(PurePosixPath(root)).parts


def _file(source: Source, folder: str, labelled: bool) -> Values:
    below = _below(source, folder)
    if len(below) < 2:
        raise ValueError(f"{source.name}: lies in no folder of a class: expected {folder}/CLASS/{below[-1]}")
    text = "".join(piece.text for piece in read([replace(source, named=False)])) if source.size else ""
    return source.name, (text, below[0]) if labelled else (text,)
