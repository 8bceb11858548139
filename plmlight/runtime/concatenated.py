"""A decoder graph in plain ONNX whose cache grows by concatenation, or is a state: runs on every provider."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from plmlight.runtime.graph import HIDDEN, Signature


class ConcatenatedCache:
    """A `LanguageModel` on such a graph. Batches are padded on the left; the cache stays on the device.

    Args:
        session: the graph.
        max_length: the most tokens of a row; None where there is no limit.
        pad_token_id: fills up short rows; the mask hides it.
        decode: a session of the same graph for all but the first tokens of a row, as an engine serves one range of
            lengths; the first one by default.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        max_length: int | None,
        pad_token_id: int = 0,
        decode: onnxruntime.InferenceSession | None = None,
    ) -> None:
        self.max_length = max_length
        self._session, self._decode = session, decode if decode is not None else session
        self._signature = Signature.of(session)
        self._pad = pad_token_id
        self._mask = np.zeros((0, 0), dtype=np.int64)
        self._past: list[OrtValue] = []
        self._hidden = OrtValue.ortvalue_from_numpy(self._signature.empty_hidden(0, 0))

    def start(self, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """See `plmlight.decoding.LanguageModel.start`."""
        longest = max(map(len, prompts))
        ids = np.full((len(prompts), longest), self._pad, dtype=np.int64)
        self._mask = np.zeros_like(ids)
        for row, prompt in enumerate(prompts):
            ids[row, longest - len(prompt) :] = prompt
            self._mask[row, longest - len(prompt) :] = 1
        self._past = [self._signature.place(empty) for empty in self._signature.empty_cache(len(prompts), 0)]
        return self._run(self._session, ids)

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        """See `plmlight.decoding.LanguageModel.step`."""
        self._mask = np.pad(self._mask, ((0, 0), (0, 1)), constant_values=1)
        return self._run(self._decode, np.asarray(tokens, dtype=np.int64)[:, None])

    def select(self, rows: Sequence[int]) -> None:
        """See `plmlight.decoding.LanguageModel.select`; columns that only rows now gone needed go too."""
        mask = self._mask[list(rows)]
        padding = int(mask.argmax(axis=1).min())
        self._mask = np.ascontiguousarray(mask[:, padding:])
        kept = [past.numpy()[list(rows)] for past in self._past]
        self._past = [
            self._signature.place(np.ascontiguousarray(past[:, :, padding:] if grows else past))
            for past, grows in zip(kept, self._signature.grows, strict=True)
        ]

    def hidden(self) -> np.ndarray:
        """See `plmlight.decoding.Revealing.hidden`.

        Raises:
            ValueError: when the graph does not give them.
        """
        return self._signature.revealed(self._hidden.numpy())

    def _run(self, session: onnxruntime.InferenceSession, ids: np.ndarray) -> np.ndarray:
        binding = session.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", self._mask)
        binding.bind_output("logits", "cpu")
        for name, past in zip(self._signature.past, self._past, strict=True):
            binding.bind_ortvalue_input(name, past)
        for name in self._signature.present:
            binding.bind_output(name, self._signature.device)
        if self._signature.hidden_width is not None:
            binding.bind_output(HIDDEN, "cpu")
        session.run_with_iobinding(binding)
        logits, *self._past = binding.get_outputs()
        if self._signature.hidden_width is not None:
            self._hidden = self._past.pop()
        scores: np.ndarray = logits.numpy()[:, -1]
        return scores
