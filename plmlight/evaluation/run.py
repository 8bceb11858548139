"""From a model and files to numbers with intervals."""

from __future__ import annotations

import dataclasses
import math
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from plmlight import __version__
from plmlight.data.readers import DocumentUnit
from plmlight.data.sources import Source, named_kind, resolve
from plmlight.decoding import MaskFiller, TextAnalyser, TextClassifier, TextEmbedder, WordSpace
from plmlight.evaluation.causal import measure_causal
from plmlight.evaluation.documents import read_documents
from plmlight.evaluation.labelled import KINDS, Fields, measure_labelled
from plmlight.evaluation.masked import measure_masked
from plmlight.evaluation.measurement import Advance, Measurement
from plmlight.evaluation.models import Opened
from plmlight.evaluation.permutation import measure_permutation
from plmlight.evaluation.retrieval import measure_retrieval, read_retrieval
from plmlight.evaluation.sequence import Generation, Writer, measure_generation, paired_sources
from plmlight.evaluation.significance import Bootstrap, compare, estimate
from plmlight.evaluation.similarity import Columns, measure_similarity, read_pairs
from plmlight.evaluation.words import measure_words
from plmlight.metrics.ranking import DEPTH
from plmlight.text import file_hash, nearest, special_token_ids, tokenizer_hash

Metric = Literal[
    "perplexity",
    "bits-per-byte",
    "pseudo-perplexity",
    "permutation-perplexity",
    "similarity",
    "retrieval",
    "generation",
    "words",
    "labels",
]

METRICS: dict[str, tuple[str, ...]] = {
    "perplexity": ("CausalLM",),
    "bits-per-byte": ("CausalLM",),
    "pseudo-perplexity": ("MaskedLM", "PermutationLM"),
    "permutation-perplexity": ("PermutationLM",),
    "similarity": ("SentenceEmbedding",),
    "retrieval": ("SentenceEmbedding",),
    "generation": ("Seq2Seq",),
    "words": ("WordVectorModel",),
    "labels": tuple(KINDS),
}
"""The tasks that each metric measures; the first of a task is its default."""

PER_TOKEN = ("perplexity", "pseudo-perplexity", "permutation-perplexity", "loss")
"""Numbers that can only be compared between models with the same tokenizer."""


