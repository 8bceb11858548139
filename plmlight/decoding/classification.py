"""Classes of texts: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from plmlight.decoding.analysis import OutputModel, Record, TextAnalyser, softmax

SHOWN = 5
"""Classes that a person sees."""


@dataclass(frozen=True)
class Label:
    """A class and how likely it is.

    Attributes:
        label: its name.
        score: its probability.
    """

    label: str
    score: float


class TextClassifier(TextAnalyser):
    """The classes of texts, or of pairs of texts.

    A request is ``{"text"}`` or ``{"text", "pair"}``, an answer ``{"label", "score", "scores"}``: the likeliest class,
    its probability, and that of each class, best first.

    Args:
        model: has the output ``logits`` [B, L].
        tokenizer: see `TextAnalyser`.
        facts: ``labels``, the names of the classes.
    """

    does = "classifies texts"

    def __init__(self, model: OutputModel, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, facts)
        self.labels: list[str] = list(facts["labels"])

    def classify(
        self, texts: Sequence[str | Sequence[str]], top_k: int | None = None, batch_size: int = 32
    ) -> list[list[Label]]:
        """Names the classes of texts.

        Args:
            texts: each a text, or a pair of two; what is longer than the model reads is cut.
            top_k: how many classes of each; all by default.
            batch_size: how many run together, similar lengths beside each other.

        Returns:
            For each text its classes, the likeliest first.

        Raises:
            ValueError: for a text without any token, or a ``top_k`` or batch size below 1.
        """
        if isinstance(texts, str):
            raise ValueError("a list of texts was expected: put brackets around the one text")
        if top_k is not None and top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        given: list[Any] = [text if isinstance(text, str) else tuple(text) for text in texts]
        wrong = [number for number, text in enumerate(given) if isinstance(text, tuple) and len(text) != 2]
        if wrong:
            raise ValueError(f"text {wrong[0]}: expected a text or two of them, not {len(given[wrong[0]])}")
        found = []
        for row in self.outputs(self.cutting.encode_batch(given), batch_size):
            scores = softmax(row["logits"])
            best = np.argsort(-scores, kind="stable")[:top_k]
            found.append([Label(self.labels[place], float(scores[place])) for place in best])
        return found

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """See `TextAnalyser.answers`."""
        texts = self.field(requests, "text")
        paired = [number for number, request in enumerate(requests) if request.get("pair") is not None]
        pairs = dict(zip(paired, self.field([requests[number] for number in paired], "pair"), strict=True))
        given = [(text, pairs[number]) if number in pairs else text for number, text in enumerate(texts)]
        return [
            {"label": best[0].label, "score": best[0].score, "scores": {each.label: each.score for each in best}}
            for best in self.classify(given, batch_size=batch_size)
        ]

    def show(self, request: Record, answer: Record) -> str:
        """A line a class, the likeliest ones: its probability, and its name."""
        return "\n".join(f"{score:.4f}  {label}" for label, score in list(answer["scores"].items())[:SHOWN])

    def difference(self, found: Record, wanted: Record, tolerance: float) -> str:
        """See `TextAnalyser.difference`; which class comes first is not compared, as two may be equally likely."""
        return super().difference({"scores": found["scores"]}, {"scores": wanted["scores"]}, tolerance)
