"""How good the answers of tasks with labels are.

`KINDS` is the one place that says, for each task, how its data are read and what answers are worth: ``evaluate`` needs
nothing else, for checkpoints and bundles alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from plmlight.data.labelled_examples import LabelReader
from plmlight.decoding import Record, TextAnalyser
from plmlight.evaluation.measurement import Advance, Measurement
from plmlight.evaluation.significance import Statistic
from plmlight.metrics.classification import class_metrics, label_metrics, number_metrics
from plmlight.text import nearest

CHUNK = 512
"""Requests that are answered between two signs of progress."""


@dataclass(frozen=True)
class Fields:
    """Where the parts of an example stand, in files that have names for them.

    Args:
        text: the text, or the first of two.
        pair: the second text; None where there is one.
        label: what is right.
    """

    text: str = "text"
    pair: str | None = None
    label: str = "label"


class Example(Protocol):
    """An example as every reader of `plmlight.data` gives it."""

    def request(self) -> Record:
        """What the model is asked."""

    @property
    def gold(self) -> Any:
        """What is right."""


@dataclass(frozen=True)
class Kind:
    """How the answers of one task are measured.

    Attributes:
        read: from files, fields, and the task's facts to examples.
        statistics: from examples, answers and facts to numbers by name, 0 to 100, the most important first.
    """

    read: Callable[[Sequence[str], Fields, Mapping[str, Any]], Sequence[Example]]
    statistics: Callable[[Sequence[Any], Sequence[Record], Mapping[str, Any]], dict[str, Statistic]]


def measure_labelled(
    model: TextAnalyser,
    task: str,
    files: Sequence[str],
    fields: Fields,
    limit: int | None = None,
    batch_size: int = 32,
    advance: Advance = lambda done, total: None,
) -> tuple[Measurement, dict[str, Any]]:
    """Measures a model on data with labels.

    Args:
        model: what answers.
        task: its task.
        files: the data.
        fields: where the parts of an example stand.
        limit: take only so many examples.
        batch_size: rows that run together.
        advance: is told how many examples are done.

    Returns:
        The measurement, whose units are examples, and ``texts``: of each example the request, what is right (``gold``)
        and the ``answer``.

    Raises:
        ValueError: for a task that is not in `KINDS`, or data that cannot be used.
    """
    if task not in KINDS:
        raise ValueError(f"there is no metric for a {task}{nearest(task, KINDS)}")
    examples = KINDS[task].read(files, fields, model.facts)[:limit]
    if not examples:
        raise ValueError(f"{', '.join(files)}: there is no example")
    requests = [example.request() for example in examples]
    answers: list[Record] = []
    advance(0, len(requests))
    for first in range(0, len(requests), CHUNK):
        answers += model.answers(requests[first : first + CHUNK], batch_size)
        advance(len(answers) - first, len(requests))
    statistics = KINDS[task].statistics(examples, answers, model.facts)
    told = [
        {**request, "gold": example.gold, "answer": answer}
        for request, example, answer in zip(requests, examples, answers, strict=True)
    ]
    return Measurement(statistics, "examples", len(examples), {"examples": len(examples)}), {"texts": told}


def _read_classified(files: Sequence[str], fields: Fields, facts: Mapping[str, Any]) -> Sequence[Example]:
    texts = (fields.text,) if fields.pair is None else (fields.text, fields.pair)
    return LabelReader(texts, fields.label, facts.get("problem", "single-label")).read(list(files))


def _classes(examples: Sequence[Any], answers: Sequence[Record], facts: Mapping[str, Any]) -> dict[str, Statistic]:
    """Those that the task itself reports, of the probabilities in the answers."""
    names = list(facts["labels"])
    problem = facts.get("problem", "single-label")
    scores = np.array([[answer["scores"][name] for name in names] for answer in answers])
    if problem == "regression":
        return number_metrics(scores[:, 0], np.array([float(example.gold) for example in examples]))
    several = [example.gold if isinstance(example.gold, tuple) else (example.gold,) for example in examples]
    labels = np.zeros((len(examples), len(names)), np.int64)
    for row, (example, gold) in enumerate(zip(examples, several, strict=True)):
        for name in gold:
            labels[row, _number(str(name), names, example.where)] = 1
    if problem == "multi-label":
        return label_metrics(scores, labels.astype(np.float64), np.array(facts["thresholds"]), names)
    return class_metrics(scores, labels.argmax(1), names)


def _number(name: str, names: Sequence[str], where: str) -> int:
    """The number of a class, which a file may have in the place of its name."""
    if name in names:
        return names.index(name)
    if name.isdigit() and int(name) < len(names):
        return int(name)
    raise ValueError(f"{where}: the model knows no class {name!r}{nearest(name, names)}")


KINDS: dict[str, Kind] = {
    "TextClassification": Kind(_read_classified, _classes),
}
"""By the name of the task; one line a task."""
