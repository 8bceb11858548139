"""A decoder graph that writes its cache into one buffer, which is both past and present: the fast one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from plmlight.runtime.graph import HIDDEN, Signature

_ROUND = 128
"""Buffers hold a multiple of this many tokens, with room for at least as many new ones."""


class InPlaceCache:
    """A `LanguageModel` on such a graph. Rows are compact in the buffer: row b's tokens lie at 0..n_b-1.

    The buffer starts at the prompts' size and doubles when it is full, so that short answers never pay for the
    model's whole length. It stays on the device; a step passes tokens and mask and gets logits, nothing else.

    Args:
        session: the graph.
        max_length: the most tokens of a row.
        pad_token_id: fills up short rows; the mask hides it.
    """

    def __init__(self, session: onnxruntime.InferenceSession, max_length: int, pad_token_id: int = 0) -> None:
        self.max_length: int | None = max_length
        self._longest = max_length
        self._session = session
        self._signature = Signature.of(session)
        self._pad = pad_token_id
        self._binding = session.io_binding()
        self._lengths = np.zeros(0, dtype=np.int64)
        self._used = 0  # tokens of the longest row
        self._capacity = 0
        self._host: list[np.ndarray] = []  # the buffers as arrays, where the device is the CPU
        self._buffers: list[OrtValue] = []
        self._mask = np.zeros(0, dtype=np.int64)
        self._ids = np.zeros((0, 1), dtype=np.int64)
        self._logits = np.zeros((0, 1, 0), dtype=np.float32)
        self._hidden = self._signature.empty_hidden(0, 0)

    def start(self, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """See `plmlight.decoding.LanguageModel.start`."""
        self._lengths = np.asarray([len(prompt) for prompt in prompts], dtype=np.int64)
        self._used = int(self._lengths.max())
        ids = np.full((len(prompts), self._used), self._pad, dtype=np.int64)
        for row, prompt in enumerate(prompts):
            ids[row, : len(prompt)] = prompt
        self._capacity = self._room(self._used + _ROUND)
        self._allocate(self._signature.empty_cache(len(prompts), self._capacity))
        return self._run(ids, (np.arange(self._used) < self._lengths[:, None]).astype(np.int64))

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        """See `plmlight.decoding.LanguageModel.step`."""
        if self._used == self._capacity:
            self._grow()
        rows, total = len(tokens), self._used + 1
        mask = self._mask[: rows * total].reshape(rows, total)
        if rows > 1:  # a single row's mask is all ones, as it was made
            np.less(np.arange(total), self._lengths[:, None], out=mask, casting="unsafe")
            mask[:, -1] = 1  # the column of the new tokens
        self._ids[:, 0] = tokens
        self._lengths += 1
        self._used = total
        return self._run(self._ids, mask)

    def select(self, rows: Sequence[int]) -> None:
        """See `plmlight.decoding.LanguageModel.select`."""
        places = np.asarray(rows, dtype=np.int64)
        same = len(places) == len(self._lengths)
        self._lengths = self._lengths[places]
        self._used = int(self._lengths.max())
        if same and self._host:
            moved = np.flatnonzero(places != np.arange(len(places)))
            for host in self._host:  # what stays where it is needs no copy
                host[moved, :, : self._used] = host[places[moved], :, : self._used]
            return
        self._refill(places)

    def hidden(self) -> np.ndarray:
        """See `plmlight.decoding.Revealing.hidden`.

        Raises:
            ValueError: when the graph does not give them.
        """
        found = self._signature.revealed(self._hidden)
        if found.shape[1] > 1:  # prompts begin at the start of their rows here
            found = np.stack([np.roll(row, -length, 0) for row, length in zip(found, self._lengths, strict=True)])
        return found

    def _grow(self) -> None:
        if self._capacity >= self._longest:
            raise ValueError(f"the model's length of {self._longest} tokens is used up")
        self._capacity = self._room(2 * self._capacity)
        self._refill(np.arange(len(self._lengths)))

    def _room(self, tokens: int) -> int:
        """A buffer's size for so many tokens; graphs may fix it."""
        fixed = self._signature.cache_length
        return fixed or min(self._longest, -(-tokens // _ROUND) * _ROUND)

    def _refill(self, places: np.ndarray) -> None:
        """New buffers with these rows of the present ones."""
        fresh = self._signature.empty_cache(len(places), self._capacity)
        for new, old in zip(fresh, self._host or [buffer.numpy() for buffer in self._buffers], strict=True):
            new[:, :, : self._used] = old[places, :, : self._used]
        self._allocate(fresh)

    def _allocate(self, buffers: list[np.ndarray]) -> None:
        """Takes arrays as the buffers, and binds all that stays the same from step to step."""
        rows = len(self._lengths)
        signature = self._signature
        self._buffers = [signature.place(buffer) for buffer in buffers]
        self._host = buffers if signature.device == "cpu" else []
        for past, present, buffer in zip(signature.past, signature.present, self._buffers, strict=True):
            self._binding.bind_ortvalue_input(past, buffer)
            self._binding.bind_ortvalue_output(present, buffer)
        self._logits = np.empty((rows, 1, signature.vocab_size), dtype=signature.logits_type)
        self._binding.bind_ortvalue_output("logits", OrtValue.ortvalue_from_numpy(self._logits))
        self._mask = np.ones(rows * self._capacity, dtype=np.int64)
        self._ids = np.zeros((rows, 1), dtype=np.int64)

    def _run(self, ids: np.ndarray, mask: np.ndarray) -> np.ndarray:
        if self._hidden.shape[:2] != ids.shape:
            self._hidden = self._signature.empty_hidden(*ids.shape)
            if self._signature.hidden_width is not None:
                self._binding.bind_ortvalue_output(HIDDEN, OrtValue.ortvalue_from_numpy(self._hidden))
        self._binding.bind_cpu_input("input_ids", ids)
        self._binding.bind_cpu_input("attention_mask", mask)
        self._session.run_with_iobinding(self._binding)
        return self._logits[:, 0]
