"""Spans of tags and their scores, against seqeval's rules."""

import random

import numpy as np
import pytest

from plmlight.metrics.spans import SpanCounts, tag_accuracy, tag_counts
from plmlight.text.tagging import Scheme, TagSpan, scheme_of, spans_of, tags_of, transitions

LABELS: dict[str, list[str]] = {
    "BIO": ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"],
    "BIOES": [f"{letter}-{kind}" for letter in "BIES" for kind in ("PER", "LOC")] + ["O"],
}


@pytest.mark.parametrize(
    ("tags", "scheme", "lenient", "strict"),
    [
        ("B-X I-X O B-Y", "BIO", [("X", 0, 2), ("Y", 3, 4)], [("X", 0, 2), ("Y", 3, 4)]),
        ("O I-X I-X B-X I-Y", "BIO", [("X", 1, 3), ("X", 3, 4), ("Y", 4, 5)], [("X", 3, 4)]),
        ("B-X E-X S-Y O", "BIOES", [("X", 0, 2), ("Y", 2, 3)], [("X", 0, 2), ("Y", 2, 3)]),
        ("B-X I-X O E-Y", "BIOES", [("X", 0, 2), ("Y", 3, 4)], []),
        ("B-X M-X E-X E-X B-Y", "BMES", [("X", 0, 3), ("X", 3, 4), ("Y", 4, 5)], [("X", 0, 3)]),
        ("B M E S B E", "BMES", [("", 0, 3), ("", 3, 4), ("", 4, 6)], [("", 0, 3), ("", 3, 4), ("", 4, 6)]),
        ("NN VB", "none", [], []),
    ],
)
def test_spans_are_read_from_tags(tags: str, scheme: Scheme, lenient: object, strict: object) -> None:
    assert spans_of(tags.split(), scheme) == lenient
    assert spans_of(tags.split(), scheme, strict=True) == strict


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
@pytest.mark.parametrize("strict", [False, True])
def test_scores_are_those_of_seqeval(scheme: Scheme, strict: bool) -> None:
    metrics = pytest.importorskip("seqeval.metrics")
    schemes = pytest.importorskip("seqeval.scheme")
    choose = random.Random(0)
    gold, found = (
        [[choose.choice(LABELS[scheme]) for _ in range(choose.randrange(1, 9))] for _ in range(60)] for _ in range(2)
    )
    found = [(a + b)[: len(b)] if choose.random() < 0.5 else b for a, b in zip(found, gold, strict=True)]
    found = [a + ["O"] * (len(b) - len(a)) for a, b in zip(found, gold, strict=True)]
    options = (
        {"mode": "strict", "scheme": schemes.IOB2 if scheme == "BIO" else schemes.IOBES, "zero_division": 0}
        if strict
        else {"zero_division": 0}
    )
    scores = tag_counts(gold, found, scheme, strict).scores()
    report = metrics.classification_report(gold, found, output_dict=True, **options)
    for mine, theirs in (("", "micro avg"), ("macro", "macro avg"), ("PER", "PER"), ("LOC", "LOC")):
        for measure, name in (("precision", "precision"), ("recall", "recall"), ("f1", "f1-score")):
            key = f"macro_{measure}" if mine == "macro" else f"{measure}_{mine}" if mine else measure
            assert scores[key] == pytest.approx(100 * report[theirs][name]), key
    assert 5 < scores["f1"] < 95


def test_samples_are_scored_at_once() -> None:
    counts = SpanCounts.of(
        [[("X", 0, 2)], [("Y", 0, 1), ("X", 3, 4)], []], [[("X", 0, 2)], [("Y", 0, 2)], [("X", 1, 2)]]
    )
    indices = np.array([[0, 1, 2], [0, 0, 0], [2, 2, 2], [1, 1, 0]])
    assert counts.statistic("f1")(indices) == pytest.approx([100 * 2 / 6, 100, 0, 100 * 2 / 8])
    assert counts.statistic("recall_X")(indices) == pytest.approx([50, 100, 0, 100 / 3])
    # of a sample only the kinds that it has: in the second and third there is no Y
    assert counts.statistic("macro_precision")(indices) == pytest.approx([25, 100, 0, 50])
    assert counts.scores()["f1"] == pytest.approx(100 * 2 / 6)


def test_nothing_there_and_nothing_found_scores_nothing() -> None:
    assert SpanCounts.of([[]], [[]]).scores() == dict.fromkeys(
        [f"{head}{name}" for head in ("", "macro_") for name in ("precision", "recall", "f1")], 0.0
    )


def test_a_measure_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="'f2' is not a measure of spans; expected one of precision, recall, f1"):
        SpanCounts.of([[]], [[]]).statistic("f2")


def test_sentences_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 sentences have spans, but for 1"):
        SpanCounts.of([[], []], [[]])


def test_accuracy_is_over_words() -> None:
    assert tag_accuracy([["A", "B", "C"], ["A"]], [["A", "B", "A"], ["A"]]) == 75


@pytest.mark.parametrize(
    ("labels", "scheme"),
    [
        (["O", "B-X", "I-X"], "BIO"),
        (["B-X", "I-X", "E-X", "S-X", "O"], "BIOES"),
        (["B-X", "I-X", "L-X", "U-X", "O"], "BIOES"),
        (["B-X", "M-X", "E-X", "S-X", "O"], "BMES"),
        (["B", "M", "E", "S"], "BMES"),
        (["NN", "VB", "O"], "none"),
        (["O"], "none"),
    ],
)
def test_the_scheme_is_seen(labels: list[str], scheme: str) -> None:
    assert scheme_of(labels) == scheme


@pytest.mark.parametrize("scheme", ["BIO", "BIOES", "BMES"])
def test_spans_come_back_from_their_tags(scheme: Scheme) -> None:
    spans = [TagSpan("X", 0, 1), TagSpan("X", 1, 4), TagSpan("Y-Z", 5, 7)]
    tags = tags_of(spans, 8, scheme)
    assert spans_of(tags, scheme) == spans == spans_of(tags, scheme, strict=True)
    allowed = transitions(sorted(set(tags)), scheme)
    numbers = [sorted(set(tags)).index(tag) for tag in tags]
    assert allowed.start[numbers[0]]
    assert allowed.pairs[numbers[:-1], numbers[1:]].all()
    assert allowed.end[numbers[-1]]


@pytest.mark.parametrize("scheme", ["BIO", "BIOES"])
def test_transitions_are_those_that_strict_reading_loses_nothing_of(scheme: Scheme) -> None:
    labels = LABELS[scheme]
    allowed = transitions(labels, scheme)
    for i, one in enumerate(labels):
        for j, other in enumerate(labels):
            ends = [tag for tag, may in zip(labels, allowed.end, strict=True) if may]
            if not (allowed.start[i] and other in ends):
                continue
            words = sum(tag != "O" for tag in (one, other))
            covered = sum(end - start for _, start, end in spans_of([one, other], scheme, strict=True))
            assert allowed.pairs[i, j] == (covered == words), (one, other)
