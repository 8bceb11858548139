"""What each kind of task brings to an export: one class a task, found by the task's type.

A new task is exported by writing such a class and registering it with `exporter`; nothing else changes.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import singledispatch
from pathlib import Path
from typing import Any, Protocol

import torch
from tokenizers import Tokenizer

from plmlight.export.causal_export import CausalLMExport
from plmlight.export.encoder_export import MaskedLMExport, SentenceEmbeddingExport
from plmlight.export.labelled_export import LabelledExport
from plmlight.export.permutation_export import PermutationLMExport
from plmlight.export.recipe import Limits
from plmlight.export.sequence_export import Seq2SeqExport
from plmlight.export.specification import GraphSpec
from plmlight.export.verdict import Check
from plmlight.export.word_vectors import WordVectorExport
from plmlight.tasks import (
    CausalLM,
    LabelledTask,
    MaskedLM,
    PermutationLM,
    SentenceEmbedding,
    Seq2Seq,
    Task,
    WordVectorModel,
)


class TaskExport(Protocol):
    """What the exporter asks about a task."""

    max_length: int
    """The most tokens of a row."""

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """The graphs that the task can be exported as, by name."""

    def facts(self) -> dict[str, Any]:
        """What the manifest says about the model, besides what it says about every bundle."""

    def tokenizers(self) -> dict[str, Tokenizer]:
        """Tokenizers beside the one of the inputs, by their key in the manifest."""

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Compares a graph's file with torch; the error of each shape goes into ``measurements``."""

    def timings(self, file: Path | None, spec: GraphSpec | None) -> dict[str, float]:
        """How fast a graph's file is, or torch without one; for orientation."""

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
        """Requests with a graph's answers, which ``selftest`` replays; how closely may depend on the limits."""


@singledispatch
def exporter(task: Task, tokenizer: Tokenizer) -> TaskExport:
    """How a task is exported.

    Args:
        task: in evaluation mode, float32.
        tokenizer: the task's.

    Returns:
        The export of its kind.

    Raises:
        ValueError: for a task that cannot be exported.
    """
    raise ValueError(f"{type(task).__name__} cannot be exported; register how in plmlight.export.tasks.exporter")


@exporter.register
def _(task: CausalLM, tokenizer: Tokenizer) -> TaskExport:
    return CausalLMExport(task, tokenizer)


@exporter.register
def _(task: MaskedLM, tokenizer: Tokenizer) -> TaskExport:
    return MaskedLMExport(task, tokenizer)


@exporter.register
def _(task: PermutationLM, tokenizer: Tokenizer) -> TaskExport:
    return PermutationLMExport(task, tokenizer)


@exporter.register
def _(task: SentenceEmbedding, tokenizer: Tokenizer) -> TaskExport:
    return SentenceEmbeddingExport(task, tokenizer)


@exporter.register
def _(task: Seq2Seq, tokenizer: Tokenizer) -> TaskExport:
    return Seq2SeqExport(task, tokenizer)


@exporter.register
def _(task: WordVectorModel, tokenizer: Tokenizer) -> TaskExport:
    return WordVectorExport(task, tokenizer)


@exporter.register
def _(task: LabelledTask, tokenizer: Tokenizer) -> TaskExport:
    return LabelledExport(task, tokenizer)
