"""What a decoder graph's own inputs and outputs say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from plmlight.runtime.providers import PROVIDERS

_TYPES: dict[str, np.dtype] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}


@dataclass(frozen=True)
class Signature:
    """The cache and the logits of a decoder graph.

    Attributes:
        past: names of the cache's inputs, ``past_key_values.{i}.key|value``, in graph order.
        present: names of the outputs that go on from them, in the same order.
        shapes: of the inputs, with a text where a size is open: [batch, heads, past, head_dim].
        cache_type: of their numbers.
        logits_type: of the logits' numbers.
        vocab_size: of the logits.
        device: where the cache lives: ``"cpu"`` or ``"cuda"``.
    """

    past: tuple[str, ...]
    present: tuple[str, ...]
    shapes: tuple[tuple[Any, ...], ...]
    cache_type: np.dtype
    logits_type: np.dtype
    vocab_size: int
    device: str

    @classmethod
    def of(cls, session: onnxruntime.InferenceSession) -> Signature:
        """Reads it from a session.

        Args:
            session: the graph.

        Raises:
            ValueError: when the graph is not a decoder's.
        """
        caches = [value for value in session.get_inputs() if value.name.startswith("past")]
        outputs = {value.name: value for value in session.get_outputs()}
        present = [value.name.replace("past_key_values", "present", 1) for value in caches]
        lacks = [name for name in ("logits", *present) if name not in outputs]
        if not caches or lacks:
            what = f"output {lacks[0]!r}" if lacks else "input 'past_key_values.0.key'"
            raise ValueError(f"the graph has no {what}: it is not a decoder with a cache")
        logits = outputs["logits"]
        return cls(
            past=tuple(value.name for value in caches),
            present=tuple(present),
            shapes=tuple(tuple(value.shape) for value in caches),
            cache_type=_TYPES[caches[0].type],
            logits_type=_TYPES[logits.type],
            vocab_size=int(logits.shape[-1]),
            device="cpu" if session.get_providers()[0] == PROVIDERS["cpu"] else "cuda",
        )

    @property
    def cache_length(self) -> int | None:
        """The tokens that the cache's inputs hold, where the graph fixes that."""
        length = self.shapes[0][2]
        return length if isinstance(length, int) else None

    def empty_cache(self, rows: int, length: int) -> list[np.ndarray]:
        """Zeros of the cache's shape.

        Args:
            rows: of the batch.
            length: tokens, where the graph does not fix it.
        """
        sizes = ((rows, shape[1], self.cache_length or length, shape[3]) for shape in self.shapes)
        return [np.zeros(size, dtype=self.cache_type) for size in sizes]

    def place(self, array: np.ndarray) -> OrtValue:
        """An array on the device; on the CPU the value is the array's own memory."""
        return OrtValue.ortvalue_from_numpy(array, self.device)
