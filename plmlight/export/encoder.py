"""How `MaskedLM`, `PermutationLM`, `SentenceEmbedding` and tasks with labels become a graph."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from plmlight.export.graph import converted
from plmlight.export.specification import GraphSpec, TensorSpec
from plmlight.nn import past_name, present_name
from plmlight.tasks import LabelledTask, MaskedLM, PermutationLM, SentenceEmbedding
from plmlight.tasks.reading import num_token_types

EncoderTask = MaskedLM | PermutationLM | SentenceEmbedding | LabelledTask
Axes = tuple[str | int, ...]

WHOLE = ("tags",)
"""Outputs that are whole numbers: what a graph has decided by itself, which must be torch's decision."""


class PortableEncoder(nn.Module):
    """A task that reads texts in plain operators.

    Args:
        task: the task.
        outputs: the names of its outputs, in the graph's order.
        inputs: what it takes of each token beside ids and mask, by name.
    """

    def __init__(self, task: EncoderTask, outputs: tuple[str, ...], inputs: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.task, self.outputs, self.inputs = task, outputs, inputs

    def forward(self, input_ids: Tensor, attention_mask: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        """The task's outputs."""
        found = self.task(input_ids, attention_mask, **dict(zip(self.inputs, others, strict=True)))
        return tuple(found[name] for name in self.outputs)


class PortableMemory(nn.Module):
    """A task that reads on with memories, in plain operators.

    Args:
        task: the task.
    """

    def __init__(self, task: PermutationLM) -> None:
        super().__init__()
        self.task = task

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor, *memories: Tensor
    ) -> tuple[Tensor, ...]:
        """The logits, and the memories of what follows."""
        hidden, kept = self.task.read(input_ids, attention_mask, token_type_ids, memories)
        return (self.task.head(hidden), *kept)


def encoder_graphs(task: EncoderTask, dtype: torch.dtype) -> dict[str, GraphSpec]:
    """The graph of an encoder.

    Args:
        task: the task; it is not changed.
        dtype: of the weights and the outputs.

    Returns:
        ``portable``. It takes ``token_type_ids`` where the network tells more than one apart, and memories where it
        carries them from segment to segment: then ``attention_mask`` [B, M+T] begins with theirs.
    """
    if isinstance(task, PermutationLM) and task.network.memory_length is not None:
        return _memory_graphs(task, dtype)
    names = token_inputs(task)
    outputs = tuple(
        TensorSpec(name, axes, torch.int64 if name in WHOLE else dtype) for name, axes in graph_outputs(task).items()
    )
    spec = GraphSpec(
        name="portable",
        file="model.onnx",
        module=PortableEncoder(converted(task, dtype), tuple(tensor.name for tensor in outputs), names[2:]),
        inputs=tuple(TensorSpec(name, ("batch", "sequence")) for name in names),
        outputs=outputs,
        sizes={"batch": 3, "sequence": min(6, task.network.max_length)},
    )
    return {spec.name: spec}


def _memory_graphs(task: PermutationLM, dtype: torch.dtype) -> dict[str, GraphSpec]:
    width, names = task.network.d_model, task.network.memory_names()
    spec = GraphSpec(
        name="portable",
        file="model.onnx",
        module=PortableMemory(converted(task, dtype)),
        inputs=(
            TensorSpec("input_ids", ("batch", "sequence")),
            TensorSpec("attention_mask", ("batch", "total")),
            TensorSpec("token_type_ids", ("batch", "sequence")),
            *(TensorSpec(past_name(name), ("batch", "past", width), dtype) for name in names),
        ),
        outputs=(
            TensorSpec("logits", ("batch", "sequence", task.network.vocab_size), dtype),
            *(TensorSpec(present_name(name), ("batch", "kept", width), dtype) for name in names),
        ),
        sizes={"batch": 3, "sequence": min(6, task.network.max_length), "past": 4},
        sums={"total": ("past", "sequence")},
    )
    return {spec.name: spec}


def token_inputs(task: EncoderTask) -> tuple[str, ...]:
    """The names of what a graph takes of each token [B, T]."""
    marks = task.graph_inputs if isinstance(task, LabelledTask) else ()
    return ("input_ids", "attention_mask", *["token_type_ids"] * (num_token_types(task.network) > 1), *marks)


def graph_outputs(task: EncoderTask) -> dict[str, Axes]:
    """The names of a graph's outputs and their axes."""
    if isinstance(task, LabelledTask):
        return task.graph_outputs
    width = task.network.d_model
    if isinstance(task, SentenceEmbedding):
        return {"last_hidden_state": ("batch", "sequence", width), "sentence_embedding": ("batch", width)}
    logits: dict[str, Axes] = {"logits": ("batch", "sequence", task.network.vocab_size)}
    return (
        logits if isinstance(task, PermutationLM) or task.pair_head is None else logits | {"pair_logits": ("batch", 2)}
    )


def row_length(task: EncoderTask) -> int:
    """The most tokens of a row that a bundle reads."""
    return task.text_length if isinstance(task, SentenceEmbedding) else task.network.max_length


def encoder_facts(task: EncoderTask) -> dict[str, Any]:
    """What the manifest says about an encoder."""
    network = task.network
    facts: dict[str, Any] = {
        "vocab_size": network.vocab_size,
        "max_length": row_length(task),
        "d_model": network.d_model,
        "pad_token_id": network.pad_token_id,
        "num_token_types": num_token_types(network),
    }
    if isinstance(task, SentenceEmbedding):
        facts |= {"pooling": task.pooling, "normalise": task.normalise}
    if isinstance(task, PermutationLM):
        facts |= {"memory_length": task.network.memory_length, "reuse_length": task.network.reuse_length}
    if isinstance(task, LabelledTask):
        facts |= {"facts": task.facts()}
    return facts
