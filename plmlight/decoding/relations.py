"""Relations between entities of a text: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from plmlight.decoding.analysis import OutputModel, Record, TextAnalyser, softmax
from plmlight.decoding.entities import MarkedText, MarkedTokens, marked_tokens, read_marked

_EXAMPLES = (
    "The <e1>storm</e1> caused a <e2>flood</e2> in the valley.",
    "The <e1>flood</e1> was caused by a heavy <e2>storm</e2>.",
    "The <e1>wheel</e1> of the <e2>cart</e2> is broken.",
    "She put the <e1>letters</e1> into a <e2>drawer</e2>.",
    "The <e1>carpenter</e1> works with an old <e2>plane</e2>.",
    "A <e1>swarm</e1> of <e2>bees</e2> came out of the tree.",
    "The <e2>company</e2> makes <e1>shoes</e1> for children.",
    "The <e1>book</e1> is about the <e2>war</e2>.",
    "<e1>Refugees</e1> from the <e2>city</e2> arrived at the border.",
    "He was born in <e2>Lima</e2>, as his friend <e1>Pedro</e1> was.",
    "<e1>北京</e1>是<e2>中国</e2>的首都。",
    "<e2>曹雪芹</e2>写了<e1>红楼梦</e1>。",
    "<e1>大雨</e1>引起了<e2>洪水</e2>。",
)
SHOWN = 3
"""Relations that a person sees."""


@dataclass(frozen=True)
class Relation:
    """What two entities are to each other.

    Attributes:
        label: the relation; its direction is part of it.
        score: how likely it is.
        head: the text of the first entity.
        tail: the text of the second.
    """

    label: str
    score: float
    head: str
    tail: str


class RelationExtractor(TextAnalyser):
    """The relation between two entities of a text.

    A request is ``{"text"}`` with ``<e1>..</e1>`` and ``<e2>..</e2>`` in it, or ``{"text", "head": [start, end],
    "tail": [start, end]}``, in characters; an answer ``{"label", "score", "scores"}``: the likeliest relation, its
    probability, and that of each, best first.

    Args:
        model: has the output ``logits`` [B, L].
        tokenizer: see `TextAnalyser`.
        facts: of `plmlight.tasks.RelationExtraction`.
    """

    does = "finds the relation between two entities of a text"

    def __init__(self, model: OutputModel, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, facts)
        self.labels: list[str] = list(facts["labels"])
        self.plain = Tokenizer.from_str(self.cutting.to_str())
        self.plain.no_truncation()

    @classmethod
    def examples(cls) -> list[Record]:
        """See `TextAnalyser.examples`."""
        return [{"text": text} for text in _EXAMPLES]

    def extract(self, texts: Sequence[str | Record], batch_size: int = 32) -> list[Relation]:
        """Finds relations.

        Args:
            texts: each with tags in it, or a request.
            batch_size: how many run together, similar lengths beside each other.

        Returns:
            The likeliest relation of each.

        Raises:
            ValueError: for a text whose entities are missing, nested, empty, or too far apart, or that has a marker.
        """
        if isinstance(texts, str):
            raise ValueError("a list of texts was expected: put brackets around the one text")
        given = self._marked([{"text": text} if isinstance(text, str) else text for text in texts])
        return [
            Relation(*best[0], *marked.entities)
            for marked, best in zip(given, self._scores(given, batch_size), strict=True)
        ]

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """See `TextAnalyser.answers`."""
        return [
            {"label": best[0][0], "score": best[0][1], "scores": dict(best)}
            for best in self._scores(self._marked(requests), batch_size)
        ]

    def refusals(self, requests: Sequence[Record]) -> list[str | None]:
        """See `TextAnalyser.refusals`: entities may be too far apart, or the text have a marker."""
        return [row if isinstance(row, str) else None for row in self._rows(self._marked(requests))]

    def show(self, request: Record, answer: Record) -> str:
        """A line a relation, the likeliest ones: its probability, the relation, the entities."""
        head, tail = read_marked(request).entities
        shown = list(answer["scores"].items())[:SHOWN]
        return "\n".join(f"{score:.4f}  {label}  e1 {head!r}, e2 {tail!r}" for label, score in shown)

    def difference(self, found: Record, wanted: Record, tolerance: float) -> str:
        """See `TextAnalyser.difference`; which relation comes first is not compared, as two may be equally likely."""
        return super().difference({"scores": found["scores"]}, {"scores": wanted["scores"]}, tolerance)

    def _marked(self, requests: Sequence[Record]) -> list[MarkedText]:
        found = []
        for number, request in enumerate(requests):
            try:
                found.append(read_marked(request))
            except ValueError as error:
                raise ValueError(f"request {number}: {error}") from None
        return found

    def _rows(self, texts: Sequence[MarkedText]) -> list[MarkedTokens | str]:
        return marked_tokens(self.plain, texts, self.facts["markers"], self.length)

    def _scores(self, texts: Sequence[MarkedText], batch_size: int) -> list[list[tuple[str, float]]]:
        rows: list[MarkedTokens] = []
        for number, row in enumerate(self._rows(texts)):
            if isinstance(row, str):
                raise ValueError(f"request {number}: {row}")
            rows.append(row)
        found = []
        for output in self.outputs(rows, batch_size):
            scores = softmax(output["logits"])
            order = np.argsort(-scores, kind="stable")
            found.append([(self.labels[place], float(scores[place])) for place in order])
        return found
