"""How good the answers of tasks with labels are.

`KINDS` is the one place that says, for each task, how its data are read and what answers are worth: ``evaluate`` needs
nothing else, for checkpoints and bundles alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from plmlight.data.examples import place_of
from plmlight.data.label_files import FileFormat
from plmlight.data.labelled_examples import LabelledExample, LabelReader, known_label
from plmlight.data.propositions import read_roles
from plmlight.data.relation_data import OnWrongMarkers, read_relations
from plmlight.data.squad_data import OnWrongAnswer, read_questions
from plmlight.data.tagged_files import read_tagged, rewritten, with_beginnings
from plmlight.decoding import Record, TextAnalyser
from plmlight.decoding.analysis import located
from plmlight.evaluation.measurement import Advance, Measurement, ratio
from plmlight.evaluation.significance import Statistic
from plmlight.metrics.answers import AnswerMetric, AnswerScores, score_answers
from plmlight.metrics.classification import class_metrics, label_metrics, number_metrics
from plmlight.metrics.relations import confusions, relation_measures
from plmlight.metrics.roles import role_counts
from plmlight.metrics.spans import SpanCounts, tag_counts
from plmlight.text import nearest
from plmlight.text.tagging import parted, scheme_of

CHUNK = 512
"""Requests that are answered between two signs of progress."""

CHINESE = re.compile("[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Fields:
    """Where the parts of an example stand, and how files are written, where they do not say it themselves.

    Args:
        text: of texts with classes: the field of the text, or of the first of two; or the number of its column.
        pair: of the second text; None where there is one.
        label: of what is right.
        separator: between several labels of a text.
        file_format: what files are, whatever their names say.
        encoding: of files.
        word_column: of a file with tags in columns: the word's, from 0; of one with roles 0 is that of its kind.
        tag_column: the tag's; -1 is the last one.
        on_error: what to do with texts with classes, questions and relations that cannot be used, as
            `plmlight.data.LabelledText`, `plmlight.data.SquadData` and `plmlight.data.RelationData` say.
    """

    text: str = "text"
    pair: str | None = None
    label: str = "label"
    separator: str = ","
    file_format: FileFormat = "auto"
    encoding: str = "utf-8"
    word_column: int = 0
    tag_column: int = -1
    on_error: OnWrongAnswer = "error"


class Example(Protocol):
    """An example as every reader of `plmlight.data` gives it."""

    def request(self) -> Record:
        """What the model is asked."""

    @property
    def gold(self) -> Any:
        """What is right."""


Read = tuple[Sequence[Example], list[tuple[str, str]]]
"""Examples, and where those stand that are left out on request, and why."""


@dataclass(frozen=True)
class Kind:
    """How the answers of one task are measured.

    Attributes:
        read: from files, fields, and the task's facts to examples, and what is left out.
        statistics: from examples, answers and facts to numbers by name, 0 to 100, the most important first.
        on_error: what ``Fields.on_error`` may be.
    """

    read: Callable[[Sequence[str], Fields, Mapping[str, Any]], Read]
    statistics: Callable[[Sequence[Any], Sequence[Record], Mapping[str, Any]], dict[str, Statistic]]
    on_error: tuple[str, ...] = ("error",)


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
        The measurement, whose units are examples; ``texts``: of each example the request, what is right (``gold``) and
        the ``answer``; and ``skipped``: where each that is left out stands, and why.

    Raises:
        ValueError: for a task that is not in `KINDS`, or data that cannot be used.
    """
    if task not in KINDS:
        raise ValueError(f"there is no metric for a {task}{nearest(task, KINDS)}")
    examples, skipped = _read(model, task, files, fields)
    examples = examples[:limit]
    if not examples:
        left = f"no example is left of {len(skipped)}" if skipped else "there is no example"
        raise ValueError(f"{', '.join(files)}: {left}")
    requests = [example.request() for example in examples]
    answers: list[Record] = []
    advance(0, len(requests))
    for first in range(0, len(requests), CHUNK):
        try:
            answers += model.answers(requests[first : first + CHUNK], batch_size)
        except ValueError as error:
            raise located(error, [place_of(example) for example in examples[first:]]) from None
        advance(len(answers) - first, len(requests))
    statistics = KINDS[task].statistics(examples, answers, model.facts)
    told = [
        {**request, "gold": example.gold, "answer": answer}
        for request, example, answer in zip(requests, examples, answers, strict=True)
    ]
    counts = {"examples": len(examples)} | ({"left out": len(skipped)} if skipped else {})
    return Measurement(statistics, "examples", len(examples), counts), {"texts": told, "skipped": skipped}