@dataclass(frozen=True)
class Settings:
    """How a model is measured.

    Args:
        metric: one of `METRICS`; the task's first by default.
        text_field: as in `plmlight.data.readers.read`.
        document: what a document is in plain text: by default the file, for pseudo-perplexity the line.
        columns: where a pair's texts and score are.
        fields: where the parts of an example with labels are.
        limit: take only so many documents, pairs or queries.
        generation: where sources and references stand, and how answers are written and scored.
        vocabulary: of word vectors, use only so many of the first words.
        context: the most tokens to read at once; the model's length by default.
        stride: tokens that a window of a perplexity moves; half the context by default.
        prefix: begin each document with the tokenizer's first (or end-of-text) token, so that the first token of the
            text is scored too.
        candidates: of a retrieval that is re-ranked, how many of the first documents of each query are.
        batch_size: rows that run together.
        bootstrap: how sure the numbers are.
    """

    metric: str | None = None
    text_field: str = "text"
    document: DocumentUnit | None = None
    columns: Columns = dataclasses.field(default_factory=Columns)
    fields: Fields = dataclasses.field(default_factory=Fields)
    limit: int | None = None
    generation: Generation = dataclasses.field(default_factory=Generation)
    vocabulary: int | None = None
    context: int | None = None
    stride: int | None = None
    prefix: bool = True
    candidates: int = DEPTH
    batch_size: int = 16
    bootstrap: Bootstrap = dataclasses.field(default_factory=Bootstrap)

    def __post_init__(self) -> None:
        if self.metric is not None and self.metric not in METRICS:
            raise ValueError(f"there is no metric {self.metric!r}{nearest(self.metric, METRICS)}")
        for name in ("limit", "vocabulary", "context", "stride", "candidates", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")


def evaluate(
    model: Opened,
    files: str | Sequence[str],
    settings: Settings | None = None,
    baseline: Opened | None = None,
    advance: Advance = lambda done, total: None,
    rerank: Opened | None = None,
) -> dict[str, Any]:
    """Measures a model, and perhaps how much it differs from another.

    Args:
        model: what `open_model` gave.
        files: the text; for the similarity one file of pairs; for the retrieval what `read_retrieval` reads.
        settings: how.
        baseline: another model of the same task, measured on the same units of the same data.
        advance: is told how much is done.
        rerank: of a retrieval a cross-encoder that orders what was found; the model alone is the baseline then.

    Returns:
        What can be written as JSON: ``values`` by name with ``value``, ``low`` and ``high``; with a baseline also its
        values and ``comparison``; of a generation the ``texts``, each with ``source``, ``hypothesis`` and
        ``reference``, of labels each request with ``gold`` and ``answer``, and where what was ``skipped`` on request
        stands, and why; and all that led to them: settings, counts, hashes of the data, versions.

    Raises:
        ValueError: when the metric is not the task's, the data can not be read, or the models can not be compared.
    """
    settings = settings or Settings()
    metric = _metric(model, settings)
    if rerank is not None:
        _check_reranks(rerank, metric, baseline)
        baseline = model
    same = baseline is None or tokenizer_hash(baseline.tokenizer) == tokenizer_hash(model.tokenizer)
    if baseline is not None:
        _check_comparable(baseline, model, metric, same)
    names = [files] if isinstance(files, str) else list(files)
    sources = _sources(model, names, settings)
    measured, used = _measure(model, names, sources, settings, advance, rerank)
    numbers = sorted(measured.statistics, key=lambda name: name != metric)
    bootstrap = settings.bootstrap
    drawn = {"method": "percentile bootstrap", "units": measured.units, "count": measured.count}
    result: dict[str, Any] = {
        "metric": metric,
        "model": model.name,
        "task": model.task,
        "values": {name: _plain(estimate(measured.statistics[name], measured.count, bootstrap)) for name in numbers},
        "counts": dict(measured.facts),
        "intervals": {**drawn, **dataclasses.asdict(bootstrap)},
    }
    if baseline is not None:
        other, extra = _measure(baseline, names, sources, settings, advance)
        numbers = [name for name in numbers if name in other.statistics]
        _check_same_units(baseline, model, (other, extra), (measured, used))
        values = {name: _plain(estimate(other.statistics[name], other.count, bootstrap)) for name in numbers}
        result["baseline"] = {"model": baseline.name, "values": values, "counts": dict(other.facts)}
        if "texts" in extra:
            result["baseline"]["texts"] = extra["texts"]
        result["comparison"] = {}
        for name in numbers:
            if same or name not in PER_TOKEN:
                found = compare(measured.statistics[name], other.statistics[name], measured.count, bootstrap)
                result["comparison"][name] = _plain(found)
    result |= {name: used.pop(name) for name in ("texts", "skipped") if name in used}
    result["data"] = [{"name": source.name, "sha256": _hash(source)} for source in sources]
    result["tokenizer_sha256"] = tokenizer_hash(model.tokenizer)
    result["settings"] = {**dataclasses.asdict(settings), **used, "metric": metric}
    if rerank is not None:
        result["rerank"] = rerank.name
    result["versions"] = _versions()
    return result


def _metric(model: Opened, settings: Settings) -> str:
    """The one that is asked for, or the task's first."""
    known = [name for name, tasks in METRICS.items() if model.task in tasks]
    if not known:
        raise ValueError(f"{model.name}: is a {model.task}, for which there is no metric")
    metric = settings.metric or known[0]
    if metric not in known:
        raise ValueError(f"{model.name}: is a {model.task}, which has no {metric}, but {' and '.join(known)}")
    return metric


def _check_comparable(baseline: Opened, model: Opened, metric: str, same_tokenizer: bool) -> None:
    if baseline.task != model.task:
        raise ValueError(f"{baseline.name}: is a {baseline.task}, which can not be compared with a {model.task}")
    if metric in PER_TOKEN and not same_tokenizer:
        advice = "; compare their bits-per-byte" if metric == "perplexity" else ""
        raise ValueError(
            f"{baseline.name}: has another tokenizer than {model.name}, so a {metric} a token says nothing{advice}"
        )


def _check_same_units(
    baseline: Opened,
    model: Opened,
    other: tuple[Measurement, Mapping[str, Any]],
    measured: tuple[Measurement, Mapping[str, Any]],
) -> None:
    """Refuses to compare where one model leaves out what the other does not, as it reads less."""
    if other[1].get("skipped") != measured[1].get("skipped"):
        raise ValueError(f"{baseline.name}: leaves out other examples than {model.name}: they can not be compared")
    assert (other[0].units, other[0].count) == (measured[0].units, measured[0].count)


def _check_reranks(rerank: Opened, metric: str, baseline: Opened | None) -> None:
    """Refuses what cannot order documents, or where there are none."""
    if metric != "retrieval":
        raise ValueError(f"{rerank.name}: re-ranks what a retrieval has found, and the metric is {metric}")
    if baseline is not None:
        raise ValueError(f"{rerank.name}: re-ranks, so that the model alone is the baseline: leave {baseline.name} out")
    if not isinstance(rerank.model, TextClassifier):
        raise ValueError(f"{rerank.name}: is a {rerank.task}; pairs are ranked by a TextClassification of pairs")


def _sources(model: Opened, names: Sequence[str], settings: Settings) -> list[Source]:
    if isinstance(model.model, Writer):
        return paired_sources(model.model, names, settings.generation)
    if isinstance(model.model, TextAnalyser):  # whose data may have any name
        return [source for name in names for source in resolve(name, None if named_kind(name) else "text")]
    return resolve(names)


def _measure(
    model: Opened,
    names: Sequence[str],
    sources: Sequence[Source],
    settings: Settings,
    advance: Advance,
    rerank: Opened | None = None,
) -> tuple[Measurement, dict[str, Any]]:
    what, size = model.model, settings.batch_size
    if isinstance(what, Writer):
        return measure_generation(what, sources, settings.generation, settings.limit, size, advance)
    if isinstance(what, TextAnalyser):
        return measure_labelled(what, model.task, names, settings.fields, settings.limit, size, advance)
    if isinstance(what, WordSpace):
        if len(sources) != 1:
            raise ValueError(f"words are measured on one file of pairs or analogies, not on {len(sources)}")
        return measure_words(what, sources[0].name, settings.vocabulary), {}
    if isinstance(what, TextEmbedder) and settings.metric == "retrieval":
        asked = read_retrieval(sources, settings.columns, settings.limit)
        orders = None if rerank is None else rerank.model
        assert orders is None or isinstance(orders, TextClassifier)
        return measure_retrieval(what, asked, size, advance, orders, settings.candidates), {}
    if isinstance(what, TextEmbedder):
        if len(sources) != 1:
            raise ValueError(f"similarity is measured on one file of pairs, not on {len(sources)}")
        pairs = read_pairs(sources[0].name, settings.columns, settings.limit)
        return measure_similarity(what, pairs, size, advance), {}
    unit: DocumentUnit = settings.document or ("line" if isinstance(what, MaskFiller) else "file")
    documents = read_documents(sources, model.tokenizer, settings.text_field, unit, settings.limit)
    used: dict[str, Any]
    if isinstance(what, MaskFiller):
        measure = measure_permutation if settings.metric == "permutation-perplexity" else measure_masked
        measurement, used = measure(what, documents, settings.context, size, advance)
        return measurement, {**used, "document": unit}
    special = special_token_ids(model.tokenizer)
    prefix = special.get("bos", special.get("eos")) if settings.prefix else None
    measurement, used = measure_causal(what, documents, prefix, settings.context, settings.stride, size, advance)
    return measurement, {**used, "document": unit, "prefix": prefix is not None}


def _plain(found: Any) -> dict[str, Any]:
    """A dataclass of numbers, without NaN, for which JSON has no word."""

    def clean(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {name: clean(each) for name, each in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    cleaned: dict[str, Any] = clean(dataclasses.asdict(found))
    return cleaned


def _hash(source: Source) -> str:
    return source.identity() if source.kind == "dataset" or "://" in source.name else file_hash(source.name)


def _versions() -> dict[str, str]:
    names = ("torch", "numpy", "scipy", "tokenizers", "sacrebleu", "rouge-score")
    found = {"plmlight": __version__, "python": platform.python_version(), **{name: version(name) for name in names}}
    import onnxruntime

    return {**found, "onnxruntime": onnxruntime.__version__}
