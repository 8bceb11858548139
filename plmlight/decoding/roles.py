"""The roles of a predicate's arguments: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from plmlight.decoding.analysis import OutputModel, Record, TextAnalyser, softmax
from plmlight.decoding.predicates import Clause, ClauseReader, ClauseRow, read_clause
from plmlight.decoding.tagging import TaggedSpan, decided, shown, tagged_spans
from plmlight.text.tagging import OUTSIDE, Scheme, transitions
from plmlight.text.word_rows import Unit

_EXAMPLES = (
    "She [gave] the keys to her brother yesterday.",
    "She [forgot] where she had left the keys to the house.",
    "She forgot where she had [left] the keys to the house.",
    "Prices [rose] by three percent in the last quarter, the bank said on Monday.",
    "Prices rose by three percent in the last quarter, the bank [said] on Monday.",
    "The children who [played] in the garden did not hear the rain.",
    "The letter was [written] by a man whom nobody knew.",
    "Will you [come] to the city with me in the morning?",
    "Water [boils] at one hundred degrees.",
    "他们昨天在上海[开]了一个会。",
    "这本书我[看]了三遍。",
)


class RoleLabeller(TextAnalyser):
    """The arguments of a predicate: who did what to whom, when and where.

    A request is ``{"text": "She [gave] it away."}``, with the predicate in brackets; ``{"text", "predicate"}``, with
    the word itself or ``[start, end]`` in characters; or ``{"tokens": [...], "predicate": 1}``, with the number of its
    word. An answer is ``{"spans", "tags"}``: the arguments and the predicate itself (``text start end label score``
    each), and a tag for each word, BIO. A text is cut into words, Chinese into characters: give ``tokens`` where the
    task was trained on Chinese words. Of what is longer than the model reads, words far from the predicate have no
    role.

    Args:
        model: has the output ``logits`` [B, T, L].
        tokenizer: see `TextAnalyser`.
        facts: of `plmlight.tasks.SemanticRoleLabelling`.
    """

    does = "labels the roles of a predicate's arguments"

    def __init__(self, model: OutputModel, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, facts)
        self.labels: list[str] = list(facts["labels"])
        self.scheme: Scheme = facts["scheme"]
        self.unit: Unit = facts["unit"]
        self._allowed = transitions(self.labels, self.scheme) if facts["constrained"] else None
        self._reader = ClauseReader(tokenizer, facts["markers"], self.length)

    @classmethod
    def examples(cls) -> list[Record]:
        """See `TextAnalyser.examples`."""
        words = ["Nobody", "knows", "what", "the", "old", "man", "saw", "."]
        return [*({"text": text} for text in _EXAMPLES), {"tokens": words, "predicate": 6}]

    def label(self, sentences: Sequence[str | Record], batch_size: int = 32) -> list[list[TaggedSpan]]:
        """Finds arguments.

        Args:
            sentences: each a text with its predicate in brackets, or a request.
            batch_size: how many run together, similar lengths beside each other.

        Returns:
            For each the arguments of its predicate, in order, with itself.

        Raises:
            ValueError: for a sentence without words, or without one predicate.
        """
        if isinstance(sentences, str):
            raise ValueError("a list of sentences was expected: put brackets around the one sentence")
        requests = [{"text": sentence} if isinstance(sentence, str) else sentence for sentence in sentences]
        return [spans for spans, _ in self._labelled(requests, batch_size)]

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """See `TextAnalyser.answers`."""
        found = self._labelled(requests, batch_size)
        return [{"spans": [asdict(span) for span in spans], "tags": tags} for spans, tags in found]

    def show(self, request: Record, answer: Record) -> str:
        """A line an argument: its role, where it is, and its text."""
        return shown(answer["spans"])

    def _labelled(self, requests: Sequence[Record], batch_size: int) -> list[tuple[list[TaggedSpan], list[str]]]:
        clauses = [self._clause(number, request) for number, request in enumerate(requests)]
        rows: list[ClauseRow] = []
        for number, row in enumerate(self._reader.read([(clause.words, clause.predicate) for clause in clauses])):
            if isinstance(row, str):
                raise ValueError(f"request {number}: {row}")
            rows.append(row)
        found = []
        for clause, row, outputs in zip(clauses, rows, self.outputs(rows, batch_size), strict=True):
            words = slice(row.first, row.first + len(row.starts))
            chosen = decided(outputs, row.starts, self._allowed)
            tags, scores = np.full(len(clause.words), self.labels.index(OUTSIDE)), np.ones(len(clause.words))
            tags[words] = chosen
            scores[words] = softmax(outputs["logits"][row.starts])[np.arange(len(chosen)), chosen]
            names = [self.labels[number] for number in tags]
            spans = tagged_spans(clause.text, clause.words, clause.offsets, names, scores.tolist(), self.scheme)
            found.append((spans, names))
        return found

    def _clause(self, number: int, request: Record) -> Clause:
        try:
            return read_clause(request, self.unit)
        except ValueError as error:
            raise ValueError(f"request {number}: {error}") from None
