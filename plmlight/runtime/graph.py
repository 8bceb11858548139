"""What a decoder graph's own inputs and outputs say about it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from plmlight.runtime.providers import PROVIDERS

_TYPES: dict[str, np.dtype] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(float16)": np.dtype(np.float16),
    "tensor(int64)": np.dtype(np.int64),
}

HIDDEN = "last_hidden_state"


@dataclass(frozen=True)
class Signature:
    """The cache and the logits of a decoder graph.

    Attributes:
        past: names of the cache's inputs, ``past_key_values.{i}.key|value`` or ``past_state.*``, in graph order.
        present: names of the outputs that go on from them, in the same order.
        shapes: of the inputs, with a text where a size is open: [batch, heads, past, head_dim] of keys and values,
            [batch, width] of a state.
        types: of the inputs' numbers.
        logits_type: of the logits' numbers.
        vocab_size: of the logits.
        hidden_width: of the hidden states; None where the graph does not give them.
        hidden_type: of their numbers.
        device: where the cache lives: ``"cpu"`` or ``"cuda"``.
    """

    past: tuple[str, ...]
    present: tuple[str, ...]
    shapes: tuple[tuple[Any, ...], ...]
    types: tuple[np.dtype, ...]
    logits_type: np.dtype
    vocab_size: int
    hidden_width: int | None
    hidden_type: np.dtype
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
        present = [
            value.name.replace("past_key_values.", "present.", 1).replace("past_state.", "present_state.", 1)
            for value in caches
        ]
        lacks = [name for name in ("logits", *present) if name not in outputs]
        if not caches or lacks:
            what = f"output {lacks[0]!r}" if lacks else "input 'past_key_values.0.key'"
            raise ValueError(f"the graph has no {what}: it is not a decoder with a cache")
        logits = outputs["logits"]
        hidden = outputs.get(HIDDEN)
        return cls(
            past=tuple(value.name for value in caches),
            present=tuple(present),
            shapes=tuple(tuple(value.shape) for value in caches),
            types=tuple(_TYPES[value.type] for value in caches),
            logits_type=_TYPES[logits.type],
            vocab_size=int(logits.shape[-1]),
            hidden_width=None if hidden is None else int(hidden.shape[-1]),
            hidden_type=_TYPES[(hidden or logits).type],
            device="cpu" if session.get_providers()[0] == PROVIDERS["cpu"] else "cuda",
        )

    @property
    def cache_length(self) -> int | None:
        """The tokens that the cache's inputs hold, where the graph fixes that."""
        lengths = [shape[2] for shape, grows in zip(self.shapes, self.grows, strict=True) if grows]
        return lengths[0] if lengths and isinstance(lengths[0], int) else None

    @property
    def grows(self) -> list[bool]:
        """Which of the cache's tensors hold something of each token, in their third dimension; others are a state."""
        return [len(shape) == 4 for shape in self.shapes]

    def empty_cache(self, rows: int, length: int) -> list[np.ndarray]:
        """Zeros of the cache's shape.

        Args:
            rows: of the batch.
            length: tokens that keys and values hold, where the graph does not fix it.
        """
        held = self.cache_length or length
        sizes = (
            (rows, shape[1], held, shape[3]) if grows else (rows, *shape[1:])
            for shape, grows in zip(self.shapes, self.grows, strict=True)
        )
        return [np.zeros(size, dtype=kind) for size, kind in zip(sizes, self.types, strict=True)]

    def empty_hidden(self, rows: int, length: int) -> np.ndarray:
        """Room for the hidden states of rows of so many tokens; of none where the graph does not give them."""
        return np.empty((rows, length, self.hidden_width or 0), self.hidden_type)

    def revealed(self, hidden: np.ndarray) -> np.ndarray:
        """Hidden states in single precision.

        Raises:
            ValueError: when the graph does not give them.
        """
        if self.hidden_width is None:
            raise ValueError(
                f"the graph has no output {HIDDEN!r}, which contrastive search (penalty_alpha) compares: a recurrent "
                "network's has none, nor has one that an older version exported"
            )
        found: np.ndarray = hidden.astype(np.float32)
        return found

    def place(self, array: np.ndarray) -> OrtValue:
        """An array on the device; on the CPU the value is the array's own memory."""
        return OrtValue.ortvalue_from_numpy(array, self.device)
