"""Bundles of encoders: from texts to filled masks or to vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from plmlight.decoding import Inputs, MaskFiller, TextEmbedder
from plmlight.runtime.bundle import Bundle
from plmlight.runtime.bundle_model import BundleModel


class EncoderGraph:
    """A graph that reads texts, as `plmlight.decoding` wants it.

    It is a `MaskedModel` or an `EmbeddingModel`, by the output that is asked for, or an `OutputModel`, of all of them.

    Args:
        session: the graph.
        bundle: what it came from.
        output: ``logits`` or ``sentence_embedding``; None for all.

    Raises:
        ValueError: when the graph has no such output.
    """

    def __init__(self, session: onnxruntime.InferenceSession, bundle: Bundle, output: str | None = None) -> None:
        shapes = {value.name: value.shape for value in session.get_outputs()}
        if output is not None and output not in shapes:
            raise ValueError(f"{bundle.folder}: the graph has no output {output!r}, only {', '.join(shapes)}")
        manifest = bundle.manifest
        self.session, self.outputs = session, [output] if output is not None else list(shapes)
        self.width = int(shapes[output][-1]) if output is not None else 0
        given = session.get_inputs()
        self.names = [value.name for value in given if not value.name.startswith("mems.")]
        self.memories = {value.name: value for value in given if value.name.startswith("mems.")}
        self.max_length = int(manifest["max_length"])
        self.pad_token_id = int(manifest.get("pad_token_id", 0))
        self.num_token_types = int(manifest.get("num_token_types", 0))

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """See `plmlight.decoding.OutputModel`."""
        found = dict(zip(self.outputs, self._run(inputs), strict=True))
        return {
            name: values.astype(np.float32) if np.issubdtype(values.dtype, np.floating) else values
            for name, values in found.items()
        }

    def scores(self, inputs: Inputs, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `plmlight.decoding.MaskedModel.scores`."""
        return self._run(inputs)[0][rows, columns].astype(np.float32)

    def embed(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `plmlight.decoding.EmbeddingModel.embed`."""
        return self._run(inputs)[0].astype(np.float32)

    def _run(self, inputs: Inputs) -> list[NDArray[Any]]:
        given = {name: inputs[name] for name in self.names}
        for name, value in self.memories.items():  # a text stands for itself: nothing is remembered
            kind = np.float16 if value.type == "tensor(float16)" else np.float32
            given[name] = inputs.get(name, np.zeros((len(inputs["input_ids"]), 0, value.shape[-1]), kind))
        found: list[NDArray[Any]] = self.session.run(self.outputs, given)
        return found


class FillingModel(BundleModel, MaskFiller):
    """A bundle that is ready to fill masks; see `MaskFiller` for its methods.

    Args:
        bundle: of a ``MaskedLM`` or a ``PermutationLM``.
        provider: see `BundleModel`, as for what follows.
        threads: the same.
        graph: the same.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        BundleModel.__init__(self, bundle, provider, threads, graph)
        MaskFiller.__init__(self, EncoderGraph(self.session, bundle, "logits"), self.read_tokenizer())


class EmbeddingModel(BundleModel, TextEmbedder):
    """A bundle that is ready to embed; see `TextEmbedder` for its methods.

    Args:
        bundle: of a ``SentenceEmbedding``.
        provider: see `BundleModel`, as for what follows.
        threads: the same.
        graph: the same.
    """

    def __init__(self, bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> None:
        BundleModel.__init__(self, bundle, provider, threads, graph)
        graph_model = EncoderGraph(self.session, bundle, "sentence_embedding")
        TextEmbedder.__init__(self, graph_model, self.read_tokenizer())
