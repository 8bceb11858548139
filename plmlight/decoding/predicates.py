"""Sentences with one predicate, and how a network reads them.

The predicate stands between two marker tokens, as entities do (`plmlight.decoding.entities`): so every network is told
which word is asked about, whether it knows segments or not, and its graph needs no further input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

from plmlight.text.word_rows import Offsets, Unit, WordReader, WordRow, split_words

_MARKED = re.compile(r"\[([^\[\]]*)\]")


@dataclass(frozen=True)
class Clause:
    """A sentence and the predicate that it is asked about.

    Attributes:
        text: the sentence, as it was given.
        words: of it.
        offsets: where they are in it, where it was no list of words.
        predicate: the number of its first word, and the one behind its last.
    """

    text: str | Sequence[str]
    words: list[str]
    offsets: Offsets | None
    predicate: tuple[int, int]


def read_clause(record: Any, unit: Unit = "word") -> Clause:
    """A record's sentence and its predicate.

    Args:
        record: ``{"tokens": [...], "predicate": 2}`` (or ``words``), by its number from 0;
            ``{"text": "She [gave] it."}``, in brackets; or ``{"text", "predicate"}``, the word itself, if it is there
            once, or ``[start, end]`` in characters.
        unit: what a text is cut into.

    Raises:
        ValueError: when something is missing or does not fit.
    """
    record = record if isinstance(record, Mapping) else {}
    tokens = record.get("tokens", record.get("words"))
    text, predicate = record.get("text"), record.get("predicate")
    if tokens is not None:
        return _of_tokens(tokens, predicate)
    if not isinstance(text, str):
        has = ", ".join(map(repr, record)) or "nothing"
        raise ValueError(f"expected a text under 'text' or words under 'tokens', and it has {has}")
    place = _marked(text) if predicate is None else None
    inner = text
    if place is not None:  # the brackets become spaces, so that places in the text stay
        inner = f"{text[: place[0] - 1]} {text[slice(*place)]} {text[place[1] + 1 :]}"
    offsets = split_words(inner, unit)
    if not offsets:
        raise ValueError("has no words; expected some text")
    if place is None:
        place = _place(text, predicate, offsets)
    inside = [word for word, (start, end) in enumerate(offsets) if start < place[1] and end > place[0]]
    if not inside:
        raise ValueError(f"the predicate {text[slice(*place)]!r} has no words")
    if offsets[inside[0]][0] < place[0] or offsets[inside[-1]][1] > place[1]:
        whole = text[offsets[inside[0]][0] : offsets[inside[-1]][1]]
        raise ValueError(f"the predicate {text[slice(*place)]!r} is a part of {whole!r}; expected whole words")
    words = [inner[slice(*offset)] for offset in offsets]
    return Clause(text, words, offsets, (inside[0], inside[-1] + 1))


def _of_tokens(tokens: Any, predicate: Any) -> Clause:
    if not isinstance(tokens, list) or not all(isinstance(token, str) for token in tokens):
        raise ValueError(f"'tokens' should be a list of words, got {str(tokens)[:40]}")
    if not tokens or not all(tokens):
        raise ValueError(f"has {'an empty word' if tokens else 'no words'}; expected some text")
    if type(predicate) is not int:
        got = "nothing" if predicate is None else repr(predicate)[:40]
        raise ValueError(f"expected the number of the predicate's word, from 0, under 'predicate', got {got}")
    check_predicate(predicate, len(tokens))
    return Clause(tokens, tokens, None, (predicate, predicate + 1))


def check_predicate(predicate: int, words: int) -> None:
    """Refuses a predicate that is not in its sentence.

    Args:
        predicate: the number of its word.
        words: how many there are.

    Raises:
        ValueError: for such a one.
    """
    if not 0 <= predicate < words:
        raise ValueError(f"the predicate is word {predicate} of {words}; expected 0 to {words - 1}")


def is_marked(text: str) -> bool:
    """Whether one part of a text is in brackets."""
    return len(_MARKED.findall(text)) == 1


def _marked(text: str) -> tuple[int, int]:
    """Where the one part of a text in brackets is, without them."""
    found = [match.span(1) for match in _MARKED.finditer(text)]
    if len(found) != 1:
        how = f"{len(found)} parts are in brackets" if found else "no predicate is marked"
        raise ValueError(f"{how}: write one [predicate] in the text, or give it as 'predicate'")
    return found[0]


def _place(text: str, predicate: Any, offsets: Offsets) -> tuple[int, int]:
    """Where a predicate is that was given beside the text."""
    if isinstance(predicate, str):
        starts, ends = {start for start, _ in offsets}, {end for _, end in offsets}
        found = [match.span() for match in re.finditer(re.escape(predicate), text)] if predicate else []
        found = [(start, end) for start, end in found if start in starts and end in ends]
        if len(found) != 1:
            how = f"there {len(found)} times; write one [predicate] in the text" if found else "not in the text"
            raise ValueError(f"the predicate {predicate!r} is {how}")
        return found[0]
    if (
        not isinstance(predicate, list | tuple)
        or len(predicate) != 2
        or any(type(each) is not int for each in predicate)
    ):
        raise ValueError(f"expected a word or [start, end] in characters under 'predicate', got {repr(predicate)[:40]}")
    start, end = predicate
    if not 0 <= start < end <= len(text):
        raise ValueError(f"the predicate [{start}, {end}] is no place in a text of {len(text)} characters")
    return start, end


@dataclass(frozen=True)
class ClauseRow:
    """A sentence, or the part of a long one around its predicate, as a network reads it.

    Attributes:
        first: the number of its first word in the sentence.
        starts: where the first token of each of its words stands.
        ids: of its tokens, markers and special ones included.
        type_ids: their segments.
    """

    first: int
    starts: list[int]
    ids: list[int]
    type_ids: list[int]


class ClauseReader:
    """Turns sentences with a predicate into rows of tokens.

    Args:
        tokenizer: any; it is not changed.
        markers: the ids of the tokens before and after a predicate.
        max_length: tokens of a row at most, markers and special ones included; None for no limit. Of a longer sentence
            whole words are left out at its beginning and its end, so that the predicate stands in the middle.
    """

    def __init__(self, tokenizer: Tokenizer, markers: Sequence[int], max_length: int | None = None) -> None:
        self._reader, self._markers, self._max_length = WordReader(tokenizer), list(markers), max_length

    def read(self, clauses: Sequence[tuple[Sequence[str], tuple[int, int]]]) -> list[ClauseRow | str]:
        """Cuts sentences into tokens.

        Args:
            clauses: the words of each, at least one, and the first of its predicate and the one behind the last.

        Returns:
            For each its row; in its place what is wrong where the predicate alone is too long.
        """
        rows = self._reader.read([words for words, _ in clauses])
        return [self._row(row, *predicate) for (row,), (_, predicate) in zip(rows, clauses, strict=True)]

    def _row(self, row: WordRow, first: int, last: int) -> ClauseRow | str:
        ids, types = row.encoding.ids, row.encoding.type_ids
        end = max(place for place, word in enumerate(row.encoding.word_ids) if word is not None) + 1
        bounds = [*row.starts, end]
        room = len(ids) + 2 if self._max_length is None else self._max_length
        room -= len(ids) - (end - bounds[0]) + 2  # special tokens and markers
        needed = bounds[last] - bounds[first]
        if needed > room:
            return f"the predicate is {needed} tokens, and there is room for {max(0, room)}"
        left, right = _window(bounds, first, last, room)
        begin, marks = bounds[0], self._markers
        parts = (
            ids[bounds[left] : bounds[first]],
            ids[bounds[first] : bounds[last]],
            ids[bounds[last] : bounds[right]],
        )
        inside = [*parts[0], marks[0], *parts[1], marks[1], *parts[2]]
        starts = [begin + bounds[word] - bounds[left] + (word >= first) + (word >= last) for word in range(left, right)]
        return ClauseRow(
            left,
            starts,
            [*ids[:begin], *inside, *ids[end:]],
            [*types[:begin], *[types[begin]] * len(inside), *types[end:]],
        )


def _window(bounds: Sequence[int], first: int, last: int, room: int) -> tuple[int, int]:
    """The words around a predicate that fit: the first one, and the one behind the last."""
    left, right = first, last
    while True:
        before = left > 0 and bounds[right] - bounds[left - 1] <= room
        after = right < len(bounds) - 1 and bounds[right + 1] - bounds[left] <= room
        if not (before or after):
            return left, right
        if before and (not after or first - left <= right - last):
            left -= 1
        else:
            right += 1
