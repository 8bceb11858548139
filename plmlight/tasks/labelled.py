"""What tasks that learn from labels share: evaluation on all examples of a set together."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.decoding import ANALYSERS, Record, TextAnalyser
from plmlight.decoding.analysis import located
from plmlight.objectives import Batch
from plmlight.objectives.base import Parts
from plmlight.tasks.base import Task
from plmlight.tasks.encoding import TorchOutputModel
from plmlight.text.tables import Analysis

Found = dict[str, Any]
"""What was found out about examples, by name: an array whose first dimension is the example's, or a list."""


class Findings:
    """Collects what a task finds out about each example of a data set, until all of it is scored."""

    def __init__(self) -> None:
        self._rows: dict[int, dict[str, Any]] = {}

    def add(self, sample_ids: Tensor, found: Mapping[str, Tensor | Sequence[Any]]) -> None:
        """Takes a batch's; rows of padding are left out.

        Args:
            sample_ids: [B], -1 for padding.
            found: by name, each [B, ...] or a list of B.
        """
        columns = {name: _array(values) if isinstance(values, Tensor) else values for name, values in found.items()}
        for place, number in enumerate(sample_ids.tolist()):
            if number >= 0:
                self._rows[number] = {name: values[place] for name, values in columns.items()} | {"sample_ids": number}

    def take(self, group: ProcessGroup | None = None) -> Found:
        """Gives what all ranks found, in the order of the examples, and starts again at nothing.

        Args:
            group: the ranks; all of them must call this.

        Returns:
            Arrays where all of a name have one shape, else lists; ``sample_ids`` are the samples' numbers. Nothing
            where there was no example.
        """
        rows, self._rows = self._rows, {}
        if group is not None and torch.distributed.get_world_size(group) > 1:
            parts: list[Any] = [None] * torch.distributed.get_world_size(group)
            torch.distributed.all_gather_object(parts, rows, group)
            rows = {number: row for part in parts for number, row in part.items()}
        ordered = [rows[number] for number in sorted(rows)]
        return {name: _joined([row[name] for row in ordered]) for name in (ordered[0] if ordered else ())}


def _array(values: Tensor) -> NDArray[Any]:
    """Of numbers with a fraction float32, of others what they are."""
    found: NDArray[Any] = (values.float() if values.is_floating_point() else values).detach().cpu().numpy()
    return found


def _joined(values: list[Any]) -> Any:
    arrays = isinstance(values[0], np.ndarray | np.number | int | float)
    return np.stack(values) if arrays and len({np.shape(value) for value in values}) == 1 else values


class ScoredTask(Task):
    """A task that is evaluated on all examples of a set together.

    A subclass reads a batch (`read`), says how far the answers are from what they should be (`loss`), what of them is
    kept of each example of a validation or test set (`find`), and what that is worth (`score`), which sees the whole
    set at once: so any measure is exact on any number of ranks.
    """

    @abstractmethod
    def read(self, batch: Batch) -> dict[str, Tensor]:
        """What the network answers to a batch, by name."""

    @abstractmethod
    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """The loss by parts: name to (sum, count)."""

    @abstractmethod
    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """What is kept of each example to be scored: [B, ...] or lists of B, by name."""

    @abstractmethod
    def score(self, found: Found) -> dict[str, float]:
        """The measures of a whole set, from what `find` gave."""

    def analyse(self, found: Found) -> Analysis:
        """What a person wants to see of a whole set beside its measures, from what `find` gave; nothing by default."""
        return Analysis()

    def report(self) -> Analysis:
        """What a person wants to see of the last evaluation, for `plmlight.callbacks.Report`; nothing before one."""
        return self.analyse(self._last) if self._last else Analysis()

    def parts(self, batch: Batch) -> Parts:
        """The loss; what was answered stays in the batch as ``outputs``, for `find`."""
        outputs = self.read(batch)
        if not self.training:
            batch["outputs"] = outputs
        return self.loss(outputs, batch)

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """The mean ``loss``: of several parts their sum, and each by its name."""
        names = [name for name in sums if f"{name}_count" in sums]
        means = {name: sums[name] / (sums[f"{name}_count"] or 1.0) for name in names}
        return means if "loss" in means else {"loss": sum(means.values()), **means}

    def setup(self, stage: str) -> None:
        """Looks whether all is there, before anything is done."""
        super().setup(stage)
        self.findings = Findings()
        self._last: Found = {}
        self._shown: dict[str, bool] = {}

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to the sums of the data set, and keeps what is scored at its end."""
        super().validation_step(batch, batch_idx)
        self._keep(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to the sums of the data set, and keeps what is scored at its end."""
        super().test_step(batch, batch_idx)
        self._keep(batch)

    def _keep(self, batch: Batch) -> None:
        self.findings.add(batch["sample_ids"], self.find(batch.pop("outputs"), batch))

    def _report(self, prefix: str) -> None:
        super()._report(prefix)
        found = self._last = self.findings.take(self.data_parallel_group)
        scores = self.score(found) if found else {}
        for place, (name, value) in enumerate(scores.items()):
            # the first is what a person looks at, the others are in the logs; Lightning lets no name change sides
            shown = self._shown.setdefault(f"{prefix}_{name}", place == 0)
            self.log(f"{prefix}_{name}", value, prog_bar=shown, sync_dist=True)


