"""How good answers to questions about a text are: exact match and F1, of words (SQuAD) or characters (CMRC)."""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

AnswerMetric = Literal["squad", "cmrc"]

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)
_CMRC_SIGNS = frozenset("-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
_CMRC_PIECES = re.compile(
    r"""
    [\u4e00-\u9fa5]
    | \.{2,}
    | n't\b | '(?:s|m|d|ll|re|ve)\b  # do n't, it 's
    | (?: (?!n't\b) [^\s\u4e00-\u9fa5\u2012-\u2015.,'"«»‘„?!;@#$%&()\[\]{}<>]
        | \.(?=[^\W\u4e00-\u9fa5]) | ,(?=\d)  # u.s, 1,000.5
        | (?<=\w)'(?=\w)(?!(?:s|m|d|ll|re|ve)\b)  # o'brien
      )+
    | \S
    """,
    re.VERBOSE,
)


@dataclass(frozen=True)
class AnswerScores:
    """What each question's answer is worth.

    Attributes:
        exact: [N], 1 where it matches one of the true answers.
        f1: [N], 0 to 1, against the true answer that it agrees with most.
    """

    exact: NDArray[np.float64]
    f1: NDArray[np.float64]

    def means(self, indices: NDArray[np.int64] | None = None) -> dict[str, NDArray[np.float64]]:
        """``exact_match`` and ``f1`` of samples of the questions, 0 to 100.

        Args:
            indices: [R, N]; by default all questions once.

        Returns:
            Each [R].
        """
        drawn = np.arange(len(self.exact))[None] if indices is None else indices
        return {
            "exact_match": 100 * self.exact[drawn].mean(-1),
            "f1": 100 * self.f1[drawn].mean(-1),
        }


def score_answers(
    predictions: Sequence[str], references: Sequence[Sequence[str]], metric: AnswerMetric = "squad"
) -> AnswerScores:
    """Compares answers with the true ones, of which a question may have several: the best one counts.

    ``squad``: exact match and F1 over words, without case, punctuation and articles (Rajpurkar et al. 2016,
    arXiv:1606.05250, section 6.1). Where a question of the set has no answer, all are scored as SQuAD 2 does
    (Rajpurkar et al. 2018, arXiv:1806.03822): no answer is right for those without one, and wrong for the others; true
    answers without any word are left out. ``cmrc``: the same over characters of Chinese and words of other scripts,
    without its list of signs; what two answers share is their longest common part (Cui et al. 2019, arXiv:1810.07366).
    The official script cuts words with NLTK, whose pieces these are but for a full stop before white space, which is
    always one by itself (``mr. smith``), quotes, whose sides are not told apart, a full stop or an apostrophe beside
    another sign, and ``cannot``, ``gonna`` and their like, which stay whole.

    Args:
        predictions: [N], "" where the model says that there is no answer.
        references: [N], the true answers of each; none where there is no answer.
        metric: which.

    Returns:
        The scores of each question.
    """
    compare = _squad if metric == "squad" else _cmrc
    unanswerable = any(not answers for answers in references)
    exact, f1 = np.zeros(len(predictions)), np.zeros(len(predictions))
    for number, (prediction, answers) in enumerate(zip(predictions, references, strict=True)):
        if unanswerable and metric == "squad":
            answers = [answer for answer in answers if normalised(answer)]
        if not answers:
            empty = not normalised(prediction) if metric == "squad" else not prediction
            exact[number] = f1[number] = float(empty)
            continue
        scores = [compare(prediction, answer, unanswerable) for answer in answers]
        exact[number], f1[number] = max(score[0] for score in scores), max(score[1] for score in scores)
    return AnswerScores(exact, f1)


def best_threshold(
    differences: NDArray[np.float64], answered: NDArray[np.float64], empty: NDArray[np.float64]
) -> tuple[float, float]:
    """The threshold of the null score that would have been best for a set.

    Args:
        differences: [N], how much the score of no answer exceeds that of the best span.
        answered: [N], what the best span is worth.
        empty: [N], what no answer is worth.

    Returns:
        The threshold above which there is no answer, and the mean worth with it. Of several the lowest.
    """
    order = np.argsort(differences, kind="stable")
    gains = np.concatenate([[0.0], np.cumsum((answered - empty)[order])])
    levels = differences[order]
    # a cut between equal differences is none
    possible = np.concatenate([[True], levels[1:] != levels[:-1], [True]]) if len(levels) else np.array([True])
    place = int(np.argmax(np.where(possible, gains, -np.inf)))
    worth = float((empty.sum() + gains[place]) / max(1, len(differences)))
    if place == 0:
        return (float(levels[0]) - 1.0 if len(levels) else 0.0), worth
    after = float(levels[place]) if place < len(levels) else float(levels[-1]) + 1.0
    return (float(levels[place - 1]) + after) / 2, worth


def normalised(answer: str) -> str:
    """An answer as SQuAD compares it: lower case, no punctuation, no articles, one space between words."""
    return " ".join(_ARTICLES.sub(" ", answer.lower().translate(_PUNCTUATION)).split())


def _squad(prediction: str, answer: str, unanswerable: bool) -> tuple[float, float]:
    ours, theirs = normalised(prediction), normalised(answer)
    mine, gold = ours.split(), theirs.split()
    if unanswerable and not (mine and gold):
        return float(ours == theirs), float(mine == gold)
    return float(ours == theirs), _f1(sum((Counter(mine) & Counter(gold)).values()), len(mine), len(gold))


def _cmrc(prediction: str, answer: str, unanswerable: bool) -> tuple[float, float]:
    ours, theirs = (_without_signs(text) for text in (prediction, answer))
    mine, gold = _CMRC_PIECES.findall(ours), _CMRC_PIECES.findall(theirs)
    return float(ours == theirs), _f1(_longest_common_part(mine, gold), len(mine), len(gold))


def _f1(shared: int, mine: int, gold: int) -> float:
    return 2 * shared / (mine + gold) if shared else 0.0


def _without_signs(text: str) -> str:
    return "".join(character for character in text.lower().strip() if character not in _CMRC_SIGNS)


def _longest_common_part(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest run of pieces that both have."""
    longest, lengths = 0, [0] * (len(other) + 1)  # of the common runs that end at each place
    for piece in one:
        before = 0
        for place, theirs in enumerate(other, 1):
            lengths[place], before = (before + 1 if piece == theirs else 0), lengths[place]
            longest = max(longest, lengths[place])
    return longest
