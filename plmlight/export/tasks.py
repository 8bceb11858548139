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

from plmlight.decoding import DecodingOptions, generate
from plmlight.export.causal_checks import TEXTS, CausalLMReference, causal_lm_checks, timings
from plmlight.export.causal_lm import causal_lm_facts, causal_lm_graphs
from plmlight.export.drivers import driver, open_session
from plmlight.export.recipe import Limits
from plmlight.export.specification import GraphSpec
from plmlight.export.verdict import Check
from plmlight.tasks import CausalLM, Task
from plmlight.tasks.generation import TorchLanguageModel


class TaskExport(Protocol):
    """What the exporter asks about a task."""

    max_length: int
    """The most tokens of a row."""

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """The graphs that the task can be exported as, by name."""

    def facts(self) -> dict[str, Any]:
        """What the manifest says about the model, besides what it says about every bundle."""

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Compares a graph's file with torch; the error of each shape goes into ``measurements``."""

    def timings(self, file: Path | None, spec: GraphSpec | None) -> dict[str, float]:
        """How fast a graph's file is, or torch without one; for orientation."""

    def golden(self, file: Path, spec: GraphSpec) -> list[dict[str, Any]]:
        """Requests with a graph's answers, which ``selftest`` replays."""


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


class CausalLMExport:
    """The export of a `CausalLM`.

    Args:
        task: the task.
        tokenizer: its tokenizer.
    """

    def __init__(self, task: CausalLM, tokenizer: Tokenizer) -> None:
        self.task, self.tokenizer = task, tokenizer
        self.max_length = task.network.max_length
        self.prompts = _prompts(tokenizer, task.network.vocab_size, max(1, self.max_length // 4))
        self.reference = CausalLMReference(task, list(self.prompts.values()))
        self._open: tuple[Path, Any] | None = None

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """``portable`` and, where the network allows, ``in_place``."""
        return causal_lm_graphs(self.task, dtype)

    def facts(self) -> dict[str, Any]:
        """Sizes, and the decoding options that a request starts from."""
        return causal_lm_facts(self.task) | {"decoding": {"max_new_tokens": min(128, max(1, self.max_length // 2))}}

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Shapes, greedy answers, and texts token by token."""
        yield from causal_lm_checks(self.reference, spec.name, self._model(file, spec), limits, measurements)

    def timings(self, file: Path | None, spec: GraphSpec | None) -> dict[str, float]:
        """One prompt and some tokens, batch 1."""
        if file is None or spec is None:
            return timings(TorchLanguageModel(self.task), self.max_length)
        return timings(self._model(file, spec), self.max_length)

    def golden(self, file: Path, spec: GraphSpec) -> list[dict[str, Any]]:
        """Greedy answers to short texts."""
        asked = {"max_new_tokens": min(16, self.reference.room), "temperature": 0, "eos_token_id": []}
        options = DecodingOptions(max_new_tokens=asked["max_new_tokens"], temperature=0, eos_token_id=())  # type: ignore[arg-type]
        lines = []
        for text, ids in self.prompts.items():
            answer = generate(self._model(file, spec), [ids], options, self.tokenizer)[0][0]
            tokens = [int(token) for token in answer.token_ids]
            lines.append(
                {"prompt": text, "prompt_ids": ids, "options": asked, "token_ids": tokens, "text": answer.text}
            )
        return lines

    def _model(self, file: Path, spec: GraphSpec) -> Any:
        """The graph's driver; one session is kept open at a time, as each holds the weights."""
        if self._open is None or self._open[0] != file:
            self._open = None
            self._open = file, open_session(file, torch.get_num_threads())
        return driver(self._open[1], spec, self.max_length)


def _prompts(tokenizer: Tokenizer, vocab_size: int, longest: int) -> dict[str, list[int]]:
    """Four short texts that a tokenizer can cut, with their ids.

    Raises:
        ValueError: when there is no such text at all.
    """
    step = max(1, vocab_size // 16)
    pieces = (tokenizer.decode([index]) for index in range(0, vocab_size, step))
    found: dict[str, list[int]] = {}
    for text in (*TEXTS, *pieces):
        ids = list(tokenizer.encode(text).ids)
        if 0 < len(ids) <= longest and max(ids) < vocab_size and len(found) < 4:
            found[text] = ids
    if not found:
        raise ValueError("the tokenizer cuts none of the test texts into tokens, so that nothing could be compared")
    return found
