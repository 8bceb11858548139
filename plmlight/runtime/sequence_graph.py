"""The two graphs of an encoder and its decoder: one reads, once, the other writes, token by token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime import OrtValue

from plmlight.decoding.model import memories
from plmlight.runtime.providers import PROVIDERS

_TYPES: dict[str, np.dtype] = {"tensor(float)": np.dtype(np.float32), "tensor(float16)": np.dtype(np.float16)}
COVERAGE = "past_state.coverage"


class SequenceGraph:
    """A `plmlight.decoding.SequenceModel` on such graphs.

    What the encoder computed for a source stays where it is from step to step, and the rows of a beam share it.

    Args:
        encoder: the session that reads.
        decoder: the session that writes.
        max_length: the most tokens of a target, the first one included; None where there is no limit.
        max_source_length: the most tokens of a source; None where there is no limit.
        decoder_start_token_id: what the decoder reads first.
        pad_token_id: fills up short sources; the mask hides it.
        go_on: a session of the decoder's graph for all but the first tokens, as an engine serves one range of
            lengths; the first one by default.

    Raises:
        ValueError: when the graphs are not an encoder and its decoder.
    """

    def __init__(
        self,
        encoder: onnxruntime.InferenceSession,
        decoder: onnxruntime.InferenceSession,
        max_length: int | None,
        max_source_length: int | None,
        decoder_start_token_id: int,
        pad_token_id: int = 0,
        go_on: onnxruntime.InferenceSession | None = None,
    ) -> None:
        self.max_length, self.max_source_length = max_length, max_source_length
        self.decoder_start_token_id, self.pad_token_id = decoder_start_token_id, pad_token_id
        self.encoder, self.decoder = encoder, decoder
        self.go_on = go_on if go_on is not None else decoder
        self.device = "cpu" if decoder.get_providers()[0] == PROVIDERS["cpu"] else "cuda"
        self.given = [value.name for value in encoder.get_outputs()]
        self.past = {value.name: value for value in decoder.get_inputs() if value.name.startswith("past_")}
        outputs = {value.name: value for value in decoder.get_outputs()}
        self.changing = [name for name in self.past if present(name) in outputs]
        self.remembered = [name for name in self.past if name not in self.changing]
        lacks = [present(name) for name in self.remembered if present(name) not in self.given]
        lacks += [name for name in ("logits", "last_hidden_state") if name not in outputs]
        if lacks or not self.past:
            raise ValueError(f"the graphs have no output {[*lacks, 'present'][0]!r}: no encoder and its decoder")
        self.vocab_size, self.width = (int(outputs[name].shape[-1]) for name in ("logits", "last_hidden_state"))
        self.logits_type, self.hidden_type = (_TYPES[outputs[name].type] for name in ("logits", "last_hidden_state"))

    def read(self, sources: Sequence[Sequence[int]]) -> Writing:
        """See `plmlight.decoding.SequenceModel.read`."""
        longest = max(map(len, sources))
        ids = np.full((len(sources), longest), self.pad_token_id, np.int64)
        mask = np.zeros_like(ids)
        for row, source in enumerate(sources):
            ids[row, : len(source)] = source
            mask[row, : len(source)] = 1
        binding = self.encoder.io_binding()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_cpu_input("attention_mask", mask)
        for name in self.given:
            binding.bind_output(name, self.device)
        self.encoder.run_with_iobinding(binding)
        return Writing(self, mask, dict(zip(self.given, binding.get_outputs(), strict=True)))

    def empty(self, name: str, rows: int, source: int) -> OrtValue:
        """What the decoder starts from where the encoder gives nothing: no keys and values, or zeros."""
        value = self.past[name]
        sizes: dict[Any, int] = {value.shape[0]: rows, "source": source, "past": 0}
        shape = [sizes[size] if isinstance(size, str) else size for size in value.shape]
        return self.place(np.zeros(shape, _TYPES[value.type]))

    def place(self, array: np.ndarray) -> OrtValue:
        """An array on the device; on the CPU the value is the array's own memory."""
        return OrtValue.ortvalue_from_numpy(np.ascontiguousarray(array), self.device)


