"""Samples of several tasks in one stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plmlight.data.parallel import ParallelText
from plmlight.data.sampling import Indices, Permutation
from plmlight.data.sequences import SequenceSamples
from plmlight.data.sources import Source
from plmlight.heads.cross_entropy import IGNORED


def draws(rates: Sequence[float], total: int, temperature: float) -> list[int]:
    """How many samples of each task an epoch has: proportional to ``rate ** (1 / temperature)``.

    Args:
        rates: of the tasks, positive.
        total: samples in an epoch, about.
        temperature: T, 1 for proportional; the larger, the more alike.

    Returns:
        At least 1 for each task.
    """
    shares = (np.asarray(rates, dtype=np.float64) / max(rates)) ** (1 / temperature)
    return [max(1, round(total * share)) for share in shares / shares.sum()]


@dataclass(frozen=True)
class TextOfTasks:
    """The text of several tasks, to train one tokenizer on: one pair of each in turn.

    Args:
        tasks: their pairs.
    """

    tasks: Sequence[ParallelText]

    @property
    def sources(self) -> Sequence[Source]:
        """All files."""
        return [source for task in self.tasks for source in task.sources]

    def groups(self) -> Iterator[Sequence[tuple[str, str]]]:
        """Each pair by itself."""
        streams = [task.groups() for task in self.tasks]
        while streams:
            left = []
            for stream in streams:
                group = next(stream, None)
                if group is not None:
                    left.append(stream)
                    yield group
            streams = left

    def texts(self, side: int | None) -> Iterator[str]:
        """Of both sides, or one."""
        return (text for group in self.groups() for pair in group for text in (pair if side is None else [pair[side]]))

    def identity(self, contents: list[Any]) -> list[Any]:
        """How each task is read."""
        found, place = [], 0
        for task in self.tasks:
            end = place + len(task.sources)
            found.append(task.identity(contents[place:end]))
            place = end
        return ["tasks", found]


class MixedSamples:
    """Samples of several tasks, each drawn in an order of its own: all of a task's before one comes again.

    Args:
        parts: of the tasks.
        counts: how many samples of each an epoch has; None for each sample once, in order.
        seed: of the orders.
        padding: what fills up sources.
    """

    def __init__(self, parts: Sequence[SequenceSamples], counts: Sequence[int] | None, seed: int, padding: int) -> None:
        self._parts, self._seed, self._padding = list(parts), seed, padding
        self._drawn = counts is not None
        self._counts = [len(part) for part in parts] if counts is None else list(counts)
        self._edges = np.concatenate([[0], np.cumsum(self._counts)])
        self.max_length = max(part.max_length for part in parts)

    def __len__(self) -> int:
        return int(self._edges[-1])

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        limits = self._parts[0].identity
        return {**limits, "samples": [len(part) for part in self._parts], "draws": self._counts}

    def _split(self, sample_ids: Indices, epoch: int) -> Iterator[tuple[SequenceSamples, Indices, Indices]]:
        """The tasks that samples belong to: its samples, where they stand in ``sample_ids``, and their numbers."""
        member = np.searchsorted(self._edges, sample_ids, "right") - 1
        for number in np.unique(member[sample_ids >= 0]):
            part, places = self._parts[number], np.flatnonzero(member == number)
            drawn = sample_ids[places] - self._edges[number]
            if self._drawn:
                rounds, drawn = np.divmod(drawn + epoch * self._counts[number], len(part))
                for each in np.unique(rounds):
                    here = rounds == each
                    drawn[here] = Permutation(len(part), self._seed, int(each))[drawn[here]]
            yield part, places, drawn

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of sources and targets, special ones included [n, 2]."""
        found = np.zeros((len(sample_ids), 2), dtype=np.int64)
        for part, places, drawn in self._split(sample_ids, epoch):
            found[places] = part.lengths(drawn, epoch)
        return found

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads samples, as `SequenceSamples` does."""
        batches = [
            (torch.from_numpy(places), part.batch(drawn, epoch))
            for part, places, drawn in self._split(sample_ids, epoch)
        ]
        made: dict[str, Tensor] = {}
        for name, filler in (("input_ids", self._padding), ("attention_mask", 0), ("labels", IGNORED)):
            width = max((batch[name].shape[1] for _, batch in batches), default=1)
            made[name] = torch.full((len(sample_ids), width), filler)
            for places, batch in batches:
                made[name][places, : batch[name].shape[1]] = batch[name]
        made["sample_ids"] = torch.from_numpy(sample_ids.astype(np.int64))
        return made | {"epoch": torch.tensor(epoch)}
