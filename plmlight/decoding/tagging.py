"""Tags of words, and the spans that they mark: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding.analysis import OutputModel, Record, TextAnalyser, softmax
from plmlight.decoding.examples import TEXTS
from plmlight.text.tagging import FORBIDDEN, Scheme, TagSpan, Transitions, spans_of, transitions
from plmlight.text.word_rows import Offsets, Unit, WordReader, join_words, split_words


@dataclass(frozen=True)
class TaggedSpan:
    """A part of a text, and what it is.

    Attributes:
        text: the part.
        start: where it begins in the text, in characters; of a sentence given as words, the number of its first word.
        end: where it ends.
        label: what it is.
        score: the mean over its words of how likely each one's tag is by itself.
    """

    text: str
    start: int
    end: int
    label: str
    score: float


def best_tags(scores: NDArray[Any], allowed: Transitions) -> NDArray[np.int64]:
    """The tags of a sentence with the highest sum of scores among those that may follow each other (Viterbi 1967).

    Args:
        scores: [T, L], as logarithms of probabilities, at least one word.
        allowed: which tags may follow each other. Where no sequence is allowed, the one that breaks least.

    Returns:
        [T].
    """
    start, pairs, end = (np.where(table, 0.0, FORBIDDEN) for table in allowed)
    worth = start + scores[0]
    sources = np.zeros(scores.shape, np.int64)
    for place in range(1, len(scores)):
        paths = worth[:, None] + pairs
        sources[place] = paths.argmax(0)
        worth = paths.max(0) + scores[place]
    tags = np.zeros(len(scores), np.int64)
    tags[-1] = (worth + end).argmax()
    for place in range(len(scores) - 1, 0, -1):
        tags[place - 1] = sources[place, tags[place]]
    return tags


def decided(
    outputs: Mapping[str, NDArray[Any]], places: Sequence[int] | NDArray[np.int64], allowed: Transitions | None
) -> NDArray[np.int64]:
    """The tags of a row's words.

    Args:
        outputs: of a row: ``logits`` [T, L], and ``tags`` [T] where the graph has decided itself.
        places: where the words' first tokens are.
        allowed: which tags may follow each other; None for the best of each word by itself.

    Returns:
        A tag's number for each of ``places``.
    """
    places = np.asarray(places, np.int64)
    if "tags" in outputs:
        chosen: NDArray[np.int64] = outputs["tags"][places].astype(np.int64)
        return chosen
    scores = outputs["logits"][places].astype(np.float64)
    if allowed is None or not len(places):
        best: NDArray[np.int64] = scores.argmax(-1)
        return best
    return best_tags(np.log(np.maximum(softmax(scores), 1e-30)), allowed)


def stitched(
    rows: Sequence[tuple[int, NDArray[np.int64]]], allowed: Transitions | None
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tags of a sentence out of those of its rows, which share words.

    From each row to the next it changes within what they share: where the tags may follow each other, and as near the
    middle as can be, so that each word has been seen with others on both sides.

    Args:
        rows: the number of the first word, and the tags of all words, in order.
        allowed: which tags may follow each other; None for all.

    Returns:
        The tag of each word, and from which row it is.
    """
    first, tags = rows[0]
    assert first == 0
    owner = np.zeros(len(tags), np.int64)
    for number, (first, more) in enumerate(rows[1:], 1):
        middle = (first + len(tags)) / 2
        changes = sorted(range(first, len(tags) + 1), key=lambda place: abs(place - middle))
        changes = [place for place in changes if 0 < place < first + len(more)]
        fits = [place for place in changes if allowed is None or allowed.pairs[tags[place - 1], more[place - first]]]
        change = (fits or changes)[0]
        tags = np.concatenate([tags[:change], more[change - first :]])
        owner = np.concatenate([owner[:change], np.full(len(tags) - change, number)])
    return tags, owner


