"""Classes of texts: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plmlight.decoding.analysis import OutputModel, Record, TextAnalyser, softmax, text_field
from plmlight.decoding.examples import TEXTS
from plmlight.text import nearest

SHOWN = 5
"""Classes that a person sees."""


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * logits.astype(np.float64)))  # no overflow on either side
    return found


_SCORES: dict[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "single-label": softmax,
    "multi-label": _sigmoid,
    "regression": lambda logits: logits.astype(np.float64),
}
"""What is said of each class, by the problem."""


@dataclass(frozen=True)
class Label:
    """A class and how likely it is.

    Attributes:
        label: its name.
        score: its probability; of a regression the number.
    """

    label: str
    score: float


class TextClassifier(TextAnalyser):
    """The classes of texts, or of pairs of texts; several labels of each; or a number.

    A request is ``{"text"}`` or ``{"text", "pair"}``. An answer is

    - of one class ``{"label", "score", "scores"}``: the likeliest class, its probability, and that of each, best first;
    - of any number of labels ``{"labels", "scores"}``: those whose probability reaches their threshold;
    - of a regression ``{"value"}``.

    Texts that are longer than the model reads are cut, or, where ``facts`` say so, read in windows whose answers are
    averaged; pairs are cut.

    Args:
        model: has the output ``logits`` [B, L].
        tokenizer: see `TextAnalyser`.
        facts: ``labels``, the names of the classes; ``problem`` (``single-label`` by default, ``multi-label``,
            ``regression``), ``thresholds`` of several labels, ``max_length``, the most tokens that are read, if fewer
            than the model can, and ``stride``, the tokens that windows share.

    Raises:
        ValueError: for facts that do not fit, or a problem that is not known.
    """

    does = "classifies texts"

    def __init__(self, model: OutputModel, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, facts)
        self.labels: list[str] = list(facts["labels"])
        self.problem: str = facts.get("problem", "single-label")
        if self.problem not in _SCORES:
            raise ValueError(f"problem {self.problem!r} is not known{nearest(self.problem, _SCORES)}")
        self.thresholds: list[float] = list(facts.get("thresholds") or [0.5] * len(self.labels))
        if len(self.thresholds) != len(self.labels):
            raise ValueError(f"there are {len(self.thresholds)} thresholds for {len(self.labels)} labels")
        self.stride: int | None = facts.get("stride")

    @classmethod
    def examples(cls) -> list[Record]:
        """Texts, two texts in one, and pairs, as a request has one decision alone; see `TextAnalyser.examples`."""
        following = list(zip(TEXTS, (*TEXTS[1:], TEXTS[0]), strict=True))
        joined: list[Record] = [{"text": f"{first} {second}"} for first, second in following]
        pairs: list[Record] = [{"text": first, "pair": second} for first, second in following]
        return [*super().examples(), *joined, *pairs]

    def classify(
        self, texts: Sequence[str | Sequence[str]], top_k: int | None = None, batch_size: int = 32
    ) -> list[list[Label]]:
        """Names the classes of texts.

        Args:
            texts: each a text, or a pair of two; what is longer than the model reads is cut.
            top_k: how many classes of each; all by default, whatever their thresholds.
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
        for scores in self._scores(given, batch_size):
            best = np.argsort(-scores, kind="stable")[:top_k]
            found.append([Label(self.labels[place], float(scores[place])) for place in best])
        return found

    def relevance(self, pairs: Sequence[tuple[str, str]], batch_size: int = 32) -> NDArray[np.float64]:
        """How well the second text of each pair answers the first, both read at once: a cross-encoder.

        As Nogueira and Cho rank passages (2019, arXiv:1901.04085).

        Args:
            pairs: [N], each a query and a document.
            batch_size: how many run together, similar lengths beside each other.

        Returns:
            [N]: the number of a regression, else the probability of the one label or the last of two.

        Raises:
            ValueError: for a model of more than two classes, or a pair without any token.
        """
        if len(self.labels) > 2 or (self.problem == "multi-label" and len(self.labels) > 1):
            raise ValueError(
                f"pairs are ranked by a number or by two classes of which the last is that of what is relevant, not by "
                f"the {len(self.labels)} labels {', '.join(self.labels[:3])}{', ...' if len(self.labels) > 3 else ''}"
            )
        return self._scores(list(pairs), batch_size)[:, -1] if pairs else np.zeros(0)

    def _scores(self, given: Sequence[Any], batch_size: int) -> NDArray[np.float64]:
        """What is said of each class of each text [N, L], the mean over its windows."""
        self.cutting.enable_truncation(self.length, stride=self.stride or 0)
        rows: list[Encoding] = []
        member: list[int] = []
        for number, (text, encoding) in enumerate(zip(given, self.cutting.encode_batch(given), strict=True)):
            if not encoding.ids:
                raise ValueError(f"request {number} has no tokens")
            rest = encoding.overflowing if self.stride is not None and isinstance(text, str) else []
            rows += [encoding, *rest]
            member += [number] * (1 + len(rest))
        totals = np.zeros((len(given), len(self.labels)))
        for number, row in zip(member, self.outputs(rows, batch_size), strict=True):
            totals[number] += _SCORES[self.problem](row["logits"])
        return totals / np.maximum(np.bincount(member, minlength=len(given)), 1)[:, None]

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """See `TextAnalyser.answers`."""
        texts = self.field(requests, "text")
        paired = [number for number, request in enumerate(requests) if request.get("pair") is not None]
        pairs = {number: text_field(requests[number], "pair", number) for number in paired}
        for number, text in [*enumerate(texts), *pairs.items()]:
            if not text.strip():
                raise ValueError(f"request {number}: the text is empty")
        given = [(text, pairs[number]) if number in pairs else text for number, text in enumerate(texts)]
        return [self._answer(found) for found in self.classify(given, batch_size=batch_size)]

    def _answer(self, found: Sequence[Label]) -> Record:
        if self.problem == "regression":
            return {"value": found[0].score}
        scores = {each.label: each.score for each in found}
        if self.problem == "multi-label":
            least = dict(zip(self.labels, self.thresholds, strict=True))
            return {"labels": [each.label for each in found if each.score >= least[each.label]], "scores": scores}
        return {"label": found[0].label, "score": found[0].score, "scores": scores}

    def show(self, request: Record, answer: Record) -> str:
        """A line a class, the likeliest ones or those that are said: its probability, and its name; or the number."""
        if self.problem == "regression":
            return f"{answer['value']:.4f}"
        if self.problem == "multi-label":
            return "\n".join(f"{answer['scores'][name]:.4f}  {name}" for name in answer["labels"]) or "no label"
        return "\n".join(f"{score:.4f}  {label}" for label, score in list(answer["scores"].items())[:SHOWN])

    def difference(self, found: Record, wanted: Record, tolerance: float) -> str:
        """See `TextAnalyser.difference`; what follows from scores is not compared, as two may be equally likely."""
        if self.problem == "regression":
            return super().difference(found, wanted, tolerance)
        return super().difference({"scores": found["scores"]}, {"scores": wanted["scores"]}, tolerance)
