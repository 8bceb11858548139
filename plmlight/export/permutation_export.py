"""The export of `PermutationLM`."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding import Inputs
from plmlight.export.encoder_checks import BATCHES, LENGTHS, PADDINGS, Case, EncoderReference, batch_of
from plmlight.export.encoder_export import EncoderDriver, MaskedLMExport
from plmlight.export.specification import GraphSpec, dtype_name
from plmlight.nn import past_name, present_name
from plmlight.tasks import PermutationLM
from plmlight.tasks.reading import num_token_types

PASTS = (0, 1, 17)
"""How many memories the graph is compared with."""

HIDDEN = 0.3
"""The share of the tokens that are hidden in the batches that are compared."""


@dataclass(frozen=True)
class MemoryCase(Case):
    """One batch with memories; torch's outputs are those of each row alone, where it is not padded on the left."""

    def valid(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """What of an output counts: not what stands at padding. [N, width]."""
        own = self.inputs["attention_mask"][:, -self.inputs["input_ids"].shape[1] :]
        found: NDArray[np.float32] = values[(own if name == "logits" else self.inputs["kept_mask"]) == 1]
        return found


class PermutationReference(EncoderReference):
    """What torch answers; see `EncoderReference`.

    Some tokens are hidden, and where the network carries memories each batch is read with 0, 1 and 17 of them, of which
    the first rows lack some.

    Args:
        task: in evaluation mode, float32.
    """

    task: PermutationLM

    def __init__(self, task: PermutationLM) -> None:
        super().__init__(task)
        self.carries = task.network.memory_length is not None
        self.names = task.network.memory_names() if self.carries else []

    @torch.inference_mode()
    def __call__(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """The task's outputs for a batch; with no memories where it has none."""
        given = with_memories(inputs, self.names, self.network.d_model)
        names = ("input_ids", "attention_mask", "token_type_ids", *map(past_name, self.names))
        device = self.network.token_embedding.weight.device
        found = self.task(**{name: torch.from_numpy(given[name]).to(device) for name in names})
        return {name: tensor.float().cpu().numpy() for name, tensor in found.items()}

    @functools.cached_property
    def cases(self) -> list[Case]:
        """Batches 1, 2, 5 times lengths 1, 7, 33 times memories 0, 1, 17, even and padded on either side."""
        rng = np.random.default_rng(0)
        sizes = {(batch, min(length, self.network.max_length)) for batch, length in itertools.product(BATCHES, LENGTHS)}
        return [
            self._case_with(rng, batch, length, padding, past)
            for (batch, length), padding, past in itertools.product(
                sorted(sizes), PADDINGS, PASTS if self.carries else (0,)
            )
            if not padding or min(batch, length) > 1
        ]

    def _case_with(self, rng: np.random.Generator, batch: int, length: int, padding: str, past: int) -> Case:
        lengths = [length, *(rng.integers(1, length, batch - 1) if padding else [length] * (batch - 1))]
        rows = [rng.integers(0, self.network.vocab_size, size) for size in lengths]
        if self.task.mask_token_id is not None:
            for row in rows:
                row[rng.random(len(row)) < HIDDEN] = self.task.mask_token_id
        types = [rng.integers(0, num_token_types(self.network), size).tolist() for size in lengths]
        listed = [row.tolist() for row in rows]
        inputs = batch_of(listed, types, self.network.pad_token_id, left=padding == "left")
        if not self.carries:
            alone = [
                self(batch_of([row], [kinds], self.network.pad_token_id))["logits"][0]
                for row, kinds in zip(listed, types, strict=True)
            ]
            return Case(padding, inputs, {"logits": _placed(inputs["attention_mask"], alone)}, self.axes)
        held = [past, *(rng.integers(0, past + 1, batch - 1) if padding else [past] * (batch - 1))]
        before = (np.arange(past) >= past - np.array(held)[:, None]).astype(np.int64)  # [B, M]
        memories = {
            past_name(name): rng.normal(size=(batch, past, self.network.d_model)).astype(np.float32)
            for name in self.names
        }
        own = inputs["attention_mask"]
        network = self.task.network
        kept = np.concatenate([before, own[:, : network.reuse_length]], 1)[:, -(network.memory_length or 0) :]
        inputs |= {"attention_mask": np.concatenate([before, own], 1), "kept_mask": kept, **memories}
        if padding == "left":  # it lies between memories and text, whose distances it makes larger
            return MemoryCase(padding, inputs, self(inputs), self.axes)
        answers = [
            self(
                batch_of([row], [kinds], self.network.pad_token_id)
                | {"attention_mask": np.ones((1, count + len(row)), np.int64)}
                | {name: values[index : index + 1, past - count :] for name, values in memories.items()}
            )
            for index, (row, kinds, count) in enumerate(zip(listed, types, held, strict=True))
        ]
        expected = {"logits": _placed(own, [answer["logits"][0] for answer in answers])}
        for name in map(present_name, self.names):
            expected[name] = _placed(kept, [answer[name][0] for answer in answers])
        return MemoryCase(padding, inputs, expected, self.axes)


def with_memories(inputs: Inputs, names: list[str], width: int) -> Inputs:
    """A batch with memories of no length where it has none."""
    rows = len(inputs["input_ids"])
    empty: Inputs = {past_name(name): np.zeros((rows, 0, width), np.float32) for name in names}
    return empty | inputs


def _placed(mask: NDArray[np.int64], rows: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    """The last of each row's values where its mask is 1; zeros elsewhere. [B, T, width]."""
    found = np.zeros((*mask.shape, rows[0].shape[-1]), np.float32)
    for out, real, values in zip(found, mask == 1, rows, strict=True):
        out[real] = values[len(values) - int(real.sum()) :]
    return found


class PermutationDriver(EncoderDriver):
    """A graph with memories, of which there are none where the batch has none; see `EncoderDriver`.

    Args:
        session: of the graph.
        spec: of the graph.
        task: for the facts about its network.
    """

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[np.float32]]:
        """The graph's outputs for a batch."""
        types = {tensor.name: tensor.dtype for tensor in self.spec.inputs if tensor.name.startswith("mems.")}
        given = with_memories(inputs, list(types), self.width)
        return super().__call__(given | {name: given[name].astype(dtype_name(of)) for name, of in types.items()})


class PermutationLMExport(MaskedLMExport):
    """The export of a `PermutationLM`: its masks are filled, and its memories go in and come out.

    Args:
        task: the task.
        tokenizer: its tokenizer.

    Raises:
        ValueError: when the tokenizer has no mask token, or cuts none of the test texts.
    """

    def __init__(self, task: PermutationLM, tokenizer: Tokenizer) -> None:
        super().__init__(task, tokenizer)
        self.reference = PermutationReference(task)

    def driver(self, file: Path, spec: GraphSpec) -> EncoderDriver:
        """The graph's driver."""
        return PermutationDriver(self.sessions.open(file), spec, self.encoder)
