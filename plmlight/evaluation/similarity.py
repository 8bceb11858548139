"""How well the likeness of two texts' vectors follows what people said of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from plmlight.data.records import objects, table_rows
from plmlight.data.sources import Source
from plmlight.decoding import TextEmbedder
from plmlight.decoding.retrieval import unit
from plmlight.evaluation.measurement import Advance, Measurement
from plmlight.metrics.ranking import correlations
from plmlight.text import nearest
from plmlight.text.vectors import is_number

SUFFIXES = (".csv", ".tsv", ".jsonl")


@dataclass(frozen=True)
class Columns:
    """Where a pair stands.

    Args:
        sentence1: the column or key of the first text, or the number of its column, from 1.
        sentence2: of the second text.
        score: of the score.
    """

    sentence1: str = "sentence1"
    sentence2: str = "sentence2"
    score: str = "score"

    @property
    def names(self) -> tuple[str, str, str]:
        """All three."""
        return self.sentence1, self.sentence2, self.score


@dataclass(frozen=True)
class Pair:
    """Two texts and how alike people found them."""

    first: str
    second: str
    score: float


def read_pairs(path: str | Path, columns: Columns | None = None, limit: int | None = None) -> list[Pair]:
    """Reads pairs with scores.

    Args:
        path: a .csv, a .tsv (without quoting) or a .jsonl file. A table whose first row has three columns with a number
            in the last one has no header, unless columns are named; nor has one whose columns are given by number.
        columns: where the texts and the score are.
        limit: read only so many.

    Returns:
        The pairs.

    Raises:
        ValueError: for a file that is not such a one, a missing column, or a score that is no number, naming the line.
    """
    path, columns = Path(path), columns or Columns()
    if path.suffix not in SUFFIXES:
        raise ValueError(f"{path}: pairs are read from {', '.join(SUFFIXES)} files")
    rows = _records(path, columns) if path.suffix == ".jsonl" else _rows(path, columns)
    pairs: list[Pair] = []
    for number, (first, second, score) in rows:
        if limit is not None and len(pairs) >= limit:
            break
        try:
            value = float(score)
        except ValueError:
            raise ValueError(f"{path}:{number}: the score {score!r} is not a number") from None
        if not np.isfinite(value):
            raise ValueError(f"{path}:{number}: the score {score!r} is not a number")
        pairs.append(Pair(first, second, value))
    if len({pair.score for pair in pairs}) < 2:
        raise ValueError(f"{path}: at least two pairs with different scores are needed")
    return pairs


def _rows(path: Path, columns: Columns) -> list[tuple[int, list[str]]]:
    tabs = path.suffix == ".tsv"
    table = list(table_rows(Source(str(path), "tsv" if tabs else "csv")))
    if not table:
        raise ValueError(f"{path}: the file is empty")
    places, first = _places(path, table[0][1], columns)
    for number, row in table[first:]:
        if len(row) <= max(places):
            raise ValueError(f"{path}:{number}: has {len(row)} columns, expected at least {max(places) + 1}")
    return [(number, [row[place] for place in places]) for number, row in table[first:]]


def _places(path: Path, header: Sequence[str], columns: Columns) -> tuple[list[int], int]:
    """The places of the three columns, and how many rows the header takes."""
    if all(name.isdecimal() and int(name) > 0 for name in columns.names):
        return [int(name) - 1 for name in columns.names], 0
    if columns == Columns() and len(header) == 3 and is_number(header[2]):
        return [0, 1, 2], 0
    for name in columns.names:
        if name not in header:
            raise ValueError(f"{path}:1: there is no column {name!r}{nearest(name, header)}")
    return [list(header).index(name) for name in columns.names], 1


def _records(path: Path, columns: Columns) -> list[tuple[int, list[str]]]:
    found = []
    for where, record in objects(Source(str(path), "jsonl"), columns.names[0]):
        for name in columns.names:
            if name not in record:
                raise ValueError(f"{where}: there is no key {name!r}{nearest(name, map(str, record))}")
        found.append((int(where.rpartition(":")[2]), [str(record[name]) for name in columns.names]))
    return found


def embedded(
    model: TextEmbedder, texts: Iterable[str], batch_size: int = 32, advance: Advance = lambda done, total: None
) -> tuple[NDArray[np.float32], dict[str, int]]:
    """The vectors of texts at length 1, each embedded once.

    Args:
        model: embeds texts.
        texts: the texts.
        batch_size: texts that run together.
        advance: is told the texts that are done.

    Returns:
        [N, D], and which row is a text's.
    """
    ordered = sorted(set(texts), key=lambda text: (-len(text), text))
    at_once = 16 * batch_size  # so that there is progress to show
    advance(0, len(ordered))
    parts = []
    for start in range(0, len(ordered), at_once):
        parts.append(model.embed(ordered[start : start + at_once], batch_size))
        advance(len(parts[-1]), len(ordered))
    return unit(np.concatenate(parts)), {text: number for number, text in enumerate(ordered)}


def measure_similarity(
    model: TextEmbedder, pairs: Sequence[Pair], batch_size: int = 32, advance: Advance = lambda done, total: None
) -> Measurement:
    """The correlation of the cosines of the pairs' vectors with their scores.

    Args:
        model: embeds texts.
        pairs: the texts and their scores.
        batch_size: texts that run together.
        advance: is told the texts that are done.

    Returns:
        ``spearman``, of the ranks, and ``pearson``.
    """
    vectors, place = embedded(
        model, (text for pair in pairs for text in (pair.first, pair.second)), batch_size, advance
    )
    first, second = [place[pair.first] for pair in pairs], [place[pair.second] for pair in pairs]
    cosines = (vectors[first].astype(np.float64) * vectors[second]).sum(1)
    statistics = correlations(cosines, np.array([pair.score for pair in pairs]))
    return Measurement(statistics, "pairs", len(pairs), {"pairs": len(pairs), "texts": len(place)})
