"""Answers to questions about a text: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmlight.decoding.analysis import Record, TextAnalyser
from plmlight.decoding.spans import QuestionWindow, best_spans, question_windows

_CONTEXTS = {
    "The lighthouse on the northern cape was built in 1874 by the engineer Clara Berg. It is forty metres high, and "
    "its lamp can be seen from a distance of thirty kilometres. Since 1990 nobody has lived in it.": (
        "When was the lighthouse built?",
        "Who built the lighthouse?",
        "How high is it?",
        "Since when has nobody lived there?",
    ),
    "Green tea came to Japan from China in the ninth century, when monks brought the seeds home. Today most of it "
    "grows around Shizuoka.": (
        "Who brought tea to Japan?",
        "Where does most of the tea grow today?",
        "What is the price of tea?",
    ),
    "长江全长六千三百公里，是亚洲最长的河流。它发源于青藏高原，在上海流入东海。": (
        "长江有多长？",
        "长江发源于哪里？",
        "长江在哪里流入东海？",
    ),
    "《红楼梦》是清代作家曹雪芹写的长篇小说，全书一百二十回。": ("《红楼梦》的作者是谁？", "全书有多少回？"),
}


@dataclass(frozen=True)
class Answer:
    """A part of a context that may answer a question.

    Attributes:
        text: the part, as it stands there; empty for no answer.
        score: how likely it is in its window, by its first and its last token.
        start: where it begins in the context, in characters; None for no answer.
        end: where it ends.
    """

    text: str
    score: float
    start: int | None
    end: int | None


class QuestionAnswerer(TextAnalyser):
    """Answers questions with parts of a text, their context.

    A request is ``{"question", "context"}``, an answer ``{"answer", "score", "start", "end"}``: the best one, and where
    it stands in the context; "" and nulls where there is none. Long contexts are read in windows.

    Args:
        model: has the outputs ``start_logits`` and ``end_logits``, each [B, T].
        tokenizer: see `TextAnalyser`.
        facts: of `plmlight.tasks.QuestionAnswering`.
    """

    does = "answers questions about texts"

    @classmethod
    def examples(cls) -> list[Record]:
        """See `TextAnalyser.examples`."""
        return [
            {"question": question, "context": context}
            for context, questions in _CONTEXTS.items()
            for question in questions
        ]

    def request(self, text: str) -> Record:
        """See `TextAnalyser.request`.

        Raises:
            ValueError: always: a question needs its context.
        """
        raise ValueError(
            'a text alone is no question about a text: give --question and --context, or {"question", "context"} a line'
        )

    def answer(self, question: str, context: str, n_best: int = 1) -> list[Answer]:
        """Answers a question.

        Args:
            question: the question.
            context: the text that it is about.
            n_best: how many answers.

        Returns:
            The best first; that there is none is one of them, for a model that has learned it.

        Raises:
            ValueError: for a question or context without text, a question that leaves no room for the context, or
                ``n_best`` below 1.
        """
        (found,) = self._find([{"question": question, "context": context}], n_best, 32)
        return found

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """See `TextAnalyser.answers`."""
        return [
            {"answer": best.text, "score": best.score, "start": best.start, "end": best.end}
            for best, *_ in self._find(requests, 1, batch_size)
        ]

    def refusals(self, requests: Sequence[Record]) -> list[str | None]:
        """See `TextAnalyser.refusals`: a question may leave no room for its context."""
        return [found if isinstance(found, str) else None for found in self._windows(self._pairs(requests))]

    def show(self, request: Record, answer: Record) -> str:
        """A line: how likely the answer is, and the answer."""
        return f"{answer['score']:.4f}  {answer['answer'] or '(no answer)'}"

    def difference(self, found: Record, wanted: Record, tolerance: float) -> str:
        """See `TextAnalyser.difference`; of two answers that are equally likely either may be the best."""
        same = found.get("answer") == wanted.get("answer")
        keys = wanted if same else ("score",)
        told = super().difference({key: found[key] for key in keys}, {key: wanted[key] for key in keys}, tolerance)
        return told if same or not told else f"answer: {found['answer']!r} instead of {wanted['answer']!r}"

    def _find(self, requests: Sequence[Record], n_best: int, batch_size: int) -> list[list[Answer]]:
        if n_best < 1:
            raise ValueError(f"n_best must be at least 1, not {n_best}")
        pairs = self._pairs(requests)
        windows: list[QuestionWindow] = []
        owners: list[int] = []
        for number, found in enumerate(self._windows(pairs)):
            if isinstance(found, str):
                raise ValueError(f"request {number}: {found}")
            windows += found
            owners += [number] * len(found)
        outputs = self.outputs(windows, batch_size)
        rows: list[list[tuple[QuestionWindow, dict[str, NDArray[Any]]]]] = [[] for _ in pairs]
        for owner, window, output in zip(owners, windows, outputs, strict=True):
            rows[owner].append((window, output))
        return [self._best(context, row, n_best) for (_, context), row in zip(pairs, rows, strict=True)]

    def _pairs(self, requests: Sequence[Record]) -> list[tuple[str, str]]:
        """Each question and its context."""
        pairs = list(zip(self.field(requests, "question"), self.field(requests, "context"), strict=True))
        for number, pair in enumerate(pairs):
            if not all(text.strip() for text in pair):
                raise ValueError(f"request {number}: the {'context' if pair[0].strip() else 'question'} is empty")
        return pairs

    def _windows(self, pairs: Sequence[tuple[str, str]]) -> list[list[QuestionWindow] | str]:
        return question_windows(self.cutting, pairs, self.length, int(self.facts.get("stride") or 0))

    def _best(
        self, context: str, windows: Sequence[tuple[QuestionWindow, Mapping[str, NDArray[Any]]]], n_best: int
    ) -> list[Answer]:
        best: dict[tuple[int, int], tuple[float, float]] = {}  # a span's score, and how likely it is in its window
        none = (np.inf, 0.0)
        for window, output in windows:
            length = len(window.ids)
            start, end = output["start_logits"][:length], output["end_logits"][:length]
            allowed = window.ends > window.starts
            allowed[0] = True
            whole = _log_sum(start[allowed]) + _log_sum(end[allowed])
            longest = int(self.facts.get("max_answer_tokens") or 30)
            for score, *place in best_spans(start, end, window.starts, window.ends, longest, n_best):
                span = (place[0], place[1])
                if score > best.get(span, (-np.inf,))[0]:
                    best[span] = score, float(np.exp(score - whole))
            null = float(start[0] + end[0])
            none = min(none, (null, float(np.exp(null - whole))))
        ordered = sorted(best.items(), key=lambda entry: (-entry[1][0], entry[0]))
        found = [Answer(context[s:e], likely, s, e) for (s, e), (_, likely) in ordered]
        threshold = self.facts.get("null_threshold")
        if threshold is not None or not found:
            level = none[0] - (threshold or 0.0)
            found.insert(sum(score >= level for _, (score, _) in ordered), Answer("", none[1], None, None))
        return found[:n_best]


def _log_sum(logits: NDArray[Any]) -> float:
    wide = logits.astype(np.float64)
    return float(wide.max() + np.log(np.exp(wide - wide.max()).sum()))
