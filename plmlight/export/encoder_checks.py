"""The checks of an encoder's graph: torch against the graph."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmlight.decoding import Inputs
from plmlight.export.causal_checks import Forced
from plmlight.export.encoder import Axes, EncoderTask, graph_outputs, token_inputs
from plmlight.export.recipe import Limits
from plmlight.export.verdict import Check, count, judge
from plmlight.nn import Decoder, Encoder
from plmlight.tasks import LabelledTask
from plmlight.tasks.encoding import as_array
from plmlight.tasks.reading import num_token_types

BATCHES, LENGTHS, PADDINGS = (1, 2, 5), (1, 7, 33), ("", "right", "left")
Outputs = dict[str, NDArray[Any]]
Run = Callable[[Inputs], Outputs]
"""A graph, or torch: a batch to outputs by name."""


@dataclass(frozen=True)
class Case:
    """One batch to compare.

    Attributes:
        padding: the side, or empty where no row is padded.
        inputs: the batch.
        expected: torch's outputs: of each row alone, without padding, or of the batch where it is padded on the left,
            as that moves the positions.
        axes: of each output.
    """

    padding: str
    inputs: Inputs
    expected: Outputs
    axes: Mapping[str, Axes]

    def valid(self, name: str, values: NDArray[Any]) -> NDArray[Any]:
        """What of an output counts: not what stands at padding. [N, width]."""
        return at_tokens(values, self.axes[name], self.inputs["attention_mask"])


def at_tokens(values: NDArray[Any], axes: Axes, mask: NDArray[np.int64]) -> NDArray[Any]:
    """What of an output stands at tokens, not at padding: [N, ...] if it has an axis of tokens, or one of their pairs.

    Args:
        values: the output.
        axes: its axes; those of tokens come right after the batch.
        mask: [B, T].
    """
    real, dimensions = mask == 1, axes.count("sequence")
    if not dimensions:
        return values
    found: NDArray[Any] = values[real if dimensions == 1 else real[:, :, None] & real[:, None, :]]
    return found


class EncoderReference:
    """What torch answers, computed once and compared with the graph.

    Args:
        task: in evaluation mode, float32.
    """

    def __init__(self, task: EncoderTask) -> None:
        self.task, self.network = task, task.network
        self.axes = graph_outputs(task)
        self._spreads: dict[str, float] = {}
        self.first_column: set[str] = set()
        if not (isinstance(self.network, Decoder) or (isinstance(self.network, Encoder) and self.network.cls_last)):
            self.first_column.add("pair_logits")
            if getattr(task, "pooling", None) in ("cls", "pooler"):
                self.first_column |= {name for name, axes in self.axes.items() if "sequence" not in axes}

    @torch.inference_mode()
    def __call__(self, inputs: Inputs) -> Outputs:
        """The task's outputs for a batch."""
        device = self.network.token_embedding.weight.device
        found = self.task(**{name: torch.from_numpy(inputs[name]).to(device) for name in token_inputs(self.task)})
        return {name: as_array(found[name]) for name in self.axes}

    @functools.cached_property
    def cases(self) -> list[Case]:
        """Batches 1, 2, 5 times lengths 1, 7, 33, cut to ``max_length``: even, padded on the right and on the left."""
        rng = np.random.default_rng(0)
        sizes = {(batch, min(length, self.network.max_length)) for batch, length in itertools.product(BATCHES, LENGTHS)}
        return [
            self._case(rng, batch, length, padding)
            for (batch, length), padding in itertools.product(sorted(sizes), PADDINGS)
            if not padding or min(batch, length) > 1
        ]

    def _case(self, rng: np.random.Generator, batch: int, length: int, padding: str) -> Case:
        lengths = [length, *(rng.integers(1, length, batch - 1) if padding else [length] * (batch - 1))]
        rows = [self._row(rng, size) for size in lengths]
        types = [rng.integers(0, max(1, num_token_types(self.network)), size).tolist() for size in lengths]
        marks = self.task.graph_inputs if isinstance(self.task, LabelledTask) else ()
        more = {name: [(rng.random(size) < 0.5).astype(np.int64).tolist() for size in lengths] for name in marks}
        inputs = batch_of(rows, types, self.network.pad_token_id, left=padding == "left", more=more)
        if padding == "left":
            # what reads the first column would read padding
            found = {name: values for name, values in self(inputs).items() if name not in self.first_column}
            return Case(padding, inputs, found, self.axes)
        alone = [
            self({name: values[index : index + 1, :size] for name, values in inputs.items()})
            for index, size in enumerate(lengths)
        ]
        joined = {name: _stacked([each[name][0] for each in alone], axes, length) for name, axes in self.axes.items()}
        return Case(padding, inputs, joined, self.axes)

    def _row(self, rng: np.random.Generator, size: int) -> list[int]:
        """Random tokens; among them, as far as there is room, those at which the task reads: elsewhere it is blind."""
        row = rng.integers(0, self.network.vocab_size, size)
        markers = getattr(self.task, "markers", [])
        if markers:
            places = rng.permutation(size)[: len(markers)]
            row[places] = rng.permutation(markers)[: len(places)]
        found: list[int] = row.tolist()
        return found

    def spread(self, name: str, relative: bool) -> float | None:
        """What errors of an output are relative to: the spread of its numbers over all cases. None if they are not."""
        if not relative:
            return None
        if name not in self._spreads:
            values = [case.valid(name, case.expected[name]) for case in self.cases if name in case.expected]
            self._spreads[name] = float(np.concatenate(values).std())
        return self._spreads[name]


