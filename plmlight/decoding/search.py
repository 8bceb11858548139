"""How a prompt's rows go on: one token after the other, or as a beam."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from plmlight.decoding.row import FinishReason, Hypothesis, Row


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What may come next in some rows.

    Attributes:
        scores: [R, K], of each row's best tokens, in no order that matters; -inf for a token that must not come.
            Logarithms of probabilities where the search is `Search.normalised`.
        tokens: [R, K], their ids.
        coverage: [R, S], where the search `Search.covers`; see `plmlight.decoding.Covering`.
        hidden: [R, T, D], where the search `Search.compares`; see `plmlight.decoding.Revealing`.
    """

    scores: np.ndarray
    tokens: np.ndarray
    coverage: np.ndarray | None = None
    hidden: np.ndarray | None = None

    def rows(self, rows: slice) -> Proposal:
        """That of some of the rows."""
        coverage = None if self.coverage is None else self.coverage[rows]
        hidden = None if self.hidden is None else self.hidden[rows]
        return Proposal(self.scores[rows], self.tokens[rows], coverage, hidden)


class Search(ABC):
    """The rows of the batch that belong to one answer, or to one beam search.

    Attributes:
        rows: the rows that still grow; none when the search is over.
        width: how many of the best tokens of each row it wants to know.
    """

    normalised: ClassVar[bool] = False
    """Whether it needs logarithms of probabilities."""
    rows: list[Row]
    width: int

    @property
    def covers(self) -> bool:
        """Whether it needs to know what of the source was attended to."""
        return False

    @property
    def compares(self) -> bool:
        """Whether it needs to know hidden states."""
        return False

    def uniform(self) -> float:
        """The next random number in [0, 1) of a row that samples; 0 for others."""
        return 0.0

    @abstractmethod
    def advance(self, proposal: Proposal) -> tuple[list[int], list[int]]:
        """Takes the next tokens.

        Args:
            proposal: what may come next in the rows.

        Returns:
            The rows to go on with, as indices into the present rows, and the token of each.
        """

    @abstractmethod
    def answers(self) -> list[Hypothesis]:
        """The finished answers, best first."""


class Single(Search):
    """One row that takes the best token: greedy decoding and sampling.

    Args:
        row: the row.
        key: what the row's random numbers are a function of, when it samples.
    """

    width = 1

    def __init__(self, row: Row, key: Sequence[int]) -> None:
        self.row = row
        self.rows = [row]
        self.reason: FinishReason | None = None
        self._random = np.random.default_rng(list(key)) if row.options.samples else None

    def uniform(self) -> float:
        """See `Search.uniform`."""
        return self._random.integers(1 << 23) / (1 << 23) if self._random else 0.0

    def advance(self, proposal: Proposal) -> tuple[list[int], list[int]]:
        """See `Search.advance`."""
        token = int(proposal.tokens[0, proposal.scores[0].argmax()])
        self.reason = self.row.append(token)
        if self.reason:
            self.rows = []
            return [], []
        return [0], [token]

    def answers(self) -> list[Hypothesis]:
        """See `Search.answers`."""
        assert self.reason, "the search is not over"
        return [self.row.hypothesis(self.reason)]


class Contrastive(Search):
    """Contrastive search (Su et al. 2022, arXiv:2202.06417, section 4.2): a likely token that is unlike what is there.

    The candidates are read by the model as rows of their own; then the best of them is kept, and its own candidates
    take the place of the others.

    Args:
        row: the row.
    """

    normalised = True

    def __init__(self, row: Row) -> None:
        self.row = row
        self.rows = [row]
        self.width = row.options.top_k
        self.reason: FinishReason | None = None
        self._reasons: list[FinishReason | None] = [None]
        self._probabilities = np.ones(1)
        self._context: np.ndarray | None = None  # [T, D], the directions of the hidden states so far

    @property
    def compares(self) -> bool:
        """See `Search.compares`."""
        return True

    def advance(self, proposal: Proposal) -> tuple[list[int], list[int]]:
        """See `Search.advance`."""
        assert proposal.hidden is not None, "contrastive search compares hidden states"
        chosen = 0
        if self._context is None:
            self._context = _directions(proposal.hidden[0, -len(self.row.prompt) :])
        else:
            found = _directions(proposal.hidden[:, -1])  # [K, D]
            alike = (found @ self._context.T).max(1)
            alpha = self.row.options.penalty_alpha
            chosen = int(((1 - alpha) * self._probabilities - alpha * alike).argmax())
            self._context = np.concatenate([self._context, found[chosen, None]])
            self.row, self.reason = self.rows[chosen], self._reasons[chosen]
        if self.reason:
            self.rows = []
            return [], []
        scores = proposal.scores[chosen]
        order = np.argsort(-scores, kind="stable")[: self.width]
        order = order[scores[order] > -np.inf]
        tokens = [int(token) for token in proposal.tokens[chosen, order]]
        self._probabilities = np.exp(scores[order])
        forks = [self.row.fork(token) for token in tokens]
        self.rows, self._reasons = [row for row, _ in forks], [reason for _, reason in forks]
        return [chosen] * len(tokens), tokens

    def answers(self) -> list[Hypothesis]:
        """See `Search.answers`."""
        assert self.reason, "the search is not over"
        return [self.row.hypothesis(self.reason)]


