"""Opening what is to be evaluated: a bundle, a checkpoint, a Hugging Face folder or a hub id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer

from plmlight import runtime
from plmlight.decoding import (
    ANALYSERS,
    MaskFiller,
    SequenceGenerator,
    TextAnalyser,
    TextEmbedder,
    TextGenerator,
    WordSpace,
)
from plmlight.evaluation.causal import Scorer, StepScorer, TorchScorer
from plmlight.evaluation.sequence import Writer
from plmlight.loading import load_on
from plmlight.tasks import (
    CausalLM,
    MaskedLM,
    PermutationLM,
    SentenceEmbedding,
    Seq2Seq,
    Task,
    TorchEmbeddingModel,
    TorchMaskedModel,
    TorchSequenceModel,
    WordVectorModel,
)
from plmlight.tasks.encoding import TorchOutputModel
from plmlight.tasks.labelled import LabelledTask

Model = Scorer | MaskFiller | TextEmbedder | Writer | WordSpace | TextAnalyser


@dataclass(frozen=True)
class Opened:
    """A model that is ready.

    Attributes:
        name: where it came from.
        task: what it does: ``CausalLM``, ``MaskedLM``, ``SentenceEmbedding`` or ``Seq2Seq``.
        tokenizer: its tokenizer; of what it writes, where it reads another language.
        model: what does it.
    """

    name: str
    task: str
    tokenizer: Tokenizer
    model: Model


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
    task = load_on(name, provider, threads)
    assert task.tokenizer is not None
    if isinstance(task, Seq2Seq):
        target = task.target_tokenizer or task.tokenizer
        options, form = task.decoding_options(), task.text_form
        generator = SequenceGenerator(TorchSequenceModel(task), task.tokenizer, target, options, form)
        return Opened(name, "Seq2Seq", target, Writer(generator, task))
    return Opened(name, type(task).__name__, task.tokenizer, _ready(name, task, task.tokenizer))


def _ready(name: str, task: Task, tokenizer: Tokenizer) -> Model:
    if isinstance(task, CausalLM):
        return TorchScorer(task)
    if isinstance(task, WordVectorModel):
        return task.space()
    if isinstance(task, MaskedLM | PermutationLM):
        return MaskFiller(TorchMaskedModel(task), tokenizer)
    if isinstance(task, SentenceEmbedding):
        return TextEmbedder(TorchEmbeddingModel(task), tokenizer)
    if isinstance(task, LabelledTask) and type(task).__name__ in ANALYSERS:
        return ANALYSERS[type(task).__name__](TorchOutputModel(task), tokenizer, task.facts())
    raise ValueError(f"{name}: holds a {type(task).__name__}, for which there is no metric")


def _from_bundle(name: str, provider: str, threads: int | None, graph: str | None) -> Opened:
    bundle = runtime.load(name, provider, threads, graph)
    task = str(bundle.bundle.manifest["task"])
    if isinstance(bundle, TextGenerator):
        return Opened(name, task, bundle.tokenizer, StepScorer(bundle.model))
    if isinstance(bundle, SequenceGenerator):
        return Opened(name, task, bundle.target_tokenizer, Writer(bundle))
    if isinstance(bundle, (MaskFiller, TextEmbedder, runtime.WordModel, runtime.AnalysisModel)):
        return Opened(name, task, bundle.tokenizer, bundle)
    raise ValueError(f"{name}: a bundle of the task {task!r}, for which there is no metric")