def batch_of(
    rows: Sequence[list[int]],
    types: Sequence[list[int]],
    pad: int,
    *,
    left: bool = False,
    more: Mapping[str, Sequence[list[int]]] | None = None,
) -> Inputs:
    """Rows of different lengths as one batch.

    Args:
        rows: token ids.
        types: the token type of each.
        pad: fills up.
        left: on which side.
        more: what else each token has, by name.
    """
    others = more or {}
    shape = len(rows), max(map(len, rows))
    inputs = {"input_ids": np.full(shape, pad, np.int64)}
    inputs |= {name: np.zeros(shape, np.int64) for name in ("attention_mask", "token_type_ids", *others)}
    for index, (row, kinds) in enumerate(zip(rows, types, strict=True)):
        place = slice(shape[1] - len(row), None) if left else slice(0, len(row))
        for name, values in (("input_ids", row), ("attention_mask", 1), ("token_type_ids", kinds)):
            inputs[name][index, place] = values
        for name, each in others.items():
            inputs[name][index, place] = each[index]
    return inputs


def _stacked(rows: list[NDArray[Any]], axes: Axes, length: int) -> NDArray[Any]:
    """Outputs of single rows as those of a batch; zeros at padding."""
    return np.stack(
        [
            np.pad(
                row,
                [(0, length - row.shape[place] if axis == "sequence" else 0) for place, axis in enumerate(axes[1:])],
            )
            for row in rows
        ]
    )


def shape_checks(
    reference: EncoderReference, graph: str, run: Run, limits: Limits, measurements: list[dict[str, Any]]
) -> Iterator[Check]:
    """Compares a graph with torch on shapes that it was not traced with.

    Args:
        reference: torch's answers.
        graph: the graph's name.
        run: the graph.
        limits: what to judge by.
        measurements: gets the error of each shape.

    Yields:
        The checks, each as soon as it is done.
    """
    what = " and ".join(sorted({name for case in reference.cases for name in case.expected}))
    if limits.logit_error is not None:
        detail = f"largest difference of {what} from torch over all tested shapes, padded left and right"
        measure = functools.partial(_shapes, reference, graph, run, measurements, relative=False)
        yield judge("output error", graph, limits.logit_error, "at most", detail, measure)
    limit = limits.relative_logit_error
    if "logits" not in what and limits.relative_hidden_error is not None:
        limit = limits.relative_hidden_error
    if limit is not None:
        detail = f"largest relative error of {what} over all tested shapes: root mean square difference over the spread"
        measure = functools.partial(_shapes, reference, graph, run, measurements, relative=True)
        yield judge("relative output error", graph, limit, "at most", detail, measure)


