"""The exports of `MaskedLM` and `SentenceEmbedding`, and what that of `PermutationLM` shares with the former."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding import Inputs, MaskFiller, TextEmbedder
from plmlight.decoding.encoder import TextReader
from plmlight.decoding.examples import TEXTS
from plmlight.export.causal_checks import Forced
from plmlight.export.drivers import OneSession
from plmlight.export.encoder import EncoderTask, encoder_facts, encoder_graphs, row_length
from plmlight.export.encoder_checks import (
    EncoderReference,
    Outputs,
    Run,
    batch_of,
    cosine,
    embedding_checks,
    encoder_timings,
    filling_checks,
    shape_checks,
)
from plmlight.export.recipe import Limits
from plmlight.export.specification import GraphSpec
from plmlight.export.verdict import Check
from plmlight.tasks import (
    LabelledTask,
    MaskedLM,
    PermutationLM,
    SentenceEmbedding,
    TorchEmbeddingModel,
    TorchMaskedModel,
)
from plmlight.tasks.reading import num_token_types

MASKED_TEXTS = ("The capital of France is {}.", "She opened the {} and went in.", "今天天气很{}。", "{}")
"""Golden requests; those that do not fit into a model's length are left out, the last one always fits."""

MASKS = 96
"""Tokens that are hidden, one at a time, spread evenly over the texts."""

EXACT, ROUNDED = 1e-3, 0.03
"""How far a golden probability, or a vector as a share of its length, may be off when it is replayed."""


def tolerance(limits: Limits) -> float:
    """What golden answers are recorded with: more where the recipe rounds, as processors round differently."""
    return EXACT if limits.logit_error is not None else ROUNDED