class LabelledTask(ScoredTask):
    """A task that learns from labels.

    A subclass answers (``forward``, by the names of the exported graph), and says how the answers are scored; see
    `ScoredTask`.
    """

    _answering: TextAnalyser | None = None

    @property
    @abstractmethod
    def graph_outputs(self) -> dict[str, tuple[str | int, ...]]:
        """What ``forward`` returns, in the exported graph's order: name to axes, as ``("batch", "sequence", 9)``."""

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """What ``forward`` asks of each token beside ids, mask and segments: names of [B, T], 0 at padding."""
        return ()

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What the runtime must know to turn the outputs into answers (labels, thresholds): plain values."""

    def read(self, batch: Batch) -> dict[str, Tensor]:
        """What ``forward`` answers to a batch."""
        names = ("input_ids", "attention_mask", "token_type_ids", "position_ids", *self.graph_inputs)
        outputs: dict[str, Tensor] = self(**{name: batch[name] for name in names if name in batch})
        return outputs

    def analyser(self) -> TextAnalyser:
        """What answers requests with this task, as ``infer`` and bundles do.

        Raises:
            ValueError: where the task has no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(f"{type(self).__name__}: has no tokenizer, without which no text can be read")
        return ANALYSERS[type(self).__name__](TorchOutputModel(self), self.tokenizer, self.facts())

    def predict_step(self, batch: Batch, batch_idx: int) -> list[Record]:
        """Answers a batch's requests.

        Args:
            batch: with ``requests``, and in ``places`` where they stand, as `plmlight.data.labelled.LabelledData` has
                them of what is to be predicted on.
            batch_idx: not used.

        Returns:
            A record each: ``sample_ids``, the request, and its answer.

        Raises:
            ValueError: for a batch without requests, or one of them that cannot be answered.
        """
        if "requests" not in batch:
            raise ValueError(f"{type(self).__name__} predicts from requests, and the data has {', '.join(batch)}")
        if self._answering is None:
            self._answering = self.analyser()
        numbers = batch["sample_ids"].tolist()
        there = [place for place, number in enumerate(numbers) if number >= 0]
        requests = [batch["requests"][place] for place in there]
        try:
            answers = self._answering.answers(requests, max(1, len(requests)))
        except ValueError as error:
            raise located(error, [batch["places"][place] for place in there]) from None
        pairs = zip(there, requests, answers, strict=True)
        return [{"sample_ids": numbers[place], **request, **answer} for place, request, answer in pairs]

    def on_predict_end(self) -> None:
        """Lets go of what answered."""
        self._answering = None