class Tagger(TextAnalyser):
    """The tags of words: entities, parts of speech, the words of Chinese.

    A request is ``{"text"}``, or ``{"tokens": [...]}`` where the words are known. An answer is ``{"spans", "tags"}``:
    what was found (``text start end label score`` each), and a tag for each word. Without a scheme such as BIO each
    word is a span. Texts are cut into the words, or characters, that the task was trained on; what is longer than the
    model reads is read in parts.

    Args:
        model: has the output ``logits`` [B, T, L], perhaps ``tags`` [B, T].
        tokenizer: see `TextAnalyser`.
        facts: ``labels``, the names of the tags; ``scheme``; ``unit``; ``constrained``, whether only tags that may
            follow each other are given; ``max_length``, the most tokens of a part, if fewer than the model reads.
    """

    does = "tags words"

    def __init__(self, model: OutputModel, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        super().__init__(model, tokenizer, facts)
        self.labels: list[str] = list(facts["labels"])
        self.scheme: Scheme = facts["scheme"]
        self.unit: Unit = facts["unit"]
        self._allowed = transitions(self.labels, self.scheme) if facts["constrained"] else None
        self._reader = WordReader(tokenizer, self.length)

    @classmethod
    def examples(cls) -> list[Record]:
        """See `TextAnalyser.examples`."""
        return [*({"text": text} for text in TEXTS), {"tokens": ["John", "Smith", "lives", "in", "Paris", "."]}]

    def tag(self, texts: Sequence[str | Sequence[str]], batch_size: int = 32) -> list[list[TaggedSpan]]:
        """Finds spans.

        Args:
            texts: each a text, or the words of one.
            batch_size: how many rows run together, similar lengths beside each other.

        Returns:
            For each text what was found in it, in order.

        Raises:
            ValueError: for a text without any word, or a batch size below 1.
        """
        if isinstance(texts, str):
            raise ValueError("a list of texts was expected: put brackets around the one text")
        return [spans for spans, _ in self._tagged(texts, batch_size)]

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """See `TextAnalyser.answers`."""
        given = [_given(number, request) for number, request in enumerate(requests)]
        return [
            {"spans": [asdict(span) for span in spans], "tags": tags} for spans, tags in self._tagged(given, batch_size)
        ]

    def _tagged(
        self, texts: Sequence[str | Sequence[str]], batch_size: int
    ) -> list[tuple[list[TaggedSpan], list[str]]]:
        read = [_words(number, text, self.unit) for number, text in enumerate(texts)]
        rows = self._reader.read([words for words, _ in read])
        flat = [row for sentence in rows for row in sentence]
        marks = [{"word_mask": _marks(row.starts, len(row.encoding.ids))} for row in flat]
        found = iter(self.outputs([row.encoding for row in flat], batch_size, marks))
        answers = []
        for text, (words, offsets), sentence in zip(texts, read, rows, strict=True):
            parts = [next(found) for _ in sentence]
            chosen = [
                (row.first, decided(part, row.starts, self._allowed)) for row, part in zip(sentence, parts, strict=True)
            ]
            numbers, owner = stitched(chosen, self._allowed)
            scores = [
                float(softmax(parts[number]["logits"][sentence[number].starts[word - sentence[number].first]])[tag])
                for word, (tag, number) in enumerate(zip(numbers, owner, strict=True))
            ]
            tags = [self.labels[number] for number in numbers]
            answers.append((tagged_spans(text, words, offsets, tags, scores, self.scheme), tags))
        return answers

    def show(self, request: Record, answer: Record) -> str:
        """A line a span: its label, where it is, and its text."""
        return shown(answer["spans"])


def tagged_spans(
    text: str | Sequence[str],
    words: Sequence[str],
    offsets: Offsets | None,
    tags: Sequence[str],
    scores: Sequence[float],
    scheme: Scheme,
) -> list[TaggedSpan]:
    """What the tags of a sentence mark.

    Args:
        text: the sentence, or its words.
        words: its words.
        offsets: where they are in the text, where it is one.
        tags: of each word.
        scores: how likely each tag is by itself.
        scheme: how tags mark spans; without one each word is a span.

    Returns:
        The spans, in order.
    """
    if scheme == "none":
        spans = [TagSpan(tag, place, place + 1) for place, tag in enumerate(tags)]
    else:
        spans = spans_of(tags, scheme)
    found = []
    for kind, first, last in spans:
        if offsets is not None:
            start, end = offsets[first][0], offsets[last - 1][1]
            part = str(text[start:end])
        else:
            (start, end), (part, _) = (first, last), join_words(words[first:last])
        found.append(TaggedSpan(part, start, end, kind, float(np.mean(scores[first:last]))))
    return found


def shown(spans: Sequence[Record]) -> str:
    """Spans of an answer for a person: a line each, its label, where it is, and its text."""
    lines = [f"{span['score']:.4f}  {span['label']}  {span['start']}-{span['end']}  {span['text']}" for span in spans]
    return "\n".join(lines) or "nothing was found"


def _words(number: int, text: str | Sequence[str], unit: Unit) -> tuple[list[str], Offsets | None]:
    """The words of a text, and where they are in it where it is one."""
    offsets = split_words(text, unit) if isinstance(text, str) else None
    words = list(text) if offsets is None else [str(text[slice(*offset)]) for offset in offsets]
    if not words or not all(words):
        raise ValueError(f"request {number}: has {'an empty word' if words else 'no words'}; expected some text")
    return words, offsets


def _given(number: int, request: Record) -> str | list[str]:
    """The text of a request, or its words."""
    tokens, text = request.get("tokens"), request.get("text")
    if tokens is not None:
        if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
            raise ValueError(f"request {number}: 'tokens' should be a list of words, got {str(tokens)[:40]}")
        return tokens
    if not isinstance(text, str):
        has = ", ".join(map(repr, request)) or "nothing"
        raise ValueError(f"request {number}: expected a text under 'text' or words under 'tokens', and it has {has}")
    return text


def _marks(starts: Sequence[int], length: int) -> list[int]:
    marks = [0] * length
    for start in starts:
        marks[start] = 1
    return marks
