"""How good what a model writes is: its texts beside the expected ones, and the loss of these."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from plmlight.data.dialogues import TURNS, Dialogues, dialogue_sources
from plmlight.data.parallel import ParallelText, parallel_sources
from plmlight.data.sequences import SIDES, PairedText
from plmlight.data.sources import Source, named_kind
from plmlight.decoding import SequenceGenerator
from plmlight.evaluation.measurement import Advance, Measurement, ratio
from plmlight.evaluation.significance import Statistic
from plmlight.heads.cross_entropy import IGNORED
from plmlight.metrics import TextMetric, text_metrics
from plmlight.tasks import Seq2Seq
from plmlight.text import TextForm, frame


@dataclass(frozen=True)
class Generation:
    """What is written, and what it is compared with.

    Args:
        metrics: see `plmlight.metrics.text_metrics`.
        fields: the names of source and reference, for files that have fields; of dialogues, those of the list of turns
            and of a turn's text. None for the usual one.
        reverse: take the second file, column or field for the source.
        prefix: the name of the task that the model is asked for.
        decoding: fields of `plmlight.decoding.DecodingOptions` that replace the model's own.

    Raises:
        ValueError: for an unknown metric.
    """

    metrics: Sequence[str] = ("bleu", "chrf")
    fields: tuple[str | None, str | None] = (None, None)
    reverse: bool = False
    prefix: str | None = None
    decoding: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        text_metrics(self.metrics)


@dataclass(frozen=True)
class Writer:
    """A model that writes.

    Attributes:
        generator: writes.
        task: scores references, where the model is one of torch.
    """

    generator: SequenceGenerator
    task: Seq2Seq | None = None


def paired_sources(model: Writer, files: str | Sequence[str], settings: Generation) -> list[Source]:
    """Finds the files that a model is scored on.

    Args:
        model: one that was trained on dialogues is asked for the turns of dialogues, in plain text or .jsonl; it reads
            pairs from other files.
        files: which.
        settings: whether fields are named.

    Returns:
        The sources.

    Raises:
        ValueError: when they are none of parallel text.
    """
    if _of_dialogues(model.generator.text_form, [files] if isinstance(files, str) else files):
        return dialogue_sources(files)
    return parallel_sources(files, any(settings.fields))


def measure_generation(
    model: Writer,
    sources: Sequence[Source],
    settings: Generation,
    limit: int | None = None,
    batch_size: int = 16,
    advance: Advance = lambda done, total: None,
) -> tuple[Measurement, dict[str, Any]]:
    """Writes an answer to each source and scores it.

    Args:
        model: writes.
        sources: what `paired_sources` found.
        settings: what is written and how it is scored.
        limit: take only so many pairs.
        batch_size: sources that run together.
        advance: is told the pairs that are done.

    Returns:
        The scores, and in torch the ``loss`` in nats a token of the references and its ``perplexity``; and the
        ``texts``: ``source``, ``hypothesis`` and ``reference`` of each pair.

    Raises:
        ValueError: when the pairs can not be read, there is none, or a source is too long.
    """
    pairs = _pairs(model.generator.text_form, sources, settings, limit)
    advance(0, len(pairs))
    answers = model.generator.generate(
        [source for source, _ in pairs],
        batch_size=batch_size,
        prefix=settings.prefix,
        progress=lambda done: advance(done, len(pairs)),
        **settings.decoding,
    )
    references = [reference for _, reference in pairs]
    hypotheses = [found[0].text for found in answers]
    statistics: dict[str, Statistic] = {}
    for metric in text_metrics(settings.metrics):
        statistics |= text_statistics(metric, hypotheses, references)
    facts = {"pairs": len(pairs), "tokens written": sum(len(found[0].token_ids) for found in answers)}
    if model.task is not None:
        targets, cut = cut_targets(model.generator, references)
        losses = _losses(model.task, model.generator, [source for source, _ in pairs], targets, settings, batch_size)
        counts = np.array([len(target) for target in targets])
        statistics |= {"loss": ratio(losses, counts, 1.0), "perplexity": ratio(losses, counts)}
        facts |= {"tokens scored": int(counts.sum())} | ({"references cut to be scored": cut} if cut else {})
    texts = [
        {"source": source, "hypothesis": hypothesis, "reference": reference}
        for (source, reference), hypothesis in zip(pairs, hypotheses, strict=True)
    ]
    return Measurement(statistics, "pairs", len(pairs), facts), {"texts": texts}


def text_statistics(metric: TextMetric, hypotheses: Sequence[str], references: Sequence[str]) -> dict[str, Statistic]:
    """A metric's scores as functions of the pairs that are drawn.

    Args:
        metric: the metric.
        hypotheses: what was written.
        references: what was expected.

    Returns:
        A statistic a score. What is not additive is known for the whole only, and has no interval: a text that is drawn
        twice adds no new n-grams, so samples of as many texts have fewer of them than the data.
    """
    whole = metric.sums(hypotheses, references)
    names = list(whole)
    pairs = zip(hypotheses, references, strict=True)
    each = np.array([list(metric.sums([ours], [theirs]).values()) for ours, theirs in pairs])  # [N, K]
    unit = np.arange(len(hypotheses))

    def score(drawn: NDArray[np.int64], name: str) -> float:
        if not metric.additive:
            return metric.summarise(whole)[name] if np.array_equal(drawn, unit) else float("nan")
        sums = np.bincount(drawn, minlength=len(unit)) @ each
        return metric.summarise(dict(zip(names, sums.tolist(), strict=True)))[name]

    def statistic(name: str) -> Statistic:
        return lambda indices: np.array([score(drawn, name) for drawn in indices])

    return {name: statistic(name) for name in metric.summarise(whole)}


def _pairs(form: TextForm, sources: Sequence[Source], settings: Generation, limit: int | None) -> list[tuple[str, str]]:
    dialogues = _of_dialogues(form, [source.name for source in sources])
    first, second = (
        given or usual for given, usual in zip(settings.fields, TURNS if dialogues else SIDES, strict=True)
    )
    text: PairedText = (
        Dialogues(sources, first, second, form)
        if dialogues
        else ParallelText(sources, (first, second), settings.reverse)
    )
    there = (pair for group in text.groups() for pair in group if pair != ("", ""))
    pairs = list(islice(there, limit))
    if sources[0].kind == "text" and len(sources) == 2:
        deque(there, maxlen=0)  # what is left of two files: whether they have as many lines
    if not pairs:
        raise ValueError(f"{sources[0].name}: holds no pair of texts")
    return pairs


def _of_dialogues(form: TextForm, names: Sequence[str]) -> bool:
    """Whether files hold dialogues, for a model that was trained on them."""
    return form.history > 0 and all(named_kind(name) in ("text", "jsonl") for name in names)


def cut_targets(generator: SequenceGenerator, references: Sequence[str]) -> tuple[list[list[int]], int]:
    """References as a model can score them.

    Args:
        generator: whose tokenizer is used, and whose length holds.
        references: texts.

    Returns:
        Their tokens, with what stands around a text, and how many of them were cut, before their end, to fit.
    """
    opening, closing = frame(generator.target_tokenizer)
    most = generator.model.max_length
    room = None if most is None else max(0, most - len(opening) - len(closing))
    inner = [generator.target_tokenizer.encode(text, add_special_tokens=False).ids for text in references]
    cut = sum(room is not None and len(ids) > room for ids in inner)
    return [[*opening, *ids[:room], *closing] for ids in inner], cut


@torch.inference_mode()
def _losses(
    task: Seq2Seq,
    generator: SequenceGenerator,
    texts: Sequence[str],
    targets: Sequence[Sequence[int]],
    settings: Generation,
    batch_size: int,
) -> NDArray[np.float64]:
    """The summed loss of each target in nats, its end included."""
    options = dataclasses.replace(generator.options, **settings.decoding)
    sources = [
        generator.fit(number, generator.encode(text, settings.prefix), options) for number, text in enumerate(texts)
    ]
    losses = np.zeros(len(targets))
    order = sorted(range(len(targets)), key=lambda place: -len(sources[place]) - len(targets[place]))
    device = task.head.weight.device
    for first in range(0, len(order), batch_size):
        places = order[first : first + batch_size]
        ids, mask = _padded([sources[place] for place in places], task.network.pad_token_id)
        labels, _ = _padded([targets[place] for place in places], IGNORED)
        ids, mask, labels = ids.to(device), mask.to(device), labels.to(device)
        logits = task(ids, task.shift_right(labels), mask)["logits"].float()  # [B, T, V]
        found = F.cross_entropy(logits.mT, labels, ignore_index=IGNORED, reduction="none")  # [B, T]
        losses[places] = found.double().sum(1).cpu().numpy()
    return losses


def _padded(rows: Sequence[Sequence[int]], fill: int) -> tuple[torch.Tensor, torch.Tensor]:
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[fill] * (longest - len(row))] for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    return ids, mask