class EncoderDriver:
    """A graph as `plmlight.decoding` wants it: plain, and independent of `plmlight.runtime`.

    Args:
        session: of the graph.
        spec: of the graph.
        task: for the facts about its network.
    """

    def __init__(self, session: Any, spec: GraphSpec, task: EncoderTask) -> None:
        network = task.network
        self.session, self.spec = session, spec
        self.max_length, self.pad_token_id = row_length(task), network.pad_token_id
        self.num_token_types, self.width = num_token_types(network), network.d_model

    def __call__(self, inputs: Inputs) -> Outputs:
        """The graph's outputs for a batch, float32 where they have a fraction."""
        found = self.session.run(None, {tensor.name: inputs[tensor.name] for tensor in self.spec.inputs})
        return {
            tensor.name: values.astype(np.float32) if tensor.dtype.is_floating_point else values
            for tensor, values in zip(self.spec.outputs, found, strict=True)
        }

    def scores(self, inputs: Inputs, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `plmlight.decoding.MaskedModel.scores`."""
        found: NDArray[np.float32] = self(inputs)["logits"][rows, columns]
        return found

    def embed(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `plmlight.decoding.EmbeddingModel.embed`."""
        found: NDArray[np.float32] = self(inputs)["sentence_embedding"]
        return found


class EncoderExport:
    """What the exports of encoders share.

    Args:
        task: the task.
        tokenizer: its tokenizer.
    """

    def __init__(self, task: EncoderTask, tokenizer: Tokenizer) -> None:
        self.tokenizer, self.encoder = tokenizer, task
        self.max_length = row_length(task)
        self.reference = EncoderReference(task)
        self.sessions = OneSession()

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """``portable``."""
        return encoder_graphs(self.encoder, dtype)

    def facts(self) -> dict[str, Any]:
        """Sizes, and what fills up a batch."""
        return encoder_facts(self.encoder)

    def tokenizers(self) -> dict[str, Tokenizer]:
        """None but the one of the inputs."""
        return {}

    def timings(self, file: Path | None, spec: GraphSpec | None) -> dict[str, float]:
        """One text of 128 tokens."""
        run: Run = self.reference if file is None or spec is None else self.driver(file, spec)
        marks = self.encoder.graph_inputs if isinstance(self.encoder, LabelledTask) else ()
        return encoder_timings(run, self.max_length, marks)

    def driver(self, file: Path, spec: GraphSpec) -> EncoderDriver:
        """The graph's driver."""
        return EncoderDriver(self.sessions.open(file), spec, self.encoder)


class MaskedLMExport(EncoderExport):
    """The export of a `MaskedLM`.

    Args:
        task: the task.
        tokenizer: its tokenizer.

    Raises:
        ValueError: when the tokenizer has no mask token, or cuts none of the test texts.
    """

    def __init__(self, task: MaskedLM | PermutationLM, tokenizer: Tokenizer) -> None:
        super().__init__(task, tokenizer)
        self.model = TorchMaskedModel(task)
        self.filler = MaskFiller(self.model, tokenizer)
        self.hidden = self._hidden()

    def _hidden(self) -> list[tuple[list[int], list[int], int, int]]:
        """Texts with one token hidden: ids, token types, the place and the token."""
        found = []
        for encoding in TextReader(self.tokenizer, self.model).cut(TEXTS):
            for place, (token, special) in enumerate(zip(encoding.ids, encoding.special_tokens_mask, strict=True)):
                if not special:
                    ids = [*encoding.ids[:place], self.filler.mask_token_id, *encoding.ids[place + 1 :]]
                    found.append((ids, list(encoding.type_ids), place, token))
        if not found:
            raise ValueError("the tokenizer cuts none of the test texts into tokens, so that nothing could be compared")
        return found[:: -(-len(found) // MASKS)]

    def _scores(self, model: TorchMaskedModel | EncoderDriver) -> NDArray[np.float32]:
        """The logits [N, V] at the hidden tokens."""
        parts = []
        for first in range(0, len(self.hidden), 16):
            rows, types, places, _ = zip(*self.hidden[first : first + 16], strict=True)
            inputs = batch_of(rows, types, self.model.pad_token_id)
            parts.append(model.scores(inputs, np.arange(len(rows)), np.array(places)))
        return np.concatenate(parts)

    @functools.cached_property
    def _expected(self) -> NDArray[np.float32]:
        return self._scores(self.model)

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Shapes, and what is found for hidden tokens."""
        driver = self.driver(file, spec)
        yield from shape_checks(self.reference, spec.name, driver, limits, measurements)

        @functools.cache
        def forced() -> Forced:
            targets = np.array([token for *_, token in self.hidden])
            return Forced(self._scores(driver), self._expected, targets)

        yield from filling_checks(spec.name, forced, len(self.hidden), limits)

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
        """Filled masks of short texts."""
        filler = MaskFiller(self.driver(file, spec), self.tokenizer)
        lines = []
        for template in MASKED_TEXTS:
            text = template.format(filler.mask_token)
            ids = list(self.tokenizer.encode(text).ids)
            if len(ids) <= self.max_length and ids.count(filler.mask_token_id) == 1:
                masks = [[vars(each) for each in mask] for mask in filler.fill([text])[0]]
                lines.append({"text": text, "token_ids": ids, "masks": masks, "tolerance": tolerance(limits)})
        return lines


class SentenceEmbeddingExport(EncoderExport):
    """The export of a `SentenceEmbedding`.

    Args:
        task: the task.
        tokenizer: its tokenizer.
    """

    def __init__(self, task: SentenceEmbedding, tokenizer: Tokenizer) -> None:
        super().__init__(task, tokenizer)
        self.embedder = TextEmbedder(TorchEmbeddingModel(task), tokenizer)

    @functools.cached_property
    def _expected(self) -> NDArray[np.float32]:
        return self.embedder.embed(TEXTS)

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """Shapes, and the vectors of texts."""
        driver = self.driver(file, spec)
        yield from shape_checks(self.reference, spec.name, driver, limits, measurements)

        @functools.cache
        def cosines() -> NDArray[np.float32]:
            return cosine(TextEmbedder(driver, self.tokenizer).embed(TEXTS), self._expected)

        yield from embedding_checks(spec.name, cosines, len(TEXTS), limits)

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
        """Vectors of short texts."""
        vectors = TextEmbedder(self.driver(file, spec), self.tokenizer).embed(TEXTS[-4:])
        return [
            {
                "text": text,
                "token_ids": list(self.tokenizer.encode(text).ids),
                "embedding": [float(f"{value:.6g}") for value in vector],
                "tolerance": tolerance(limits),
            }
            for text, vector in zip(TEXTS[-4:], vectors.tolist(), strict=True)
        ]