class Writing:
    """A `plmlight.decoding.LanguageModel` that goes on from sources that were read; `Covering` and `Revealing` too.

    Args:
        graph: the sessions.
        mask: of the sources, [B, S].
        given: the encoder's outputs by name.
    """

    def __init__(self, graph: SequenceGraph, mask: np.ndarray, given: dict[str, OrtValue]) -> None:
        self.max_length = graph.max_length
        self._graph, self._source_mask, self._given = graph, mask, given
        self._binding = graph.go_on.io_binding()

    def start(self, prompts: Sequence[Sequence[int]]) -> np.ndarray:
        """See `plmlight.decoding.LanguageModel.start`.

        Raises:
            ValueError: for prompts that are not one a source, or differ in length: targets have no padding.
        """
        if len(prompts) != len(self._source_mask) or len({len(prompt) for prompt in prompts}) != 1:
            raise ValueError(f"{len(self._source_mask)} sources need as many prompts of one length")
        graph, (rows, source) = self._graph, self._source_mask.shape
        self._owners = self._memories = list(range(rows))
        self._mask = self._source_mask
        self._remembered = [self._given[present(name)] for name in graph.remembered]
        self._changing = [self._given.get(present(name)) or graph.empty(name, rows, source) for name in graph.changing]
        self._rows = 0
        ids = np.asarray(prompts, np.int64)
        if graph.go_on is graph.decoder:
            return self._run(ids)
        first, self._binding = self._binding, graph.decoder.io_binding()
        logits = self._run(ids, graph.decoder)
        self._binding, self._rows = first, 0
        return logits

    def step(self, tokens: Sequence[int]) -> np.ndarray:
        """See `plmlight.decoding.LanguageModel.step`."""
        return self._run(np.asarray(tokens, np.int64)[:, None])

    def select(self, rows: Sequence[int]) -> None:
        """See `plmlight.decoding.LanguageModel.select`; only what moves is copied."""
        places = np.asarray(rows, np.int64)
        self._owners = [self._owners[row] for row in rows]
        before, self._memories = self._memories, memories(self._owners)
        if self._memories != before:
            # of the keys and values of a source that stays where it was nothing changes, whichever beam goes on
            asked = np.asarray(self._memories, np.int64)
            self._mask = np.ascontiguousarray(self._source_mask[asked])
            self._remembered = [self._taken(self._given[present(name)], asked) for name in self._graph.remembered]
            self._rows = 0
        self._changing = [self._moved(value, places) for value in self._changing]

    def coverage(self) -> np.ndarray:
        """See `plmlight.decoding.Covering.coverage`.

        Raises:
            ValueError: when the graph does not sum the attention.
        """
        if COVERAGE not in self._graph.changing:
            raise ValueError(f"the graph has no input {COVERAGE!r}: it does not sum its attention to the source")
        found = self._changing[self._graph.changing.index(COVERAGE)].numpy()
        return np.where(self._source_mask[self._owners] == 0, np.float32(1), found)

    def hidden(self) -> np.ndarray:
        """See `plmlight.decoding.Revealing.hidden`."""
        found: np.ndarray = self._hidden.numpy().astype(np.float32)
        return found

    def _taken(self, value: OrtValue, places: np.ndarray) -> OrtValue:
        return self._graph.place(np.take(value.numpy(), places, 0))

    def _moved(self, value: OrtValue, places: np.ndarray) -> OrtValue:
        if self._graph.device != "cpu" or value.shape()[0] != len(places):
            return self._taken(value, places)
        array = value.numpy()  # the value's own memory
        moved = np.flatnonzero(places != np.arange(len(places)))
        array[moved] = array[places[moved]]
        return value

    def _bind(self, rows: int) -> None:
        """Binds all that stays the same from step to step."""
        graph = self._graph
        self._rows = rows
        for name, value in zip(graph.remembered, self._remembered, strict=True):
            self._binding.bind_ortvalue_input(name, value)
        self._binding.bind_cpu_input("encoder_attention_mask", self._mask)
        self._logits = np.empty((rows, 1, graph.vocab_size), graph.logits_type)

    def _run(self, ids: np.ndarray, session: onnxruntime.InferenceSession | None = None) -> np.ndarray:
        graph, binding = self._graph, self._binding
        if self._rows != len(ids):
            self._bind(len(ids))
        binding.clear_binding_outputs()
        binding.bind_cpu_input("input_ids", ids)
        binding.bind_ortvalue_output("logits", OrtValue.ortvalue_from_numpy(self._logits))
        binding.bind_output("last_hidden_state", "cpu")
        for name, value in zip(graph.changing, self._changing, strict=True):
            binding.bind_ortvalue_input(name, value)
            binding.bind_output(present(name), graph.device)
        (session or graph.go_on).run_with_iobinding(binding)
        _, self._hidden, *self._changing = binding.get_outputs()
        scores: np.ndarray = self._logits[:, 0]
        return scores


def present(name: str) -> str:
    """The output that goes on from an input, or that the encoder gives for it."""
    return name.replace("past_key_values.", "present.", 1).replace("past_state.", "present_state.", 1)
