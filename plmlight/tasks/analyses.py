"""What a report says of a data set beside its measures: scores of each class, confusions, the worst mistakes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmlight.metrics.answers import AnswerScores
from plmlight.metrics.classification import Counts
from plmlight.metrics.relations import confusions
from plmlight.metrics.spans import SpanCounts
from plmlight.text.tables import Analysis, Mistake, Table, Value

WORST = 20
"""Mistakes that are shown."""
SQUARE = 25
"""The most classes whose confusions are shown as a matrix."""

_SCORES = ("precision", "recall", "F1", "support")


def samples_of(found: Mapping[str, Any]) -> NDArray[np.int64]:
    """The number of each example's first sample, from what a task kept: in the order of the examples."""
    numbers = np.asarray(found["sample_ids"], np.int64)
    if "example_ids" not in found:
        return numbers
    return numbers[np.unique(np.asarray(found["example_ids"]), return_index=True)[1]]


def of_classes(
    said: NDArray[Any], certainty: NDArray[Any], labels: NDArray[Any], names: Sequence[str], samples: NDArray[np.int64]
) -> Analysis:
    """One class of each example.

    Args:
        said: [N], the numbers of the classes that were said.
        certainty: [N], their probabilities.
        labels: [N], what is right.
        names: of the classes.
        samples: [N], the examples' samples.
    """
    said, labels = said.astype(np.int64), labels.astype(np.int64)
    matrix = confusions(labels, said, len(names))[0]
    wrong = np.flatnonzero(said != labels)
    worst = wrong[np.argsort(-certainty[wrong], kind="stable")][:WORST]
    mistakes = [
        Mistake(int(samples[place]), names[labels[place]], names[said[place]], float(certainty[place]))
        for place in worst
    ]
    scores = _class_table(names, np.diagonal(matrix), matrix.sum(0), matrix.sum(1))
    return Analysis([scores, _confusion_table(matrix, names)], mistakes)


def of_label_sets(
    scores: NDArray[Any],
    labels: NDArray[Any],
    thresholds: NDArray[Any],
    names: Sequence[str],
    samples: NDArray[np.int64],
) -> Analysis:
    """Any number of labels of each example; an example's weight is how far its worst label is from the truth.

    Args:
        scores: [N, L], the probability of each label.
        labels: [N, L], 1 where it is there.
        thresholds: [L], from which on a label is said.
        names: of the labels.
        samples: [N], the examples' samples.
    """
    truth, said = labels > 0, scores >= thresholds
    wrong = said != truth
    distance = np.where(wrong, np.abs(scores - truth), 0.0).max(1)
    worst = [place for place in np.argsort(-distance, kind="stable")[:WORST] if wrong[place].any()]

    def listed(row: NDArray[Any]) -> str:
        return ", ".join(name for name, there in zip(names, row, strict=True) if there) or "(none)"

    mistakes = [
        Mistake(int(samples[place]), listed(truth[place]), listed(said[place]), float(distance[place]))
        for place in worst
    ]
    table = _class_table(names, (truth & said).sum(0), said.sum(0), truth.sum(0))
    return Analysis([table], mistakes, "probability of the worst label against the truth")


def of_numbers(said: NDArray[Any], gold: NDArray[Any], samples: NDArray[np.int64]) -> Analysis:
    """A number of each example.

    Args:
        said: [N].
        gold: [N], what is right.
        samples: [N], the examples' samples.
    """
    errors = np.abs(said - gold)
    mistakes = [
        Mistake(int(samples[place]), f"{gold[place]:.4g}", f"{said[place]:.4g}", float(errors[place]))
        for place in np.argsort(-errors, kind="stable")[:WORST]
    ]
    parts = [part for part in np.array_split(np.argsort(gold, kind="stable"), 5) if len(part)]
    rows: list[list[Value]] = [
        [
            len(part),
            float(gold[part].min()),
            float(gold[part].max()),
            float(said[part].mean()),
            float(errors[part].mean()),
        ]
        for part in parts
    ]
    table = Table("Fifths of the true numbers", ("examples", "from", "to", "said, mean", "error, mean"), rows)
    return Analysis([table], mistakes, "error")


