"""How a prompt's rows go on: one token after the other, or as a beam."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace

from plmlight.decoding.logits import best
from plmlight.decoding.model import Array
from plmlight.decoding.row import FinishReason, Hypothesis, Row


class Search(ABC):
    """The rows of the batch that belong to one answer, or to one beam search.

    Attributes:
        rows: the rows that still grow; none when the search is over.
    """

    rows: list[Row]

    def uniform(self) -> float:
        """The next random number in [0, 1) of a row that samples; 0 for others."""
        return 0.0

    @abstractmethod
    def advance(self, scores: Array, choices: list[int]) -> tuple[list[int], list[int]]:
        """Takes the next tokens.

        Args:
            scores: processed logits of the rows, [R, V].
            choices: for each row, the token that greedy decoding or sampling takes.

        Returns:
            The rows to go on with, as indices into the present rows, and the token of each.
        """

    @abstractmethod
    def answers(self) -> list[Hypothesis]:
        """The finished answers, best first."""


class Single(Search):
    """One row that takes the token chosen for it: greedy decoding and sampling.

    Args:
        row: the row.
        key: what the row's random numbers are a function of, when it samples.
    """

    def __init__(self, row: Row, key: Sequence[int]) -> None:
        self.row = row
        self.rows = [row]
        self.reason: FinishReason | None = None
        self._random = np.random.default_rng(list(key)) if row.options.samples else None

    def uniform(self) -> float:
        """See `Search.uniform`."""
        return self._random.integers(1 << 23) / (1 << 23) if self._random else 0.0

    def advance(self, scores: Array, choices: list[int]) -> tuple[list[int], list[int]]:
        """See `Search.advance`."""
        self.reason = self.row.append(choices[0])
        if self.reason:
            self.rows = []
            return [], []
        return [0], choices

    def answers(self) -> list[Hypothesis]:
        """See `Search.answers`."""
        assert self.reason, "the search is not over"
        return [self.row.hypothesis(self.reason)]


class Beam(Search):
    """Beam search, with the length penalty and the ways to end of Hugging Face ``generate``.

    The best ``num_beams`` continuations that are not finished go on; a continuation that ends becomes an answer when
    it is among the best ``num_beams`` of its step. Answers rank by log-probability / length ** length_penalty.
    """

    def __init__(self, row: Row) -> None:
        self.options = row.options
        self.rows = [row]
        self.sums = [0.0]  # each row's summed log-probability
        self.finished: list[tuple[float, Row, FinishReason]] = []

    def advance(self, scores: Array, choices: list[int]) -> tuple[list[int], list[int]]:
        """See `Search.advance`."""
        width = self.options.num_beams
        ends = max(1, len(self.options.eos_token_ids))
        xp = array_namespace(scores)
        totals = xp.stack([scores[row, ...] + self.sums[row] for row in range(len(self.rows))])
        values, places = best(xp.reshape(totals, (-1,)), (1 + ends) * width)
        parents: list[int] = []
        rows: list[Row] = []
        sums: list[float] = []
        for rank, (value, place) in enumerate(zip(values, places, strict=True)):
            parent, token = divmod(place, int(scores.shape[-1]))
            row, reason = self.rows[parent].fork(token)
            if reason and rank < width:
                self._finish(value, row, reason)
            elif not reason and len(rows) < width:
                parents.append(parent)
                rows.append(row)
                sums.append(value)
        self.rows, self.sums = rows, sums
        if self._is_over():
            self.rows = []
            return [], []
        return parents, [row.tokens[-1] for row in rows]

    def answers(self) -> list[Hypothesis]:
        """See `Search.answers`."""
        return [row.hypothesis(why, score) for score, row, why in self.finished[: self.options.num_return_sequences]]

    def _finish(self, total: float, row: Row, reason: FinishReason) -> None:
        score = total / len(row.tokens) ** self.options.length_penalty
        self.finished.append((score, row, reason))

    def _is_over(self) -> bool:
        options = self.options
        full = len(self.finished) >= options.num_beams
        self.finished = sorted(self.finished, key=lambda answer: -answer[0])[: options.num_beams]
        if not self.rows or (full and options.early_stopping is True):
            return True
        length = len(self.rows[0].tokens)
        if options.early_stopping == "never" and options.length_penalty > 0:
            length = self.rows[0].limit
        return full and self.sums[0] / length**options.length_penalty <= self.finished[-1][0]