def _read(model: TextAnalyser, task: str, files: Sequence[str], fields: Fields) -> Read:
    """The examples that the model is asked, and what is left out on request."""
    kind = KINDS[task]
    if fields.on_error not in kind.on_error:
        raise ValueError(f"on_error {fields.on_error!r} is not for a {task}: expected {' or '.join(kind.on_error)}")
    examples, skipped = kind.read(files, fields, model.facts)
    if fields.on_error == "error":
        return examples, skipped
    both = list(zip(examples, model.refusals([example.request() for example in examples]), strict=True))
    longer = [(place_of(example), why) for example, why in both if why is not None]
    return [example for example, why in both if why is None], [*skipped, *longer]


def _read_classified(files: Sequence[str], fields: Fields, facts: Mapping[str, Any]) -> Read:
    texts = (fields.text,) if fields.pair is None else (fields.text, fields.pair)
    problem = facts.get("problem", "single-label")
    skip = fields.on_error == "skip"
    reader = LabelReader(texts, fields.label, problem, fields.separator, fields.file_format, fields.encoding, skip)
    found = []
    for example in reader.read(list(files)):
        try:
            if problem != "regression":
                _numbers(example, facts["labels"])
        except ValueError as error:
            reader.refuse(example.where, str(error))
        else:
            found.append(example)
    return found, reader.skipped


def _classes(examples: Sequence[Any], answers: Sequence[Record], facts: Mapping[str, Any]) -> dict[str, Statistic]:
    """Those that the task itself reports, of the probabilities in the answers."""
    names = list(facts["labels"])
    problem = facts.get("problem", "single-label")
    if problem == "regression":
        found = np.array([answer["value"] for answer in answers])
        return number_metrics(found, np.array([float(example.gold) for example in examples]))
    scores = np.array([[answer["scores"][name] for name in names] for answer in answers])
    labels = np.zeros((len(examples), len(names)), np.int64)
    for row, example in enumerate(examples):
        labels[row, _numbers(example, names)] = 1
    if problem == "multi-label":
        return label_metrics(scores, labels.astype(np.float64), np.array(facts["thresholds"]), names)
    return class_metrics(scores, labels.argmax(1), names)


def _numbers(example: LabelledExample, names: Sequence[str]) -> list[int]:
    """The numbers of an example's classes, which a file may have in the place of their names."""
    found = []
    for name in map(str, example.label if isinstance(example.label, tuple) else (example.label,)):
        try:
            found.append(names.index(str(known_label(name, names, numbered=True))))
        except ValueError:
            raise ValueError(f"the model knows no class {name!r}{nearest(name, names)}") from None
    return found


def _read_tagged(files: Sequence[str], fields: Fields, facts: Mapping[str, Any]) -> Read:
    """In the scheme of the model, whatever that of the files is."""
    labels, scheme = set(facts["labels"]), facts["scheme"]
    columns = fields.word_column, fields.tag_column
    found = read_tagged(list(files), *columns, unit=facts["unit"], encoding=fields.encoding)
    kinds = {parted(label)[1] for label in labels}
    given = scheme_of({tag for example in found for tag in example.tags})
    spans = scheme != "none" and given != "none"
    for example in found:
        for place, tag in enumerate(example.tags):
            if tag not in labels and not (spans and parted(tag)[1] in kinds):
                raise ValueError(f"{example.where(place)}: the model knows no tag {tag!r}{nearest(tag, labels)}")
    if spans and given != scheme:
        return [rewritten(example, scheme, given) for example in found], []
    return with_beginnings(found, labels), []


def _tags(examples: Sequence[Any], answers: Sequence[Record], facts: Mapping[str, Any]) -> dict[str, Statistic]:
    """Spans, those of each kind too; without a scheme words, as each tag is by itself."""
    gold, found = [example.gold for example in examples], [answer["tags"] for answer in answers]
    accuracy = _accuracy(gold, found)
    if facts["scheme"] != "none":
        return _of_spans(tag_counts(gold, found, facts["scheme"]), accuracy)
    each = [[[(tag, place, place + 1) for place, tag in enumerate(tags)] for tags in side] for side in (gold, found)]
    counts = SpanCounts.of(*each)
    whole = ("precision", "recall", "f1")  # of all words together they are the accuracy
    return accuracy | {name: counts.statistic(name) for name in counts.names() if name not in whole}