class Beam(Search):
    """Beam search, with the length penalty and the ways to end of Hugging Face ``generate``.

    The best ``num_beams`` continuations that are not finished go on; a continuation that ends becomes an answer when
    it is among the best ``num_beams`` of its step. Answers rank by log-probability / length ** length_penalty, and by
    what they leave of the source, where there is a coverage penalty: it can only be told when an answer is complete,
    and is never above 0, so a running beam is compared with the finished ones without it.

    Args:
        row: the prompt.
        beams: how many go on; ``num_beams`` by default.
    """

    normalised = True

    def __init__(self, row: Row, beams: int | None = None) -> None:
        self.options = row.options
        self.beams = row.options.num_beams if beams is None else beams
        self.rows = [row]
        self.width = (1 + max(1, len(row.options.eos_token_ids))) * self.beams
        self.sums = [0.0]  # each row's summed log-probability
        self.finished: list[tuple[float, Row, FinishReason]] = []

    @property
    def covers(self) -> bool:
        """See `Search.covers`."""
        return self.options.coverage_penalty > 0

    def advance(self, proposal: Proposal) -> tuple[list[int], list[int]]:
        """See `Search.advance`."""
        totals = proposal.scores + np.asarray(self.sums, dtype=proposal.scores.dtype)[:, None]  # [R, K]
        # of equals the first: that of the earlier row, or of a row the likelier token, then the one of the lower number
        order = np.argsort(-totals, axis=None, kind="stable")[: self.width]
        values, candidates = totals.take(order).tolist(), proposal.tokens.take(order).tolist()
        owners = (order // totals.shape[1]).tolist()
        parents: list[int] = []
        tokens: list[int] = []
        rows: list[Row] = []
        sums: list[float] = []
        for rank, (value, token, parent) in enumerate(zip(values, candidates, owners, strict=True)):
            if len(rows) >= self.beams <= rank or value == -np.inf:
                break
            row, reason = self.rows[parent].fork(token)
            if reason and rank < self.beams:
                self._finish(value, row, reason, None if proposal.coverage is None else proposal.coverage[parent])
            elif not reason and len(rows) < self.beams:
                parents.append(parent)
                tokens.append(token)
                rows.append(row)
                sums.append(value)
        self.rows, self.sums = rows, sums
        if self._is_over():
            self.rows = []
            return [], []
        return parents, tokens

    def answers(self) -> list[Hypothesis]:
        """See `Search.answers`."""
        return [row.hypothesis(why, score) for score, row, why in self.finished[: self.options.num_return_sequences]]

    def _finish(self, total: float, row: Row, reason: FinishReason, coverage: np.ndarray | None) -> None:
        score = total / len(row.tokens) ** self.options.length_penalty
        if self.covers:
            assert coverage is not None, "the coverage penalty needs the coverage"
            score += self.options.coverage_penalty * float(np.log(np.clip(coverage, _LEAST_COVERAGE, 1.0)).sum())
        self.finished.append((score, row, reason))

    def _is_over(self) -> bool:
        options = self.options
        full = len(self.finished) >= self.beams
        self.finished = sorted(self.finished, key=lambda answer: -answer[0])[: self.beams]
        if not self.rows or (full and options.early_stopping is True):
            return True
        length = len(self.rows[0].tokens)
        if options.early_stopping == "never" and options.length_penalty > 0:
            length = self.rows[0].limit
        return full and self.sums[0] / length**options.length_penalty <= self.finished[-1][0]


class DiverseBeams(Search):
    """Diverse beam search (Vijayakumar et al. 2018, arXiv:1610.02424, algorithm 1) with their Hamming diversity.

    Groups of beams take their tokens one group after the other; a token that earlier groups took at the same step costs
    ``diversity_penalty`` for each time, which stays in the sum. The answers are the best of all groups.

    Args:
        row: the prompt.
    """

    normalised = True

    def __init__(self, row: Row) -> None:
        self.options = row.options
        self.rows = [row]
        size = row.options.num_beams // row.options.num_beam_groups
        self.groups = [Beam(row, size) for _ in range(row.options.num_beam_groups)]
        # so many more, as the penalty falls on no more different tokens than there are beams
        self.width = self.groups[0].width + row.options.num_beams
        self._begun = False

    @property
    def covers(self) -> bool:
        """See `Search.covers`."""
        return self.groups[0].covers

    def advance(self, proposal: Proposal) -> tuple[list[int], list[int]]:
        """See `Search.advance`."""
        taken: Counter[int] = Counter()
        parents: list[int] = []
        tokens: list[int] = []
        first = 0
        for group in self.groups:
            count = len(group.rows)
            if not count:
                continue
            part = proposal.rows(slice(first, first + count))
            scores = part.scores.copy()
            for token, times in taken.items():
                scores[part.tokens == token] -= self.options.diversity_penalty * times
            kept, chosen = group.advance(dataclasses.replace(part, scores=scores))
            parents += [first + row for row in kept]
            tokens += chosen
            taken.update(chosen)
            first += count if self._begun else 0  # they all begin with the one row of the prompt
        self._begun = True
        self.rows = [row for group in self.groups for row in group.rows]
        return parents, tokens

    def answers(self) -> list[Hypothesis]:
        """See `Search.answers`."""
        finished = sorted((answer for group in self.groups for answer in group.finished), key=lambda one: -one[0])
        return [row.hypothesis(why, score) for score, row, why in finished[: self.options.num_return_sequences]]


_LEAST_COVERAGE = 1e-9
"""Attention that a float may round to 0, which has no logarithm."""


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors [N, D] at the length 1."""
    directions: np.ndarray = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return directions
