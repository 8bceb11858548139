"""The one way into a bundle, whatever its task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plmlight.decoding import ANALYSERS
from plmlight.runtime.analysis import analysis_model
from plmlight.runtime.bundle import Bundle, read_bundle, verify
from plmlight.runtime.bundle_model import BundleModel
from plmlight.runtime.encoding import EmbeddingModel, FillingModel
from plmlight.runtime.generation import GenerationModel
from plmlight.runtime.translation import TranslationModel
from plmlight.runtime.words import WordModel
from plmlight.text import nearest

MODELS: dict[str, type[BundleModel]] = {
    "CausalLM": GenerationModel,
    "MaskedLM": FillingModel,
    "PermutationLM": FillingModel,
    "SentenceEmbedding": EmbeddingModel,
    "Seq2Seq": TranslationModel,
    "SpanCorruptionLM": TranslationModel,
    "WordVectorModel": WordModel,
    **{task: analysis_model(task, analyser) for task, analyser in ANALYSERS.items()},
}
"""What a bundle becomes, by the task that its manifest names."""


def load(bundle: str | Path, provider: str = "auto", threads: int | None = None, graph: str | None = None) -> Any:
    """Opens a bundle after comparing its bytes with its verdict.

    Args:
        bundle: the folder that ``export`` wrote.
        provider: ``"cpu"``, ``"cuda"`` or ``"tensorrt"``; ``"auto"`` takes the one that the bundle was made for, and
            the CPU with a warning where that can not run.
        threads: threads that share one operator; those this process is allowed by default.
        graph: ``"portable"`` or, of a decoder, ``"in_place"``; the bundle's default by default.

    Returns:
        The model of the bundle's task: a `GenerationModel` (``.generate``, ``.stream``), a `TranslationModel`
        (``.translate``, ``.summarise``, ``.reply``, ``.generate``, ``.stream``), a `FillingModel` (``.fill``), an
        `EmbeddingModel` (``.embed``), an `AnalysisModel` (``.answers``, and by its task ``.classify``, ...) or
        a `WordModel` (``.embed``, ``.nearest``, ``.analogy``, ``.similarity``).

    Raises:
        ValueError: when this is no bundle, its verdict failed, a byte differs, or the provider is not obtained.
    """
    read = read_bundle(bundle)
    verify(read)
    return _open(read, provider, threads, graph)


def open_bundle(
    bundle: str | Path, provider: str = "auto", threads: int | None = None, graph: str | None = None
) -> Any:
    """Opens a bundle that has no verdict yet: for whoever is to give it one. The arguments are those of `load`."""
    return _open(read_bundle(bundle), provider, threads, graph)


def _open(bundle: Bundle, provider: str, threads: int | None, graph: str | None) -> BundleModel:
    task = bundle.manifest["task"]
    if task not in MODELS:
        raise ValueError(
            f"{bundle.folder}: a bundle of the task {task!r} is not known here{nearest(str(task), MODELS)}"
        )
    return MODELS[task](bundle, provider, threads, graph)