def _accuracy(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> dict[str, Statistic]:
    """Words with the right tag."""
    pairs = list(zip(gold, found, strict=True))
    right = [sum(mine == theirs for mine, theirs in zip(*pair, strict=True)) for pair in pairs]
    words = np.array([len(tags) for tags in gold], np.int64)
    return {"accuracy": ratio(np.array(right, np.float64), words, 100)}


def _of_spans(counts: SpanCounts, accuracy: dict[str, Statistic]) -> dict[str, Statistic]:
    """F1 of all first."""
    names = sorted(counts.names(), key=lambda name: name != "f1")
    return {names[0]: counts.statistic(names[0]), **accuracy, **{n: counts.statistic(n) for n in names[1:]}}


def _read_roles(files: Sequence[str], fields: Fields, facts: Mapping[str, Any]) -> Read:
    found, labels = read_roles(list(files), fields.word_column or None, fields.encoding), set(facts["labels"])
    for example in found:
        for place, tag in enumerate(example.tags):
            if tag not in labels:
                raise ValueError(f"{example.where(place)}: the model knows no tag {tag!r}{nearest(tag, labels)}")
    return found, []


def _roles(examples: Sequence[Any], answers: Sequence[Record], facts: Mapping[str, Any]) -> dict[str, Statistic]:
    """Arguments, those of each role too; the predicate itself is none."""
    gold, found = [example.gold for example in examples], [answer["tags"] for answer in answers]
    return _of_spans(role_counts(gold, found), _accuracy(gold, found))


def _read_questions(files: Sequence[str], fields: Fields, facts: Mapping[str, Any]) -> Read:
    questions, skipped = read_questions(list(files), fields.on_error, fields.encoding, placed=False)
    for question in questions:
        if question.answers is None:
            raise ValueError(f"{question.where}: has no 'answers' ([] where the question has none)")
    return questions, skipped


def _answers(examples: Sequence[Any], answers: Sequence[Record], facts: Mapping[str, Any]) -> dict[str, Statistic]:
    """By the model's metric; of Chinese beside that of words those of characters."""
    gold, found = [example.gold for example in examples], [answer["answer"] for answer in answers]
    metric: AnswerMetric = facts.get("metric", "squad")
    statistics = _of_answers(score_answers(found, gold, metric))
    answerable = np.array([bool(each) for each in gold])
    if not answerable.all():
        f1 = score_answers(found, gold, metric).f1
        statistics["answerable_f1"] = ratio(f1 * answerable, answerable.astype(np.int64), 100)
    if metric == "squad" and any(CHINESE.search(text) for texts in gold for text in texts):
        statistics |= _of_answers(score_answers(found, gold, "cmrc"), "cmrc_")
    return statistics


def _of_answers(scores: AnswerScores, prefix: str = "") -> dict[str, Statistic]:
    return {
        f"{prefix}f1": lambda indices: scores.means(indices)["f1"],
        f"{prefix}exact_match": lambda indices: scores.means(indices)["exact_match"],
    }


def _read_relations(files: Sequence[str], fields: Fields, facts: Mapping[str, Any]) -> Read:
    on_error: OnWrongMarkers = "skip" if fields.on_error == "skip" else "error"
    examples, skipped = read_relations(list(files), on_error, fields.encoding)
    for example in examples:
        if example.label is None:
            raise ValueError(f"{example.where}: the text has no relation")
        if example.label not in facts["labels"]:
            known = nearest(example.label, facts["labels"])
            raise ValueError(f"{example.where}: the model knows no relation {example.label!r}{known}")
    return examples, skipped


def _relations(examples: Sequence[Any], answers: Sequence[Record], facts: Mapping[str, Any]) -> dict[str, Statistic]:
    """The official score of SemEval first, where directions are told."""
    labels, negative = list(facts["labels"]), facts.get("negative")
    gold = np.array([labels.index(example.gold) for example in examples])
    found = np.array([labels.index(answer["label"]) for answer in answers])

    def statistic(name: str) -> Statistic:
        def of(indices: NDArray[np.int64]) -> NDArray[np.float64]:
            return relation_measures(confusions(gold, found, len(labels), indices), labels, negative)[name]

        return of

    known = relation_measures(confusions(gold, found, len(labels)), labels, negative)
    order = ("semeval_f1", "macro_f1", "micro_f1")
    names = [*(name for name in order if name in known), *(name for name in known if name not in order)]
    return {name: statistic(name) for name in names}


KINDS: dict[str, Kind] = {
    "QuestionAnswering": Kind(_read_questions, _answers, get_args(OnWrongAnswer)),
    "RelationExtraction": Kind(_read_relations, _relations, get_args(OnWrongMarkers)),
    "SemanticRoleLabelling": Kind(_read_roles, _roles),
    "TextClassification": Kind(_read_classified, _classes, ("error", "skip")),
    "TokenClassification": Kind(_read_tagged, _tags),
}
"""By the name of the task; one line a task."""
