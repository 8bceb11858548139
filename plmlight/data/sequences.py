"""Texts with the texts to write for them: source and target apart, each tokenised by its own tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.data.mapped import Mapped
from plmlight.data.readers import Piece
from plmlight.data.sampling import Indices, Permutation, mixed
from plmlight.data.shards import Shards
from plmlight.data.sources import Source
from plmlight.heads.cross_entropy import IGNORED
from plmlight.text import Frame

TooLong = Literal["truncate", "drop", "error"]
SIDES = ("source", "target")


class PairedText(Protocol):
    """Text that comes as sources with their targets."""

    @property
    def sources(self) -> Sequence[Source]:
        """The files."""

    def groups(self) -> Iterator[Sequence[tuple[str, str]]]:
        """Sources with their targets, streamed, by what must not be parted between training and validation."""

    def texts(self, side: int | None) -> Iterator[str]:
        """What a tokenizer is trained on: of one side, or of both."""

    def identity(self, contents: list[Any]) -> list[Any]:
        """What decides which text is read, apart from the sources, whose kinds and hashes are given."""


@dataclass(frozen=True)
class OneSide:
    """One side of paired text, as what can be tokenised: a group is a document, each of its texts a sentence.

    Args:
        pairs: both sides.
        side: 0 for sources, 1 for targets; None for both, to train a tokenizer on.
    """

    pairs: PairedText
    side: int | None
    sentences: bool = True

    @property
    def sources(self) -> Sequence[Source]:
        """The files."""
        return self.pairs.sources

    def pieces(self) -> Iterator[Piece]:
        """The texts, streamed."""
        assert self.side is not None
        for group in self.pairs.groups():
            for place, pair in enumerate(group, 1):
                yield Piece(pair[self.side], last=place == len(group))

    def sample(self, limit: int) -> Iterable[str]:
        """The first texts."""
        return _Sample(self.pairs, self.side, limit)

    def identity(self, contents: list[Any]) -> list[Any]:
        """The pairs', and which side."""
        whole = self.pairs.identity(contents)
        return whole if self.side is None else [*whole, "side", self.side]


@dataclass(frozen=True)
class _Sample:
    pairs: PairedText
    side: int | None
    limit: int

    def __iter__(self) -> Iterator[str]:
        seen = 0
        for text in self.pairs.texts(self.side):
            if seen >= self.limit:
                return
            seen += len(text)
            yield text


class Sequences:
    """One side's tokens.

    Args:
        shards: of `OneSide`.
        frame: what stands around each text.
        max_length: the most tokens, those of the frame included; None for no limit.
        keep_end: what is too long loses its beginning, else its end.

    Raises:
        ValueError: when ``max_length`` has no room for a token of text.
    """

    def __init__(self, shards: Shards, frame: Frame, max_length: int | None = None, keep_end: bool = False) -> None:
        assert shards.sentences is not None
        self.frame, self.max_length = frame, max_length
        self.num_special = len(frame.opening) + len(frame.closing)
        if max_length is not None and max_length <= self.num_special:
            raise ValueError(f"max_length {max_length} has no room for text: at least {self.num_special + 1}")
        self._keep_end = keep_end
        self._starts, self._tokens = Mapped(shards.sentences), Mapped(shards.tokens)

    def __len__(self) -> int:
        return len(self._starts) - 1

    def spans(self, numbers: Indices) -> tuple[Indices, Indices]:
        """Where texts lie in the token file.

        Args:
            numbers: [n].

        Returns:
            Their first tokens [n], and how many they have [n].
        """
        begins = self._starts.array[numbers]
        return begins, self._starts.array[numbers + 1] - begins

    def whole(self, numbers: Indices) -> Indices:
        """Tokens of texts with their frame, before anything is cut off [n]."""
        return self.spans(numbers)[1] + self.num_special

    def lengths(self, numbers: Indices) -> Indices:
        """Tokens of texts with their frame [n], at most ``max_length``."""
        whole = self.whole(numbers)
        return whole if self.max_length is None else np.minimum(whole, self.max_length)

    def lay_out(self, numbers: Indices, valid: NDArray[np.bool_], padding: int) -> tuple[Indices, Indices]:
        """Reads texts as rows, padded to the longest of them.

        Args:
            numbers: [B].
            valid: [B]; other rows are padding.
            padding: what fills shorter rows.

        Returns:
            The tokens and their mask [B, W], int64.
        """
        opening, closing = self.frame
        begins, counts = self.spans(numbers)
        totals = np.where(valid, self.lengths(numbers), 0)
        kept = np.where(valid, totals - self.num_special, 0)
        if self._keep_end:
            begins = begins + counts - kept
        width = max(1, int(totals.max(initial=0)))
        ids = np.full((len(numbers), width), padding, dtype=np.int64)
        rows = np.flatnonzero(valid)
        ids[rows, : len(opening)] = opening
        for place, token in enumerate(closing, -len(closing)):
            ids[rows, totals[rows] + place] = token
        within = np.arange(kept.sum()) - np.repeat(np.cumsum(kept) - kept, kept)
        row = np.repeat(np.arange(len(numbers)), kept)
        ids[row, len(opening) + within] = self._tokens.array[np.repeat(begins, kept) + within]
        return ids, (np.arange(width) < totals[:, None]).astype(np.int64)

    def hashes(self, numbers: Indices) -> NDArray[np.uint64]:
        """A number of each text [n], equal for equal ones; none may be empty."""
        begins, counts = self.spans(numbers)
        before = np.cumsum(counts) - counts
        within = np.arange(counts.sum()) - np.repeat(before, counts)
        values = self._tokens.array[np.repeat(begins, counts) + within].astype(np.uint64)
        found: NDArray[np.uint64] = np.add.reduceat(mixed(mixed(values) + within.astype(np.uint64)), before)
        return found


