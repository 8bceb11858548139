"""The export of `Seq2Seq`."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from plmlight.decoding import DecodingOptions, SequenceGenerator, with_end
from plmlight.decoding.examples import TEXTS
from plmlight.export.recipe import Limits
from plmlight.export.sequence import sequence_facts, sequence_graphs
from plmlight.export.sequence_checks import BEAMS, SequenceReference, sequence_checks, timings
from plmlight.export.sequence_driver import OnePair, SequenceDriver
from plmlight.export.specification import GraphSpec
from plmlight.export.verdict import Check
from plmlight.tasks import Seq2Seq
from plmlight.text import TextForm, frame, vocabulary_size


class Seq2SeqExport:
    """The export of a `Seq2Seq`.

    Args:
        task: the task.
        tokenizer: of its sources, and of its targets where it has no other for them.

    Raises:
        ValueError: when the tokenizer of the targets has more tokens than the network, or that of the sources cuts
            none of the test texts.
    """

    def __init__(self, task: Seq2Seq, tokenizer: Tokenizer) -> None:
        network = task.network
        self.task, self.tokenizer = task, tokenizer
        self.target_tokenizer: Tokenizer | None = task.target_tokenizer
        target = tokenizer if self.target_tokenizer is None else self.target_tokenizer
        needed, rows = vocabulary_size(target), network.target_vocab_size
        if needed > rows:
            raise ValueError(f"the target's tokenizer has ids up to {needed - 1}, but the network only {rows} tokens")
        self.max_length = network.target_max_length if network.target_max_length is not None else sys.maxsize
        self.form: TextForm = task.text_form
        self.options = with_end(task.decoding_options(), target)
        self.ends = self.options.eos_token_ids
        self.sources = self._sources()
        self.reference = SequenceReference(task, list(self.sources.values()), self.ends)
        self.sessions = OnePair()

    def _sources(self) -> dict[str, list[int]]:
        """Short texts that the tokenizer can cut and the network read, with their ids."""
        opening, closing = frame(self.tokenizer)
        limit, rows = self.task.network.max_length or sys.maxsize, self.task.network.vocab_size
        step = max(1, rows // 16)
        pieces = (self.tokenizer.decode([index]) for index in range(0, rows, step))
        found: dict[str, list[int]] = {}
        for text in (*TEXTS, *pieces):
            inner = self.tokenizer.encode(self.form.source(text), add_special_tokens=False).ids
            ids = [*opening, *inner, *closing]
            if inner and len(ids) <= limit and max(ids) < rows and len(found) < 8:
                found[text] = ids
        if not found:
            raise ValueError("the tokenizer cuts none of the test texts into tokens, so that nothing could be compared")
        return found

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """``portable``: the decoder with its encoder."""
        return sequence_graphs(self.task, dtype)

    def tokenizers(self) -> dict[str, Tokenizer]:
        """The tokenizer of the targets, where they have their own."""
        return {} if self.target_tokenizer is None else {"target_tokenizer": self.target_tokenizer}

    def facts(self) -> dict[str, Any]:
        """Sizes, what a source looks like, and the decoding options that a request starts from."""
        usual = DecodingOptions()
        chosen = {
            name: value for name, value in dataclasses.asdict(self.options).items() if value != getattr(usual, name)
        }
        decoding = {"max_new_tokens": max(1, min(usual.max_new_tokens, self.max_length - 1)), **chosen}
        return sequence_facts(self.task) | {"text_form": self.form.as_json(), "decoding": decoding}

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Shapes, answers with and without beams, and targets token by token."""
        yield from sequence_checks(self.reference, spec.name, self._model(file, spec), limits, measurements)

    def timings(self, file: Path | None, spec: GraphSpec | None) -> dict[str, float]:
        """One source and some tokens, batch 1."""
        return timings(self.reference.torch_model if file is None or spec is None else self._model(file, spec))

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
        """Greedy answers to short texts, and one of a beam search."""
        generator = SequenceGenerator(
            self._model(file, spec), self.tokenizer, self.target_tokenizer, DecodingOptions(), self.form
        )
        lines = []
        for text, beams in zip([*list(self.sources)[:3], next(iter(self.sources))], (1, 1, 1, BEAMS), strict=False):
            asked = {
                "max_new_tokens": min(16, self.reference.room),
                "num_beams": beams,
                "eos_token_id": list(self.ends),
            }
            answer = generator.generate([text], DecodingOptions(**asked))[0][0]  # type: ignore[arg-type]
            tokens = [int(token) for token in answer.token_ids]
            ids = self.sources[text]
            lines.append(
                {"source": text, "source_ids": ids, "options": asked, "token_ids": tokens, "text": answer.text}
            )
        return lines

    def _model(self, file: Path, spec: GraphSpec) -> SequenceDriver:
        return SequenceDriver(*self.sessions.open(file, spec), spec, self.task)
