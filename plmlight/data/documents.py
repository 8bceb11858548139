"""Documents as sentences, and the samples that are drawn from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.data.base import Split, held_out
from plmlight.data.mapped import Mapped
from plmlight.data.rows import Parts, Rows, shortened
from plmlight.data.sampling import Indices, uniform
from plmlight.data.shards import Shards

Pairs = Literal["none", "next", "order"]
_AT_ONCE = 2**20  # sentences that are packed at a time


@dataclass(frozen=True)
class Sentences:
    """Some documents of a token file.

    Args:
        starts: [S+1], where each sentence of the file starts, and the number of tokens.
        documents: [M, 2], each one's first sentence and the one after its last; none is empty.
    """

    starts: Mapped
    documents: Indices

    @classmethod
    def of(cls, shards: Shards) -> Sentences:
        """All documents of shards.

        Args:
            shards: which keep their sentences.

        Returns:
            The documents, without sentences that have no token.

        Raises:
            ValueError: when the shards do not keep their sentences.
        """
        if shards.sentences is None:
            raise ValueError(f"{shards.folder}: was prepared without sentences; prepare it again with --sentences true")
        starts = shards.sentences
        if (np.diff(starts) == 0).any():
            starts = np.unique(starts)
        edges = np.searchsorted(starts, shards.documents)
        documents = np.stack([edges[:-1], edges[1:]], 1)
        return cls(Mapped(starts), documents[documents[:, 0] < documents[:, 1]])

    def split(self, fraction: float, split: Split) -> tuple[Sentences, Sentences]:
        """Holds documents out.

        Args:
            fraction: how many.
            split: as in `TextCorpus`; the tail starts with a sentence.

        Returns:
            Those to train on and those to validate on.
        """
        out = held_out(len(self.documents), fraction, split)
        if out is not None:
            return Sentences(self.starts, self.documents[~out]), Sentences(self.starts, self.documents[out])
        total = int(self.starts.array[-1])
        at = np.searchsorted(self.starts.array, int(total * (1 - fraction)))
        before, after = np.minimum(self.documents, at), np.maximum(self.documents, at)
        return tuple(Sentences(self.starts, part[part[:, 0] < part[:, 1]]) for part in (before, after))  # type: ignore[return-value]


def packed(starts: NDArray[Any], documents: Indices, capacity: int, at_least: int = 1) -> Indices:
    """Fills samples with consecutive sentences, none across the end of its document.

    Args:
        starts: [S+1], where sentences start.
        documents: [M, 2], their first sentence and the one after the last.
        capacity: tokens of a sample at most, but for ``at_least``.
        at_least: sentences of a sample. A document's last sample takes earlier sentences again to have so many;
            documents with fewer give no sample.

    Returns:
        [n, 2], each sample's first sentence and the one after its last.
    """
    found: list[tuple[int, int]] = []
    base = 0
    following: list[int] = []  # the sentence after the last one that fits, for samples that start with each from base
    for first, last in documents[documents[:, 1] - documents[:, 0] >= at_least].tolist():
        place = first
        while place < last:
            if not base <= place < base + len(following):
                base = place
                limits = np.asarray(starts[base : base + _AT_ONCE]) + capacity
                # a sentence has a token at least, so that no sample reaches further
                reach = np.asarray(starts[base : base + _AT_ONCE + capacity + 1])
                following = (np.searchsorted(reach, limits, "right") - 1 + base).tolist()
            end = min(max(following[place - base], place + at_least), last)
            found.append((min(place, end - at_least), end))
            place = end
    return np.array(found, dtype=np.int64).reshape(-1, 2)


class SentenceSamples:
    """Consecutive sentences of one document, as many as fit (RoBERTa's DOC-SENTENCES: Liu et al. 2019, section 4.2).

    A sentence longer than a sample is cut.

    Args:
        sentences: the documents.
        rows: lays tokens out.
        max_length: tokens of a sample at most, special ones included.
    """

    def __init__(self, sentences: Sentences, rows: Rows, max_length: int) -> None:
        self.max_length = max_length
        self._rows = rows
        capacity = max_length - rows.form.num_special(1)
        starts, documents = _cut(sentences, capacity)
        self._stretches = starts[packed(starts, documents, capacity)]  # [n, 2], tokens

    def __len__(self) -> int:
        return len(self._stretches)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        return {"pairs": "none", "samples": len(self), "max_length": self.max_length}

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of samples, special ones included [n]."""
        return self._parts(sample_ids).totals(self._rows.form)

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads samples: `Rows.lay_out`."""
        return self._rows.lay_out(self._parts(sample_ids), sample_ids, epoch)

    def _parts(self, sample_ids: Indices) -> Parts:
        stretches = self._stretches[np.maximum(sample_ids, 0)]
        return Parts(stretches[:, :1], stretches[:, 1:] - stretches[:, :1])


def _cut(sentences: Sentences, capacity: int) -> tuple[NDArray[Any], Indices]:
    """Starts and documents, in which sentences longer than a sample are cut into several."""
    starts = sentences.starts.array
    lengths = np.diff(starts)
    long = np.flatnonzero(lengths > capacity)
    if not len(long):
        return starts, sentences.documents
    counts = (lengths[long] - 1) // capacity
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + 1
    cut = np.sort(np.concatenate([starts, np.repeat(starts[long], counts) + number * capacity]))
    return cut, np.searchsorted(cut, starts[sentences.documents])


class PairSamples:
    """Two segments of whole sentences each, drawn anew in each epoch.

    Samples are stretches of at least two consecutive sentences of a document, as many as fit. In each epoch chance cuts
    such a stretch between two sentences into A and B. With ``next`` (Devlin et al. 2019, arXiv:1810.04805, section 3.1)
    B is half of the time taken from a sentence on that is drawn from all other documents: as many sentences as come
    closest to B's length, so that the length does not give it away. With ``order`` (Lan et al. 2020, arXiv:1909.11942,
    section 3.1) A and B are half of the time swapped. Pairs that are too long lose tokens at A's beginning and B's end.
    What a sample is, is a pure function of (seed, sample id, epoch).

    Args:
        sentences: the documents.
        rows: lays tokens out.
        max_length: tokens of a sample at most, special ones included.
        pairs: ``next`` or ``order``.
        short_probability: of a sample to have a limit drawn uniformly between two tokens and ``max_length``.
        seed: of all draws.

    Raises:
        ValueError: when ``max_length`` has no room for a pair.
    """

    def __init__(
        self,
        sentences: Sentences,
        rows: Rows,
        max_length: int,
        pairs: Literal["next", "order"],
        short_probability: float = 0.1,
        seed: int = 0,
    ) -> None:
        self._rows, self._pairs, self.max_length = rows, pairs, max_length
        self._short, self._seed = short_probability, seed
        self._capacity = max_length - rows.form.num_special(2)
        if self._capacity < 2:
            raise ValueError(f"max_length {max_length} has no room for pairs: at least {2 + rows.form.num_special(2)}")
        self._starts, self._documents = sentences.starts, sentences.documents
        self._stretches = packed(self._starts.array, self._documents, self._capacity, at_least=2)
        counts = self._documents[:, 1] - self._documents[:, 0]
        self._before = np.concatenate([[0], np.cumsum(counts)])  # [M+1], sentences before each document

    def __len__(self) -> int:
        return len(self._stretches)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        short = self._short
        return {"pairs": self._pairs, "samples": len(self), "max_length": self.max_length, "short_probability": short}

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of samples, special ones included [n]."""
        return self._drawn(sample_ids, epoch)[0].totals(self._rows.form)

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads samples: `Rows.lay_out` and ``pair_labels`` [B], 0 for a true pair, 1 for a false, -100 for padding."""
        parts, labels = self._drawn(np.maximum(sample_ids, 0), epoch)
        labels = np.where(sample_ids < 0, -100, labels)
        return self._rows.lay_out(parts, sample_ids, epoch) | {"pair_labels": torch.from_numpy(labels)}

    def _drawn(self, sample_ids: Indices, epoch: int) -> tuple[Parts, Indices]:
        shorter, target, cut, label, elsewhere = uniform(sample_ids, 5, self._seed, epoch)
        starts = self._starts.array
        first, last = self._stretches[sample_ids].T
        drawn = 2 + (target * (self._capacity - 1)).astype(np.int64)
        limit = np.where(shorter < self._short, drawn, self._capacity)
        last = np.clip(np.searchsorted(starts, starts[first] + limit, "right") - 1, first + 2, last)
        middle = first + 1 + (cut * (last - first - 1)).astype(np.int64)
        labels = (label < 0.5).astype(np.int64)
        begin = starts[np.stack([first, middle], 1)]  # [n, 2]
        end = starts[np.stack([middle, last], 1)]
        if self._pairs == "next":
            other, after = self._elsewhere(first, end[:, 1] - begin[:, 1], elsewhere)
            begin[:, 1] = np.where(labels, starts[other], begin[:, 1])
            end[:, 1] = np.where(labels, starts[after], end[:, 1])
        whole = end - begin
        lengths = np.stack(shortened(whole[:, 0], whole[:, 1], limit), 1)
        begin[:, 0] = end[:, 0] - lengths[:, 0]
        if self._pairs == "order":
            swapped = labels == 1
            begin[swapped], lengths[swapped] = begin[swapped, ::-1], lengths[swapped, ::-1]
        return Parts(begin, lengths), labels

    def _elsewhere(self, first: Indices, wanted: Indices, drawn: NDArray[np.float64]) -> tuple[Indices, Indices]:
        """Sentences of other documents than that of a sentence, about as many tokens as wanted."""
        starts, documents, before = self._starts.array, self._documents, self._before
        own = np.searchsorted(documents[:, 0], first, "right") - 1
        size = before[own + 1] - before[own]
        number = (drawn * (before[-1] - size)).astype(np.int64)
        number += np.where(number >= before[own], size, 0)
        document = np.searchsorted(before, number, "right") - 1
        begin = documents[document, 0] + number - before[document]
        goal = starts[begin] + wanted
        below = np.searchsorted(starts, goal, "right") - 1
        above = np.minimum(below + 1, len(starts) - 1)
        end = np.where(starts[above] - goal < goal - starts[below], above, below)
        return begin, np.clip(end, begin + 1, documents[document, 1])
