"""Parallel text, and the samples of translation language modelling that are made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.data.lines import lines
from plmlight.data.mapped import Mapped
from plmlight.data.readers import Piece
from plmlight.data.records import records
from plmlight.data.rows import Parts, Rows, shortened
from plmlight.data.sampling import Indices, Permutation, mixed
from plmlight.data.sequences import SIDES, OneSide
from plmlight.data.shards import FORMAT, Shards
from plmlight.data.sources import Kind, Source, named_kind, resolve


def parallel_sources(files: str | Sequence[str], fields: bool) -> list[Source]:
    """Finds files of parallel text.

    Args:
        files: two files of lines, one of two columns (source, tab, target), or files with fields: .jsonl, .csv,
            .parquet, ``dataset:PATH``.
        fields: whether fields are named, so that a .tsv has a header.

    Returns:
        The sources.

    Raises:
        ValueError: when they are not one or two files of lines, or files with fields.
    """
    found = resolve(files, kind="text")
    with_fields: tuple[Kind, ...] = ("jsonl", "csv", "parquet", "dataset", *(("tsv",) if fields else ()))
    kinds = ["dataset" if source.kind == "dataset" else named_kind(source.name) for source in found]
    if all(kind in with_fields for kind in kinds):
        return [replace(source, kind=kind) for source, kind in zip(found, kinds, strict=True) if kind is not None]
    if any(kind in with_fields for kind in kinds):
        odd = next(source for source, kind in zip(found, kinds, strict=True) if kind not in with_fields)
        raise ValueError(f"{odd.name}: has no fields, as the other files have; name them apart")
    if len(found) > 2:
        raise ValueError(f"{found[0].name} and {len(found) - 1} more: parallel text is one file or two")
    if fields:
        raise ValueError(
            f"{found[0].name}: is read by lines and has no fields; source_field and target_field are for .jsonl, .csv, "
            ".tsv and .parquet"
        )
    return found


@dataclass(frozen=True)
class ParallelText:
    """Two files of which each line of one translates that of the other, or files with both in columns or fields.

    Args:
        sources: what `parallel_sources` found.
        fields: the names of source and target where files have fields.
        reverse: take the second for the source, the first for the target.
        prefix: stands before each source.
        sentences: always true; each pair is a document of two.
    """

    sources: Sequence[Source]
    fields: tuple[str, str] = SIDES
    reverse: bool = False
    prefix: str = ""
    sentences: bool = True

    def pairs(self) -> Iterator[tuple[str, str]]:
        """Streams the pairs.

        Yields:
            Source and target without white space around, both empty for an empty line, so that they count lines.

        Raises:
            ValueError: where the files do not fit to each other, naming the line.
        """
        for first, second in self._read():
            source, target = (second, first) if self.reverse else (first, second)
            yield (self.prefix + source if source else source), target

    def _read(self) -> Iterator[tuple[str, str]]:
        if self.sources[0].kind != "text":
            return (pair for source in self.sources for pair in self._fields(source))
        return self._columns(self.sources[0]) if len(self.sources) == 1 else self._files(*self.sources)

    def _fields(self, source: Source) -> Iterator[tuple[str, str]]:
        for where, texts in records(source, self.fields):
            first, second = (text.strip() for text in texts)
            for text, name in ((first, self.fields[0]), (second, self.fields[1])):
                if not text:
                    raise ValueError(f"{where}: the {name} is empty")
            yield first, second

    def _columns(self, source: Source) -> Iterator[tuple[str, str]]:
        names = SIDES[::-1] if self.reverse else SIDES
        for number, line in enumerate(lines(source), 1):
            columns = [column.strip() for column in line.split("\t")] if line.strip() else ["", ""]
            if len(columns) < 2:
                raise ValueError(f"{source.name}:{number}: has one column, expected {names[0]}, tab, {names[1]}")
            for column, name in zip(columns, names, strict=False):
                if line.strip() and not column:
                    raise ValueError(f"{source.name}:{number}: the {name} is empty")
            yield columns[0], columns[1]

    def _files(self, source: Source, target: Source) -> Iterator[tuple[str, str]]:
        counts = [0, 0]
        for pair in zip_longest(lines(source), lines(target)):
            counts = [count + (line is not None) for count, line in zip(counts, pair, strict=True)]
            if None in pair:
                continue  # to count them
            first, second = (line.strip() for line in pair)
            if bool(first) != bool(second):
                empty, other = (source, target) if not first else (target, source)
                raise ValueError(f"{empty.name}:{counts[0]}: is empty, but {other.name}:{counts[0]} is not")
            yield first, second
        if counts[0] != counts[1]:
            raise ValueError(
                f"{source.name} has {counts[0]} lines, but {target.name} has {counts[1]}: "
                "line by line the one must translate the other"
            )

    def pieces(self) -> Iterator[Piece]:
        """Source, target, source, target, ..."""
        for source, target in self.pairs():
            yield Piece(source, last=False)
            yield Piece(target, last=True)

    def groups(self) -> Iterator[Sequence[tuple[str, str]]]:
        """Each pair by itself."""
        return ([pair] for pair in self.pairs())

    def texts(self, side: int | None) -> Iterator[str]:
        """Of one side, or source, target, source, target, ..."""
        return (pair[at] for pair in self.pairs() for at in ((0, 1) if side is None else (side,)))

    def sample(self, limit: int) -> Iterable[str]:
        """The first lines of both languages."""
        return OneSide(self, None).sample(limit)

    def identity(self, contents: list[Any]) -> list[Any]:
        """That it is parallel text, and how it is read."""
        plain = ["parallel", FORMAT, contents]
        how = [self.fields, self.reverse, self.prefix]
        return plain if how == [SIDES, False, ""] else [*plain, *how]


@dataclass(frozen=True)
class SentencePairs:
    """Some pairs of a token file.

    Args:
        starts: [2N+1], where sources and targets start, in turn.
        numbers: [n], which pairs.
    """

    starts: Mapped
    numbers: Indices

    @classmethod
    def of(cls, shards: Shards, name: str) -> SentencePairs:
        """All pairs of shards.

        Args:
            shards: of a `ParallelText`.
            name: of the text, for messages.

        Returns:
            The pairs that have tokens.

        Raises:
            ValueError: when only one side of a line has tokens, or the shards are of other text.
        """
        if shards.sentences is None or shards.manifest.sentences != 2 * shards.manifest.documents:
            raise ValueError(f"{shards.folder}: holds no parallel text; name its two files instead")
        empty = np.diff(shards.sentences).reshape(-1, 2) == 0
        for number, side in np.argwhere(empty & ~empty.all(1, keepdims=True))[:1]:
            which = ("source", "target")[side]
            raise ValueError(f"{name}: line {number + 1} of the {which} has nothing but control characters")
        return cls(Mapped(shards.sentences), np.flatnonzero(~empty.any(1)))

    def split(self, tokens: NDArray[Any], fraction: float) -> tuple[SentencePairs, SentencePairs]:
        """Holds pairs out, the same ones for every seed, and all that have the same source with them.

        Args:
            tokens: [N].
            fraction: how many.

        Returns:
            Those to train on and those to validate on.
        """
        hashes = self._hashes(tokens)
        count = max(1, round(len(self.numbers) * fraction))
        out = np.isin(hashes, hashes[Permutation(len(hashes), 0, 0)[np.arange(count)]])
        return SentencePairs(self.starts, self.numbers[~out]), SentencePairs(self.starts, self.numbers[out])

    def _hashes(self, tokens: NDArray[Any]) -> NDArray[np.uint64]:
        """A number of each source, equal for equal ones."""
        begin, end = self.starts.array[2 * self.numbers], self.starts.array[2 * self.numbers + 1]
        counts = end - begin
        before = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(before, counts)
        values = tokens[np.repeat(begin, counts) + within].astype(np.uint64)
        return np.add.reduceat(mixed(mixed(values) + within.astype(np.uint64)), before)


class TranslationSamples:
    """Sentences with their translations, each language in its own frame and with positions of its own.

    ``<s> source </s> <s> target </s>`` (Lample and Conneau 2019, arXiv:1901.07291, section 3.3). Pairs that are too
    long lose the ends of both sides.

    Args:
        pairs: which.
        rows: lays tokens out.
        max_length: tokens of a sample at most, special ones included.

    Raises:
        ValueError: when ``max_length`` has no room for a pair.
    """

    def __init__(self, pairs: SentencePairs, rows: Rows, max_length: int) -> None:
        self.max_length = max_length
        self._pairs, self._rows = pairs, rows
        self._capacity = max_length - rows.form.num_special(2)
        if self._capacity < 2:
            raise ValueError(f"max_length {max_length} has no room for pairs: at least {2 + rows.form.num_special(2)}")

    def __len__(self) -> int:
        return len(self._pairs.numbers)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        return {"samples": len(self), "max_length": self.max_length}

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of samples, special ones included [n]."""
        return self._parts(sample_ids).totals(self._rows.form)

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads samples: `Rows.lay_out`, languages as ``token_type_ids``, and ``position_ids``."""
        parts = self._parts(np.maximum(sample_ids, 0))
        batch = self._rows.lay_out(parts, sample_ids, epoch)
        positions = torch.arange(batch["input_ids"].shape[1])
        edges = torch.from_numpy(parts.lengths[:, :1] + 2)  # [B, 1]
        restarted = positions - edges * batch["token_type_ids"]
        return batch | {"position_ids": restarted * batch["attention_mask"]}

    def _parts(self, sample_ids: Indices) -> Parts:
        starts = self._pairs.starts.array[2 * self._pairs.numbers[sample_ids][:, None] + np.arange(3)]
        whole = np.diff(starts)
        return Parts(starts[:, :2], np.stack(shortened(whole[:, 0], whole[:, 1], self._capacity), 1))