def of_tags(
    gold: Sequence[Sequence[str]],
    said: Sequence[Sequence[str]],
    names: Sequence[str],
    spans: SpanCounts | None,
    samples: NDArray[np.int64],
) -> Analysis:
    """A tag for each word; the worst sentences are those with the most wrong tags.

    Args:
        gold: the right tags of each sentence.
        said: those that were said.
        names: of the tags.
        spans: the spans that they mark; None where they mark none.
        samples: [N], the sentences' samples.
    """
    numbers = {name: number for number, name in enumerate(names)}
    flat = [np.array([numbers[tag] for tags in side for tag in tags], np.int64) for side in (gold, said)]
    matrix = confusions(flat[0], flat[1], len(names))[0]
    words = _class_table(names, np.diagonal(matrix), matrix.sum(0), matrix.sum(1), "Tags of words")
    tables = [words, _confusion_table(matrix, names)]
    if spans is not None:
        kinds = [kind or "(all)" for kind in spans.kinds]
        counts = (spans.correct.sum(0), spans.found.sum(0), spans.gold.sum(0))
        tables.insert(0, _class_table(kinds, *counts, "Spans"))
    wrong = [
        [place for place, (right, tag) in enumerate(zip(*pair, strict=True)) if right != tag]
        for pair in zip(gold, said, strict=True)
    ]
    worst = [
        number for number in np.argsort([-len(places) for places in wrong], kind="stable")[:WORST] if wrong[number]
    ]
    mistakes = [
        Mistake(
            int(samples[number]),
            tuple((place, gold[number][place]) for place in wrong[number]),
            tuple((place, said[number][place]) for place in wrong[number]),
            float(len(wrong[number])),
        )
        for number in worst
    ]
    return Analysis(tables, mistakes, "wrong words")


def of_answers(
    said: Sequence[str],
    references: Sequence[Sequence[str]],
    scores: AnswerScores,
    certainty: NDArray[Any],
    samples: NDArray[np.int64],
) -> Analysis:
    """An answer to each question; of the worst ones the most certain first.

    Args:
        said: the answers, "" for none.
        references: the true ones of each question; none where there is no answer.
        scores: what each is worth.
        certainty: [N], how much the score of what was said exceeds that of the other choice, an answer or none.
        samples: [N], the questions' samples.
    """
    there = np.array([bool(each) for each in references], bool)
    groups = {"all": np.ones_like(there), "with an answer": there, "without an answer": ~there}
    rows: list[list[Value]] = [
        [name, int(kept.sum()), 100 * float(scores.exact[kept].mean()), 100 * float(scores.f1[kept].mean())]
        for name, kept in groups.items()
        if kept.any()
    ]
    wrong = np.flatnonzero(scores.exact < 1)
    worst = wrong[np.lexsort((-certainty[wrong], scores.f1[wrong]))][:WORST]
    mistakes = [
        Mistake(
            int(samples[place]),
            " / ".join(dict.fromkeys(references[place])) or "(none)",
            said[place] or "(none)",
            float(certainty[place]),
        )
        for place in worst
    ]
    table = Table("Questions", ("", "questions", "exact match", "F1"), rows)
    return Analysis([table], mistakes, "score above the other choice")


def _class_table(
    names: Sequence[str], hits: NDArray[Any], found: NDArray[Any], there: NDArray[Any], title: str = "Classes"
) -> Table:
    counts = Counts(*(np.asarray(side, np.float64)[None] for side in (hits, found, there)))
    columns = [100 * getattr(counts, measure)[0] for measure in ("precision", "recall", "f1")]
    rows: list[list[Value]] = [
        [name, *(float(column[place]) for column in columns), int(there[place])] for place, name in enumerate(names)
    ]
    return Table(title, ("", *_SCORES), rows)


def _confusion_table(matrix: NDArray[np.int64], names: Sequence[str]) -> Table:
    """The matrix, or of many classes the pairs that are mistaken for each other most often."""
    if len(names) <= SQUARE:
        rows: list[list[Value]] = [[name, *map(int, row)] for name, row in zip(names, matrix, strict=True)]
        text = "A row is what is right, a column what was said."
        return Table("Confusions", ("", *names), rows, text, confusion=True)
    wrong = matrix * (1 - np.eye(len(names), dtype=np.int64))
    cells = [np.unravel_index(cell, wrong.shape) for cell in np.argsort(-wrong, axis=None, kind="stable")[:SQUARE]]
    pairs: list[list[Value]] = [[names[a], names[b], int(wrong[a, b])] for a, b in cells if wrong[a, b]]
    return Table("Confusions", ("right", "said", "examples"), pairs, "The most frequent ones.")