def _shapes(
    reference: EncoderReference, graph: str, run: Run, measurements: list[dict[str, Any]], *, relative: bool
) -> float:
    errors = []
    for case in reference.cases:
        if not case.expected:  # all that it has reads the first column, where there is padding
            continue
        found = run(case.inputs)
        each = [
            _error(case.valid(name, found[name]), case.valid(name, expected), reference.spread(name, relative))
            for name, expected in case.expected.items()
            if not relative or expected.dtype == np.float32  # decisions are judged by how many agree
        ]
        error = float(np.max(each))  # not Python's max, which loses a value that is not a number
        batch, length = case.inputs["input_ids"].shape
        past = {"past": case.inputs["mems.0"].shape[1]} if "mems.0" in case.inputs else {}
        shape = {"batch": batch, "length": length, **past, "padded": case.padding}
        measurements.append({"graph": graph, **shape, "error": error, "relative": relative})
        errors.append(error)
    return float(np.max(errors))


def _error(found: NDArray[Any], expected: NDArray[Any], spread: float | None) -> float:
    """The largest difference, or the root mean square one over a spread."""
    difference = found - expected
    return float(np.abs(difference).max() if spread is None else np.sqrt(np.mean(difference**2)) / spread)


Predict = Callable[[], Forced]


def filling_checks(graph: str, forced: Predict, positions: int, limits: Limits) -> Iterator[Check]:
    """Compares what is found for hidden tokens of texts.

    Args:
        graph: the graph's name.
        forced: the graph's and torch's logits at the hidden tokens.
        positions: how many there are.
        limits: what to judge by.

    Yields:
        The checks.
    """
    where = f"at {positions} tokens, hidden one at a time"

    def exact() -> float:
        return count(forced().logits.argmax(-1) == forced().reference.argmax(-1))

    if limits.greedy_agreement is not None:
        detail = f"share of masks that are filled with torch's token, {where}"
        yield judge("fill agreement", graph, limits.greedy_agreement, "at least", detail, exact)
    if limits.top1_agreement is not None:
        detail = f"share of masks whose likeliest token is torch's or nearly as likely, {where}"
        yield judge("top-1 agreement", graph, limits.top1_agreement, "at least", detail, lambda: forced().agreement())
    if limits.loss_increase is not None:
        detail = f"cross entropy of the hidden tokens less torch's, nats a token, {where}"
        yield judge("loss increase", graph, limits.loss_increase, "at most", detail, lambda: forced().loss_increase())


def embedding_checks(
    graph: str, cosines: Callable[[], NDArray[np.float32]], texts: int, limits: Limits
) -> Iterator[Check]:
    """Compares embeddings of texts.

    Args:
        graph: the graph's name.
        cosines: of the angle between each text's vector and torch's.
        texts: how many there are.
        limits: what to judge by.

    Yields:
        The checks.
    """
    where = f"cosine between the embedding and torch's, of {texts} texts"
    if limits.cosine_mean is not None:
        measure = lambda: float(np.mean(cosines()))  # noqa: E731
        yield judge("mean cosine", graph, limits.cosine_mean, "at least", f"mean {where}", measure)
    if limits.cosine_min is not None:
        measure = lambda: float(np.min(cosines()))  # noqa: E731
        yield judge("least cosine", graph, limits.cosine_min, "at least", f"least {where}", measure)


def cosine(found: NDArray[np.float32], expected: NDArray[np.float32]) -> NDArray[np.float32]:
    """The cosines [N] of the angles between rows [N, D]."""
    lengths = np.linalg.norm(found, axis=-1) * np.linalg.norm(expected, axis=-1)
    result: NDArray[np.float32] = (found * expected).sum(-1) / lengths
    return result


def encoder_timings(run: Run, max_length: int, marks: Sequence[str] = ()) -> dict[str, float]:
    """How long a model takes for one text; for orientation, as a machine may be busy.

    Args:
        run: the model.
        max_length: of the model.
        marks: what the model asks of each token beside its id; 1 for all.

    Returns:
        ``tokens`` (128 if the model reads as many), ``forward_ms`` (the median of a few).
    """
    inputs = batch_of([[1] * min(128, max_length)], [[0] * min(128, max_length)], 0)
    inputs |= {name: np.ones_like(inputs["input_ids"]) for name in marks}
    run(inputs)
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        run(inputs)
        seconds.append(time.perf_counter() - start)
    return {"tokens": min(128, max_length), "forward_ms": round(float(np.median(seconds)) * 1e3, 3)}
