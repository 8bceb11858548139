"""Opening what is to be evaluated: a bundle, a checkpoint, a Hugging Face folder or a hub id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer

from plmlight import runtime
from plmlight.decoding import MaskFiller, TextEmbedder, TextGenerator
from plmlight.evaluation.causal import Scorer, StepScorer, TorchScorer
from plmlight.loading import load
from plmlight.tasks import CausalLM, MaskedLM, SentenceEmbedding, Task, TorchEmbeddingModel, TorchMaskedModel
from plmlight.text import nearest


@dataclass(frozen=True)
class Opened:
    """A model that is ready.

    Attributes:
        name: where it came from.
        task: what it does: ``CausalLM``, ``MaskedLM`` or ``SentenceEmbedding``.
        tokenizer: its tokenizer.
        model: what does it.
    """

    name: str
    task: str
    tokenizer: Tokenizer
    model: Scorer | MaskFiller | TextEmbedder


def open_model(name: str, provider: str = "auto", threads: int | None = None, graph: str | None = None) -> Opened:
    """Opens a model.

    Args:
        name: a bundle, a checkpoint, a Hugging Face folder or a hub id.
        provider: ``cpu``, ``cuda``, or for a bundle ``tensorrt``; ``auto`` takes what there is.
        threads: of the CPU; all that are allowed by default.
        graph: of a bundle; its default by default.

    Returns:
        The model.

    Raises:
        ValueError: when it can not be opened, has no tokenizer, or does nothing that can be measured here.
    """
    if (Path(name) / "manifest.json").is_file():
        return _from_bundle(name, provider, threads, graph)
    return _from_weights(name, provider, threads, graph)


def _from_weights(name: str, provider: str, threads: int | None, graph: str | None) -> Opened:
    if graph is not None:
        raise ValueError(f"{name}: --graph chooses among a bundle's graphs, and this is no bundle")
    if provider not in ("auto", "cpu", "cuda"):
        expected = nearest(provider, ["auto", "cpu", "cuda"])
        raise ValueError(f"{name}: not a bundle, so it can not run on the provider {provider!r}{expected}")
    if provider == "cuda" and not torch.cuda.is_available():
        raise ValueError("provider 'cuda' was asked for, but torch finds no CUDA device: see `plmlight doctor`")
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        torch.set_num_threads(threads)
    task = load(name)
    if task.tokenizer is None:
        raise ValueError(f"{name}: has no tokenizer, so it can not read text")
    task.to("cuda" if torch.cuda.is_available() and provider != "cpu" else "cpu")
    return Opened(name, type(task).__name__, task.tokenizer, _ready(name, task, task.tokenizer))


def _ready(name: str, task: Task, tokenizer: Tokenizer) -> Scorer | MaskFiller | TextEmbedder:
    if isinstance(task, CausalLM):
        return TorchScorer(task)
    if isinstance(task, MaskedLM):
        return MaskFiller(TorchMaskedModel(task), tokenizer)
    if isinstance(task, SentenceEmbedding):
        return TextEmbedder(TorchEmbeddingModel(task), tokenizer)
    raise ValueError(f"{name}: holds a {type(task).__name__}, for which there is no metric")


def _from_bundle(name: str, provider: str, threads: int | None, graph: str | None) -> Opened:
    bundle = runtime.load(name, provider, threads, graph)
    task = str(bundle.bundle.manifest["task"])
    if isinstance(bundle, TextGenerator):
        return Opened(name, task, bundle.tokenizer, StepScorer(bundle.model))
    if isinstance(bundle, (MaskFiller, TextEmbedder)):
        return Opened(name, task, bundle.tokenizer, bundle)
    raise ValueError(f"{name}: a bundle of the task {task!r}, for which there is no metric")
