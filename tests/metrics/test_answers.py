import numpy as np
import pytest

from plmlight.metrics.answers import best_threshold, normalised, score_answers


def test_answers_are_compared_without_case_punctuation_and_articles() -> None:
    assert normalised("The  Cat's, an \t apple (a).") == "cats apple"
    assert normalised("theatre Anna") == "theatre anna"


@pytest.mark.parametrize(
    ("prediction", "answers", "exact", "f1"),
    [
        ("the Cat!", ["cat"], 1.0, 1.0),
        ("a black cat", ["the cat"], 0.0, 2 * 0.5 * 1 / 1.5),
        ("cat cat dog", ["cat dog dog"], 0.0, 2 / 3),  # each word counts as often as both have it
        ("dog", ["cat", "a big dog", "dogs"], 0.0, 2 / 3),
        ("dog", ["cat", "dog"], 1.0, 1.0),
        ("dog", ["cat"], 0.0, 0.0),
        ("the", ["a"], 1.0, 0.0),  # the first version's script: equal, but with no word in common
    ],
)
def test_squad(prediction: str, answers: list[str], exact: float, f1: float) -> None:
    scores = score_answers([prediction], [answers])
    assert scores.exact.tolist() == [exact]
    assert scores.f1.tolist() == [pytest.approx(f1)]


def test_squad_with_questions_that_have_no_answer() -> None:
    predictions = ["", "cat", "", "cat", "the"]
    scores = score_answers(predictions, [[], [], ["cat"], ["cat", "the"], ["the"]])
    assert scores.exact.tolist() == [1, 0, 0, 1, 1]  # an answer of articles alone is none
    assert scores.f1.tolist() == [1, 0, 0, 1, 1]
    means = scores.means()
    assert means["exact_match"].tolist() == [60.0]
    assert means["f1"].tolist() == [60.0]


@pytest.mark.parametrize(
    ("prediction", "answer", "exact", "f1"),
    [
        ("《红楼梦》", "红楼梦。", 1.0, 1.0),
        ("在红楼梦里", "红楼梦", 0.0, 2 * 3 / 8),
        ("红梦", "红楼梦", 0.0, 2 * 1 / 5),  # the longest part in common, not all characters
        ("Windows 95系统", "windows 95", 0.0, 2 * 2 / 6),
        ("天", "地", 0.0, 0.0),
        ("1,000.5元", "1,000.5", 0.0, 2 * 1 / 3),  # a number is one piece
        ("3.5.", "3.5", 0.0, 2 * 1 / 3),
        ("a,b", "a", 0.0, 2 * 1 / 4),
        ("红楼……", "红楼", 0.0, 2 * 2 / 5),  # an ellipsis is no sign that is left out
        ("红楼...", "红楼", 0.0, 2 * 2 / 5),
        ("don't", "do", 0.0, 2 * 1 / 3),  # do n't
        ("it's a book", "it's", 0.0, 2 * 2 / 6),  # it 's
        ("o'brien u.s. army", "o'brien", 0.0, 2 * 1 / 5),  # o'brien u.s . army
        ("50％的水", "50％", 0.0, 2 * 1 / 4),
        ("100℃", "100", 0.0, 0.0),  # one piece
        ("10%", "10", 0.0, 2 * 1 / 3),
    ],
)
def test_cmrc(prediction: str, answer: str, exact: float, f1: float) -> None:
    scores = score_answers([prediction], [["无", answer]], "cmrc")
    assert scores.exact.tolist() == [exact]
    assert scores.f1.tolist() == [pytest.approx(f1)]


def test_means_of_samples() -> None:
    scores = score_answers(["cat", "big dog"], [["cat"], ["dog"]])
    means = scores.means(np.array([[0, 1], [1, 1], [0, 0]]))
    assert means["exact_match"].tolist() == [50.0, 0.0, 100.0]
    assert means["f1"].tolist() == pytest.approx([100 * (1 + 2 / 3) / 2, 100 * 2 / 3, 100.0])


def test_the_best_threshold() -> None:
    differences = np.array([3.0, -1.0, 1.0, 1.0])
    answered, empty = np.array([0.0, 1.0, 0.6, 0.0]), np.array([1.0, 0.0, 0.0, 1.0])
    # answering the second alone is worth 3 of 4: the third and fourth go together, and together lose 0.4
    assert best_threshold(differences, answered, empty) == (0.0, 0.75)
    assert best_threshold(differences, 1 - answered, np.zeros(4))[0] > 3.0
    assert best_threshold(differences, np.zeros(4), np.ones(4))[0] < -1.0