def numbers_with_text(shards: Sequence[Shards], name: str) -> Indices:
    """The pairs that have tokens on both sides.

    Args:
        shards: of both sides.
        name: of the text, for messages.

    Returns:
        Their numbers.

    Raises:
        ValueError: when only one side of a pair has tokens, or there is no pair.
    """
    empty = np.stack([np.diff(side.sentences) == 0 for side in shards if side.sentences is not None], 1)
    for number, side in np.argwhere(empty & ~empty.all(1, keepdims=True))[:1]:
        raise ValueError(f"{name}: the {SIDES[side]} of pair {number + 1} has nothing but control characters")
    found: Indices = np.flatnonzero(~empty.any(1))
    if not len(found):
        raise ValueError(f"{name}: there is no source with a target")
    return found


def parted(groups: NDArray[Any], fraction: float) -> NDArray[np.bool_]:
    """Holds samples out, the same ones for every seed, and all of their groups with them.

    Args:
        groups: [n], the group of each sample.
        fraction: how many.

    Returns:
        [n], true for those to validate on.
    """
    _, member, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    order = Permutation(len(sizes), 0, 0)[np.arange(len(sizes))]
    wanted = max(1, round(len(groups) * fraction))
    held = np.zeros(len(sizes), dtype=np.bool_)
    held[order[: 1 + int(np.searchsorted(np.cumsum(sizes[order]), wanted))]] = True
    found: NDArray[np.bool_] = held[member]
    return found


class SequenceSamples:
    """Sources with their targets, as a model that reads the one and writes the other takes them.

    Args:
        source: the sources.
        target: the targets, one for each.
        numbers: [n], which of them.
        padding: what fills up sources.
    """

    def __init__(self, source: Sequences, target: Sequences, numbers: Indices, padding: int) -> None:
        self._source, self._target, self._numbers, self._padding = source, target, numbers, padding
        self.max_length = int(self._lengths(numbers).sum(1).max(initial=1))

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        limits = {"max_length": self._source.max_length, "max_target_length": self._target.max_length}
        return {"samples": len(self), **limits}

    def _lengths(self, numbers: Indices) -> Indices:
        return np.stack([self._source.lengths(numbers), self._target.lengths(numbers)], 1)

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of sources and targets, special ones included [n, 2]."""
        return self._lengths(self._numbers[sample_ids])

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads samples.

        Args:
            sample_ids: [B]; -1 for a row of padding.
            epoch: passed on.

        Returns:
            ``input_ids`` and ``attention_mask`` [B, S]; ``labels`` [B, T], -100 at padding; ``sample_ids`` [B],
            ``epoch`` []; all int64.
        """
        numbers, valid = self._numbers[np.maximum(sample_ids, 0)], sample_ids >= 0
        ids, mask = self._source.lay_out(numbers, valid, self._padding)
        labels, _ = self._target.lay_out(numbers, valid, IGNORED)
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask),
            "labels": torch.from_numpy(labels),
            "sample_ids": torch.from_numpy(sample_ids.astype(np.int64)),
            "epoch": torch.tensor(epoch),
        }
