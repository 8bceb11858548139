"""Opening what ``infer`` runs, whatever holds it and whatever its task."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from plmlight.cli import complain
from plmlight.decoding import (
    ANALYSERS,
    DecodingOptions,
    MaskFiller,
    SequenceGenerator,
    TextAnalyser,
    TextEmbedder,
    TextGenerator,
    WordSpace,
)

Answering = TextGenerator | SequenceGenerator | MaskFiller | TextEmbedder | WordSpace | TextAnalyser


def open_model(name: str, provider: str, threads: int | None, graph: str | None) -> Answering:
    """Opens a model.

    Args:
        name: a bundle, a checkpoint, a Hugging Face folder or a hub id.
        provider: ``auto``, ``cpu``, ``cuda``, or for a bundle ``tensorrt``.
        threads: of the CPU; all that are allowed by default.
        graph: of a bundle; its default by default.

    Returns:
        What continues texts, translates, fills masks, embeds, or answers as labels taught it, by the model's task.

    Raises:
        ValueError: when it can not be opened, has no tokenizer, or is of a task that answers nothing here.
    """
    if (Path(name) / "manifest.json").is_file():
        from plmlight import runtime

        with one_line_warnings("infer"):
            model: Answering = runtime.load(name, provider, threads, graph)
        return model
    if graph is not None:
        raise ValueError(f"{name}: --graph chooses among a bundle's graphs, and this is no bundle")
    return _torch_model(name, provider, threads)


@contextmanager
def one_line_warnings(command: str) -> Iterator[None]:
    """Says each warning in one line on stderr.

    Args:
        command: who says it.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for warning in caught:
                complain(f"plmlight {command}: {warning.message}")


def _torch_model(name: str, provider: str, threads: int | None) -> Answering:
    from plmlight.loading import load_on
    from plmlight.tasks import (
        CausalLM,
        MaskedLM,
        PermutationLM,
        SentenceEmbedding,
        Seq2Seq,
        TorchEmbeddingModel,
        TorchLanguageModel,
        TorchMaskedModel,
        TorchSequenceModel,
        WordVectorModel,
    )
    from plmlight.tasks.encoding import TorchOutputModel
    from plmlight.tasks.labelled import LabelledTask
    from plmlight.text import special_token_ids

    task = load_on(name, provider, threads)
    assert task.tokenizer is not None
    if isinstance(task, WordVectorModel):
        return task.space()
    if isinstance(task, MaskedLM | PermutationLM):
        return MaskFiller(TorchMaskedModel(task), task.tokenizer)
    if isinstance(task, SentenceEmbedding):
        return TextEmbedder(TorchEmbeddingModel(task), task.tokenizer)
    if isinstance(task, Seq2Seq):
        return SequenceGenerator(
            TorchSequenceModel(task), task.tokenizer, task.target_tokenizer, task.decoding_options(), task.text_form
        )
    if isinstance(task, CausalLM):
        special = special_token_ids(task.tokenizer)
        options = DecodingOptions(eos_token_id=special.get("eos"))
        start = special.get("bos", special.get("eos"))
        return TextGenerator(TorchLanguageModel(task), task.tokenizer, options, start, task.text_form)
    if isinstance(task, LabelledTask) and type(task).__name__ in ANALYSERS:
        return ANALYSERS[type(task).__name__](TorchOutputModel(task), task.tokenizer, task.facts())
    raise ValueError(f"{name}: holds a {type(task).__name__}, which infer has no answers of")
