"""Decoder graphs as language models, for the verdict: plain, and independent of `plmlight.runtime`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from numpy.typing import NDArray

from plmlight.export.specification import GraphSpec, dtype_name

Rows = Sequence[Sequence[int]]


def open_session(path: Path, threads: int) -> Any:
    """A session on the CPU, which is where every verdict is computed.

    Args:
        path: of the graph; its weights may lie beside it.
        threads: of one operation; operations run one after the other.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class OneSession:
    """Keeps the session of one graph open at a time, as each holds the weights."""

    def __init__(self) -> None:
        self._opened: tuple[Path, Any] | None = None

    def open(self, file: Path) -> Any:
        """The session of a file; another file's is closed."""
        if self._opened is None or self._opened[0] != file:
            self._opened = None
            self._opened = file, open_session(file, torch.get_num_threads())
        return self._opened[1]


def driver(session: Any, spec: GraphSpec, max_length: int | None) -> GraphDecoder:
    """What drives a graph, by the kind of its cache.

    Args:
        session: of the graph.
        spec: of the graph.
        max_length: the most tokens that a row can hold; None where there is no limit.
    """
    kinds: dict[str, type[GraphDecoder]] = {"concatenated": PortableDriver, "in_place": InPlaceDriver}
    return kinds[spec.cache](session, spec, max_length)


class GraphDecoder(ABC):
    """A `plmlight.decoding.LanguageModel` over a session, which can also read several tokens a row at once.

    Args:
        session: of the graph.
        spec: of the graph.
        max_length: the most tokens that a row can hold; None where there is no limit.
    """

    def __init__(self, session: Any, spec: GraphSpec, max_length: int | None) -> None:
        self.session = session
        self.max_length = max_length
        self.caches = [tensor for tensor in spec.inputs if tensor.name.startswith("past_")]
        self.present = [tensor.name for tensor in spec.outputs if tensor.name.startswith("present")]
        self.dtype = np.dtype(dtype_name(spec.outputs[0].dtype))
        self.mask: NDArray[np.int64] = np.zeros((0, 0), np.int64)

    def start(self, prompts: Rows) -> NDArray[np.float32]:
        """Forgets everything and reads prompts: the logits [B, V] of the next tokens."""
        self.mask = np.zeros((len(prompts), 0), np.int64)
        self.reset(len(prompts), max(map(len, prompts)))
        return self.extend(prompts)

    def step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Appends one token a row."""
        return self.extend([[token] for token in tokens])

    def select(self, rows: Sequence[int]) -> None:
        """Makes the batch consist of these rows of the present one."""
        self.mask = self.mask[list(rows)]

    @abstractmethod
    def extend(self, rows: Rows) -> NDArray[np.float32]:
        """Appends one or more tokens to each row: the logits [B, V] after each row's last."""

    @abstractmethod
    def reset(self, batch: int, length: int) -> None:
        """Makes an empty cache for a batch whose longest prompt has this length."""


class PortableDriver(GraphDecoder):
    """Drives the graph whose cache grows, or is a state; batches are padded on the left."""

    def reset(self, batch: int, length: int) -> None:
        """Makes an empty cache."""
        sizes = {"batch": batch, "past": 0}
        self.cache = [np.zeros(tensor.shape(sizes), dtype_name(tensor.dtype)) for tensor in self.caches]

    def extend(self, rows: Rows) -> NDArray[np.float32]:
        """Appends tokens."""
        ids, fresh = padded(rows, left=True)
        self.mask = np.concatenate([self.mask, fresh], 1)
        feeds = dict(zip((tensor.name for tensor in self.caches), self.cache, strict=True))
        outputs = ["logits", *self.present]
        logits, *self.cache = self.session.run(outputs, {"input_ids": ids, "attention_mask": self.mask, **feeds})
        scores: NDArray[np.float32] = logits[:, 0].astype(np.float32)
        return scores

    def select(self, rows: Sequence[int]) -> None:
        """Keeps rows."""
        super().select(rows)
        self.cache = [tensor[list(rows)] for tensor in self.cache]


class InPlaceDriver(GraphDecoder):
    """Drives the graph that writes into its buffers; batches are padded on the right."""

    def reset(self, batch: int, length: int) -> None:
        """Makes buffers with some room; `extend` makes them longer where that is not enough."""
        self._allocate(batch, length + 16, [])

    def _allocate(self, batch: int, capacity: int, contents: list[NDArray[Any]]) -> None:
        self.capacity = capacity
        # what the graph has not written it must not read: not a number shows if it does
        shapes = [tensor.shape({"batch": batch, "buffer": capacity}) for tensor in self.caches]
        arrays = [np.full(shape, np.nan, self.dtype) for shape in shapes]
        for array, content in zip(arrays, contents, strict=bool(contents)):
            array[:, :, : content.shape[2]] = content
        self.buffers = [self._value(array) for array in arrays]

    @staticmethod
    def _value(array: NDArray[Any]) -> Any:
        return ort.OrtValue.ortvalue_from_numpy(array)

    def extend(self, rows: Rows) -> NDArray[np.float32]:
        """Appends tokens; one a call where there are several rows with a past, as the operator asks."""
        ids, fresh = padded(rows, left=False)
        if self.mask.shape[1] == 0 or len(rows) == 1:
            return self._run(ids, fresh)
        steps = [self._run(ids[:, at : at + 1], fresh[:, at : at + 1]) for at in range(ids.shape[1])]
        return np.stack([steps[len(row) - 1][index] for index, row in enumerate(rows)])

    def _run(self, ids: NDArray[np.int64], fresh: NDArray[np.int64]) -> NDArray[np.float32]:
        self.mask = np.concatenate([self.mask, fresh], 1)
        if self.mask.shape[1] > self.capacity:
            self._allocate(len(ids), 2 * self.mask.shape[1], [buffer.numpy().copy() for buffer in self.buffers])
        binding = self.session.io_binding()
        binding.bind_cpu_input("input_ids", np.ascontiguousarray(ids))
        binding.bind_cpu_input("attention_mask", self.mask)
        binding.bind_output("logits")
        for tensor, present, buffer in zip(self.caches, self.present, self.buffers, strict=True):
            binding.bind_ortvalue_input(tensor.name, buffer)
            binding.bind_ortvalue_output(present, buffer)
        self.session.run_with_iobinding(binding)
        logits: NDArray[np.float32] = binding.get_outputs()[0].numpy()[:, 0].astype(np.float32)
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Keeps rows."""
        super().select(rows)
        self.buffers = [self._value(np.ascontiguousarray(buffer.numpy()[list(rows)])) for buffer in self.buffers]


def padded(rows: Rows, *, left: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Token ids [B, T] and their mask, padded on one side with id 0."""
    longest = max(map(len, rows))
    ids, mask = np.zeros((len(rows), longest), np.int64), np.zeros((len(rows), longest), np.int64)
    for index, row in enumerate(rows):
        place = slice(longest - len(row), None) if left else slice(0, len(row))
        ids[index, place], mask[index, place] = row, 1
    return ids, mask
