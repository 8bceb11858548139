"""The two graphs of an encoder and its decoder as a model, for the verdict: plain, and independent of the runtime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmlight.decoding.model import memories
from plmlight.export.drivers import Rows, open_session, padded
from plmlight.export.specification import GraphSpec, dtype_name
from plmlight.tasks import Seq2Seq


class OnePair:
    """Keeps the sessions of one decoder and its encoder open at a time."""

    def __init__(self) -> None:
        self._opened: tuple[Path, Any, Any] | None = None

    def open(self, file: Path, spec: GraphSpec) -> tuple[Any, Any]:
        """The sessions of an encoder and its decoder; another pair is closed."""
        if self._opened is None or self._opened[0] != file:
            assert spec.encoder is not None
            self._opened = None
            threads = torch.get_num_threads()
            self._opened = file, open_session(file.parent / spec.encoder.file, threads), open_session(file, threads)
        return self._opened[1:]


class SequenceDriver:
    """A `plmlight.decoding.SequenceModel` over two sessions.

    Args:
        encoder: the session that reads.
        decoder: the session that writes.
        spec: the decoder's graph, with the encoder's.
        task: for the facts about its network.
    """

    def __init__(self, encoder: Any, decoder: Any, spec: GraphSpec, task: Seq2Seq) -> None:
        assert spec.encoder is not None
        network = task.network
        self.encoder, self.decoder, self.spec = encoder, decoder, spec
        self.max_length: int | None = network.target_max_length
        self.max_source_length: int | None = network.max_length
        self.decoder_start_token_id = network.decoder_start_token_id
        self.past = [tensor for tensor in spec.inputs if tensor.name.startswith("past_")]
        self.given = [tensor.name for tensor in spec.encoder.outputs]
        self.written = [tensor.name for tensor in spec.outputs]

    def read(self, sources: Rows) -> WritingDriver:
        """Reads sources, padded on the right: what writes the targets."""
        ids, mask = padded(sources, left=False)
        found = self.encoder.run(None, {"input_ids": ids, "attention_mask": mask})
        return WritingDriver(self, mask, dict(zip(self.given, found, strict=True)))


class WritingDriver:
    """A `plmlight.decoding.LanguageModel` that goes on from sources that were read.

    Args:
        model: the sessions.
        mask: of the sources, [B, S].
        given: the encoder's outputs by name.
    """

    def __init__(self, model: SequenceDriver, mask: NDArray[np.int64], given: dict[str, NDArray[Any]]) -> None:
        self.model, self.source_mask, self.given = model, mask, given
        self.max_length = model.max_length

    @property
    def memory(self) -> NDArray[np.float32]:
        """The encoder's output [B, S, D]."""
        found: NDArray[np.float32] = self.given["last_hidden_state"].astype(np.float32)
        return found

    def start(self, prompts: Rows) -> NDArray[np.float32]:
        """Reads prompts of equal length: the logits [B, V] of the next tokens."""
        sizes = {"batch": len(prompts), "past": 0, "source": self.source_mask.shape[1]}
        self.mask, self.cache, self.owners = self.source_mask, {}, list(range(len(prompts)))
        for tensor in self.model.past:
            name = _present(tensor.name)
            first = self.given.get(name)
            self.cache[tensor.name] = (
                np.zeros(tensor.shape(sizes), dtype_name(tensor.dtype)) if first is None else first
            )
        return self.extend(prompts)

    def step(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """Appends one token a row."""
        return self.extend([[token] for token in tokens])

    def extend(self, rows: Rows) -> NDArray[np.float32]:
        """Appends as many tokens to each row: the logits [B, V] after the last."""
        feeds = {"input_ids": np.array(rows, np.int64), "encoder_attention_mask": self.mask, **self.cache}
        outputs = dict(zip(self.model.written, self.model.decoder.run(None, feeds), strict=True))
        self.cache = {name: outputs.get(_present(name), before) for name, before in self.cache.items()}
        self.hidden_states: NDArray[np.float32] = outputs["last_hidden_state"].astype(np.float32)
        logits: NDArray[np.float32] = outputs["logits"][:, 0].astype(np.float32)
        return logits

    def select(self, rows: Sequence[int]) -> None:
        """Keeps rows; those that go on from one source share what was read of it."""
        self.owners = [self.owners[row] for row in rows]
        shared = memories(self.owners)
        self.mask = self.source_mask[shared]
        for name, tensor in self.cache.items():
            remembered = _present(name) not in self.model.written
            self.cache[name] = self.given[_present(name)][shared] if remembered else tensor[list(rows)]

    def hidden(self) -> NDArray[np.float32]:
        """The hidden states [R, T, D] of the last call."""
        return self.hidden_states

    def coverage(self) -> NDArray[np.float32]:
        """How much attention each token of the source has had, [R, S]; 1 at padding."""
        found: NDArray[np.float32] = self.cache["past_state.coverage"].astype(np.float32)
        found[self.source_mask[self.owners] == 0] = 1
        return found


def _present(name: str) -> str:
    """The output that goes on from an input."""
    return name.replace("past_key_values.", "present.", 1).replace("past_state.", "present_state.", 1)
