"""Scores of what a task writes in validation, beside what was expected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.metrics import gather_texts, text_metrics


class Written(NamedTuple):
    """A text that a model wrote, with what it read and what was expected."""

    source: str
    text: str
    reference: str


class TextScores:
    """Collects what text metrics need over a data set.

    Args:
        names: of the metrics, as `plmlight.metrics.text_metrics` knows them.
        show: how many texts are kept to be looked at.
    """

    def __init__(self, names: Sequence[str], show: int = 0) -> None:
        self.metrics = text_metrics(names)
        self.show = show
        self._kept: list[Written] = []
        self._whole: list[Written] = []

    def add(self, batch: Sequence[Written]) -> dict[str, Tensor]:
        """Takes the texts of a batch, of which there may be none.

        Args:
            batch: the texts.

        Returns:
            What is to be summed over batches and ranks.
        """
        self._kept += batch[: max(0, self.show - len(self._kept))]
        if not all(metric.additive for metric in self.metrics):
            self._whole += batch
        return self._sums(batch, additive=True)

    def rest(self, group: ProcessGroup | None) -> dict[str, Tensor]:
        """What can only be computed of all texts together, once for all ranks.

        Args:
            group: the ranks; all of them must call this.

        Returns:
            Sums as those of `add`, zero on all ranks but the first, so that they may be added up as those are.
        """
        if all(metric.additive for metric in self.metrics):
            return {}
        texts, references = (
            gather_texts([getattr(written, side) for written in self._whole], group) for side in ("text", "reference")
        )
        self._whole = []
        sums = self._sums([Written("", *pair) for pair in zip(texts, references, strict=True)], additive=False)
        first = group is None or torch.distributed.get_rank(group) == 0
        return sums if first else {name: torch.zeros_like(value) for name, value in sums.items()}

    def _sums(self, batch: Sequence[Written], *, additive: bool) -> dict[str, Tensor]:
        texts, references = [written.text for written in batch], [written.reference for written in batch]
        return {
            name: torch.tensor(value, dtype=torch.float64)
            for metric in self.metrics
            if metric.additive == additive
            for name, value in metric.sums(texts, references).items()
        }

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """The scores, by name; none for a data set of which nothing was decoded.

        Args:
            sums: over the data set.
        """
        scores: dict[str, float] = {}
        for metric in self.metrics:
            if any(name.startswith(f"{metric.name}_") for name in sums):
                scores |= metric.summarise(sums)
        return scores

    def take_samples(self) -> list[Written]:
        """The texts that were kept, the first of the data set; none are kept any more."""
        kept, self._kept = self._kept, []
        return kept


def show_samples(samples: Sequence[Written], title: str, console: Console | None = None) -> None:
    """Prints texts in a table.

    Args:
        samples: the texts.
        title: above it.
        console: where to; the standard output by default.
    """
    table = Table("source", "written", "expected", title=title, title_justify="left", show_lines=True)
    for written in samples:
        table.add_row(*(Text(text, overflow="fold") for text in written))  # Chinese has no spaces to break lines at
    (console or Console()).print(table)
