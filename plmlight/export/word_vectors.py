"""The export of a `WordVectorModel`."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from plmlight.decoding.words import vocabulary_of
from plmlight.export.drivers import OneSession
from plmlight.export.encoder_checks import cosine, embedding_checks
from plmlight.export.encoder_export import tolerance
from plmlight.export.recipe import Limits
from plmlight.export.specification import GraphSpec, TensorSpec
from plmlight.export.verdict import Check, judge
from plmlight.tasks import WordVectorModel

BATCHES = (1, 2, 5, 33)
GOLDEN = 8
"""Words whose vectors are recorded."""


class WordTable(nn.Module):
    """What is left of a task when it is only asked: one table.

    Args:
        task: the task.
        dtype: of the table.
    """

    def __init__(self, task: WordVectorModel, dtype: torch.dtype) -> None:
        super().__init__()
        network, self.normalise = task.network, task.normalise
        everything = torch.arange(network.vocab_size, device=network.token_embedding.weight.device)
        with torch.no_grad():
            self.table = nn.Parameter(network(everything).to(dtype), requires_grad=False)

    def forward(self, word_ids: Tensor) -> tuple[Tensor, ...]:
        """The vectors [B, D] of ids [B]."""
        vectors = nn.functional.embedding(word_ids, self.table)
        if self.normalise:
            vectors = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return (vectors,)


class WordVectorExport:
    """The export of a `WordVectorModel`.

    Args:
        task: the task.
        tokenizer: its vocabulary.
    """

    max_length = 1

    def __init__(self, task: WordVectorModel, tokenizer: Tokenizer) -> None:
        self.task, self.tokenizer = task, tokenizer
        self._sessions = OneSession()

    def graphs(self, dtype: torch.dtype) -> dict[str, GraphSpec]:
        """One graph, ``portable``: ids to vectors, of one table (GloVe's two are added up)."""
        spec = GraphSpec(
            name="portable",
            file="model.onnx",
            module=WordTable(self.task, dtype),
            inputs=(TensorSpec("word_ids", ("batch",)),),
            outputs=(TensorSpec("vectors", ("batch", self.task.network.d_model), dtype),),
            sizes={"batch": 3},
        )
        return {spec.name: spec}

    def facts(self) -> dict[str, Any]:
        """What the manifest says about the model."""
        network = self.task.network
        return {
            "vocab_size": network.vocab_size,
            "max_length": self.max_length,
            "d_model": network.d_model,
            "normalise": self.task.normalise,
        }

    def tokenizers(self) -> dict[str, Tokenizer]:
        """None beside the vocabulary."""
        return {}

    def run(self, file: Path, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """A graph's vectors."""
        found: NDArray[np.float32] = self._sessions.open(file).run(None, {"word_ids": ids})[0]
        return found.astype(np.float32)

    @torch.inference_mode()
    def expected(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Torch's vectors."""
        device = self.task.network.token_embedding.weight.device
        vectors: NDArray[np.float32] = self.task(torch.from_numpy(ids).to(device))["vectors"].float().cpu().numpy()
        return vectors

    @functools.cached_property
    def cases(self) -> list[NDArray[np.int64]]:
        """Batches of ids, and all of them at once."""
        rng, size = np.random.default_rng(0), self.task.network.vocab_size
        return [*(rng.integers(0, size, batch) for batch in BATCHES), np.arange(size)]

    def checks(
        self, file: Path, spec: GraphSpec, limits: Limits, measurements: list[dict[str, Any]]
    ) -> Iterator[Check]:
        """The vectors of every word, in batches of several sizes."""

        def error(*, relative: bool) -> float:
            errors = []
            for ids in self.cases:
                expected = self.expected(ids)
                difference = self.run(file, ids) - expected
                spread = float(np.sqrt(np.mean(expected**2)))
                each = float(
                    np.sqrt(np.mean(difference**2)) / max(spread, 1e-12) if relative else np.abs(difference).max()
                )
                measurements.append({"graph": spec.name, "batch": len(ids), "error": each, "relative": relative})
                errors.append(each)
            return float(np.max(errors))

        where = f"of vectors from torch's, batches of {', '.join(map(str, BATCHES))} and all words"
        if limits.logit_error is not None:
            measure = functools.partial(error, relative=False)
            yield judge(
                "output error", spec.name, limits.logit_error, "at most", f"largest difference {where}", measure
            )
        limit = limits.relative_hidden_error or limits.relative_logit_error
        if limit is not None:
            measure = functools.partial(error, relative=True)
            yield judge("relative output error", spec.name, limit, "at most", f"relative error {where}", measure)
        some = self.cases[-1][:1000]

        @functools.cache
        def cosines() -> NDArray[np.float32]:
            known = np.linalg.norm(self.expected(some), axis=1) > 0
            return cosine(self.run(file, some[known]), self.expected(some[known]))

        yield from embedding_checks(spec.name, cosines, len(some), limits)

    def timings(self, file: Path | None, spec: GraphSpec | None) -> dict[str, float]:
        """How long a thousand words take."""
        ids = np.resize(self.cases[-1], 1000)
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            self.expected(ids) if file is None else self.run(file, ids)
            seconds.append(time.perf_counter() - start)
        return {"words": len(ids), "forward_ms": round(float(np.median(seconds)) * 1e3, 3)}

    def golden(self, file: Path, spec: GraphSpec, limits: Limits) -> list[dict[str, Any]]:
        """Vectors of words from all over the vocabulary."""
        words, ids = vocabulary_of(self.tokenizer)
        chosen = list(itertools.islice(range(0, len(words), max(1, len(words) // GOLDEN)), GOLDEN))
        return [
            {
                "text": words[place],
                "token_ids": [int(ids[place])],
                "embedding": [float(f"{value:.6g}") for value in vector],
                "tolerance": tolerance(limits),
            }
            for place, vector in zip(chosen, self.run(file, ids[chosen]).tolist(), strict=True)
        ]
