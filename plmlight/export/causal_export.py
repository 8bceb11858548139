"""The export of `CausalLM`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from plmlight.decoding import DecodingOptions, TextGenerator, generate
from plmlight.export.causal_checks import TEXTS, CausalLMReference, causal_lm_checks, timings
from plmlight.export.causal_lm import causal_lm_facts, causal_lm_graphs, tested_length
from plmlight.export.drivers import GraphDecoder, OneSession, driver
from plmlight.export.recipe import Limits
from plmlight.export.specification import GraphSpec
from plmlight.export.verdict import Check
from plmlight.tasks import CausalLM
from plmlight.tasks.generation import TorchLanguageModel
from plmlight.text import TextForm


class CausalLMExport:
    """The export of a `CausalLM`.

    Args:
        task: the task.
        tokenizer: its tokenizer.
    """

    def __init__(self, task: CausalLM, tokenizer: Tokenizer) -> None:
        self.task, self.tokenizer = task, tokenizer
        self.max_length = tested_length(task.network)
        self.prompts = self._prompts()
        self.reference = CausalLMReference(task, list(self.prompts.values()))
        self.sessions = OneSession()

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """``portable`` and, where the network allows, ``in_place``."""
        return causal_lm_graphs(self.task, dtype)

    def facts(self) -> dict[str, Any]:
        """Sizes, what stands around an instruction, and the decoding options that a request starts from."""
        form = {} if self.task.text_form == TextForm() else {"text_form": self.task.text_form.as_json()}
        decoding = {"max_new_tokens": min(128, max(1, self.max_length // 2))}
        return causal_lm_facts(self.task) | form | {"decoding": decoding}

    def tokenizers(self) -> dict[str, Tokenizer]:
        """None but the one of the inputs."""
        return {}

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

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
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

    def _model(self, file: Path, spec: GraphSpec) -> GraphDecoder:
        return driver(self.sessions.open(file), spec, self.task.network.context_length)

    def _prompts(self) -> dict[str, list[int]]:
        """Four short texts that the tokenizer can cut, with their ids.

        Raises:
            ValueError: when there is no such text at all.
        """
        form, rows = self.task.text_form, self.task.network.vocab_size
        reader = TextGenerator(TorchLanguageModel(self.task), self.tokenizer, text_form=form)
        longest = max(1, self.max_length // (4 if form.chat is None else 2))
        pieces = (self.tokenizer.decode([index]) for index in range(0, rows, max(1, rows // 16)))
        found: dict[str, list[int]] = {}
        for text in (*TEXTS, *pieces):
            ids = reader.encode(text)
            if 0 < len(ids) <= longest and max(ids) < rows and len(found) < 4:
                found[text] = ids
        if not found:
            raise ValueError("the tokenizer cuts none of the test texts into tokens, so that nothing could be compared")
        return found
