"""The export of every task with labels."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding import ANALYSERS, Inputs, OutputModel, Record
from plmlight.export.causal_checks import NEAR_TIE, relative_error
from plmlight.export.encoder import graph_outputs
from plmlight.export.encoder_checks import Outputs, at_tokens, shape_checks
from plmlight.export.encoder_export import EncoderExport, tolerance
from plmlight.export.recipe import Limits
from plmlight.export.specification import GraphSpec
from plmlight.export.verdict import Check, count, judge
from plmlight.tasks import LabelledTask
from plmlight.tasks.encoding import TorchOutputModel
from plmlight.text import nearest


class _Recording:
    """A model that remembers what it was asked and what it said.

    Args:
        model: the model.
    """

    def __init__(self, model: OutputModel) -> None:
        self.model, self.calls = model, list[tuple[Inputs, Outputs]]()
        self.max_length, self.pad_token_id = model.max_length, model.pad_token_id
        self.num_token_types = model.num_token_types

    def __call__(self, inputs: Inputs) -> Outputs:
        """The model's outputs."""
        self.calls.append((inputs, self.model(inputs)))
        return self.calls[-1][1]


class LabelledExport(EncoderExport):
    """The export of a task with labels.

    What is particular to a task stands elsewhere: in its ``graph_outputs`` and ``facts``, and in its `TextAnalyser`,
    whose examples are the requests that a graph is proven on.

    Args:
        task: the task.
        tokenizer: its tokenizer.

    Raises:
        ValueError: for a task whose answers `plmlight.decoding.analysers` does not know.
    """

    def __init__(self, task: LabelledTask, tokenizer: Tokenizer) -> None:
        name = type(task).__name__
        if name not in ANALYSERS:
            raise ValueError(f"plmlight.decoding.analysers knows no answers of {name}{nearest(name, ANALYSERS)}")
        super().__init__(task, tokenizer)
        self.task, self.analyser, self.axes = task, ANALYSERS[name], graph_outputs(task)
        self.requests: list[Record] = self.analyser.examples()

    def answers(self, model: OutputModel) -> list[Record]:
        """What a model answers to the test requests."""
        return self.analyser(model, self.tokenizer, self.task.facts()).answers(self.requests)

    @functools.cached_property
    def _expected(self) -> list[tuple[Inputs, Outputs]]:
        """The batches of the test requests, and torch's outputs."""
        recording = _Recording(TorchOutputModel(self.task))
        self.answers(recording)
        return recording.calls

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Shapes, and the numbers and decisions of the test requests."""
        driver = self.driver(file, spec)
        yield from shape_checks(self.reference, spec.name, driver, limits, measurements)

        @functools.cache
        def found() -> list[Outputs]:
            return [driver(inputs) for inputs, _ in self._expected]

        @functools.cache
        def decisions() -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
            pairs = [
                _agreement(outputs[name], expected[name], self.axes[name], inputs["attention_mask"])
                for outputs, (inputs, expected) in zip(found(), self._expected, strict=True)
                for name in self.axes
            ]
            same, near = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
            return same, near

        where = f"of {' and '.join(self.axes)} on {len(self.requests)} test requests"
        if limits.relative_logit_error is not None:
            detail = f"root mean square difference over the spread, the largest {where}"
            yield judge(
                "relative error on texts",
                spec.name,
                limits.relative_logit_error,
                "at most",
                detail,
                lambda: self._relative_error(found()),
            )
        if limits.greedy_agreement is not None:
            detail = f"share of decisions that are torch's, {where}"
            yield judge(
                "label agreement", spec.name, limits.greedy_agreement, "at least", detail, lambda: count(decisions()[0])
            )
        if limits.top1_agreement is not None:
            detail = f"share of decisions that are torch's or nearly as likely, {where}"

            def nearly() -> tuple[float, str]:
                same, near = decisions()
                return count(near), f"; without near ties {count(same):.4f}"

            yield judge("label agreement", spec.name, limits.top1_agreement, "at least", detail, nearly)

    def _relative_error(self, found: list[Outputs]) -> float:
        """The largest relative error of an output with fractions over all test requests."""
        errors = []
        for name in self.axes:
            mine, torchs = (self._joined(name, outputs) for outputs in (found, [each for _, each in self._expected]))
            if np.issubdtype(torchs.dtype, np.floating):
                errors.append(relative_error(mine[None], torchs[None]))
        return float(np.max(errors, initial=0.0))  # not Python's max, which loses a value that is not a number

    def _joined(self, name: str, outputs: list[Outputs]) -> NDArray[Any]:
        """All numbers of an output for the test requests, but for those at padding."""
        masks = [inputs["attention_mask"] for inputs, _ in self._expected]
        parts = [at_tokens(each[name], self.axes[name], mask) for each, mask in zip(outputs, masks, strict=True)]
        return np.concatenate([part.ravel() for part in parts])

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
        """The test requests with their answers."""
        return [
            {"request": request, "answer": answer, "tolerance": tolerance(limits)}
            for request, answer in zip(self.requests, self.answers(self.driver(file, spec)), strict=True)
        ]


def _agreement(
    found: NDArray[Any], expected: NDArray[Any], axes: tuple[str | int, ...], mask: NDArray[np.int64]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which decisions are equal, and which are equal or nearly as likely.

    A decision is a whole number, the greatest number of a last axis of classes, or that of a text's tokens where an
    output ends with them (the start of an answer).
    """
    if not np.issubdtype(expected.dtype, np.floating):
        same = at_tokens(found == expected, axes, mask).ravel()
        return same, same
    if axes[-1] == "sequence":
        found, expected = (np.where(mask == 1, values, -np.inf) for values in (found, expected))
    else:
        found, expected = (at_tokens(values, axes, mask) for values in (found, expected))
    best, chosen = expected.argmax(-1)[..., None], found.argmax(-1)[..., None]
    behind = np.take_along_axis(expected, best, -1) - np.take_along_axis(expected, chosen, -1)
    return (best == chosen).ravel(), (behind <= NEAR_TIE).ravel()
