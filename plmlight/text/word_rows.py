"""Sentences whose words are known, as rows of tokens that say where each word begins."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from tokenizers import Encoding, Tokenizer

from plmlight.text.tokenizers import special_token_ids

Unit = Literal["word", "character"]
"""What has a tag: a word, of which a Chinese or Japanese character is one too; or each character but white space."""

Offsets = list[tuple[int, int]]
"""Where words begin and end in a text, in characters."""

_CHARACTERS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = re.compile(f"[{_CHARACTERS}\u3000-\u303f\uff00-\uffef]")
_PART = rf"[^\W{_CHARACTERS}]+"
_UNITS = {
    "word": re.compile(rf"{_PART}(?:[-'’.,]{_PART})*|\S"),
    "character": re.compile(r"\S"),
}


class WordRow(NamedTuple):
    """A sentence, or a part of a long one, as a network reads it.

    Attributes:
        first: the number of its first word in the sentence.
        starts: where the first token of each of its words stands.
        encoding: its tokens, special ones included.
    """

    first: int
    starts: list[int]
    encoding: Encoding


def split_words(text: str, unit: Unit = "word") -> Offsets:
    """Cuts a text into what has a tag each.

    Args:
        text: any.
        unit: what that is. A word is letters and digits, with hyphens, apostrophes, points and commas within; each
            other sign is one by itself.

    Returns:
        Where each begins and ends, in order.
    """
    return [found.span() for found in _UNITS[unit].finditer(text)]


def join_words(words: Sequence[str]) -> tuple[str, Offsets]:
    """Writes words as a text, with spaces between them but beside Chinese and Japanese characters.

    Args:
        words: of a sentence.

    Returns:
        The text, and where each word is in it.
    """
    text, offsets = "", []
    for word, spaced in zip(words, _spaced(words), strict=True):
        text += " " if spaced and text else ""
        offsets.append((len(text), len(text) + len(word)))
        text += word
    return text, offsets


def _spaced(words: Sequence[str]) -> list[bool]:
    """Whether there is a space before each word; before the first one is."""
    beside = [(bool(_CHARACTER.match(word[:1])), bool(_CHARACTER.match(word[-1:]))) for word in words]
    return [place == 0 or not (beside[place - 1][1] or beside[place][0]) for place in range(len(words))]


class WordReader:
    """Turns sentences into rows of tokens; no token is of two words, and each word has one.

    A sentence that is too long becomes several rows, cut between words, each of which shares up to half of its tokens
    with the one before it: what is no longer than that is whole in one of them. A tokenizer that marks spaces sees one
    before each word that a text would have one before; a word that it has no token for is its unknown token.

    Args:
        tokenizer: any; it is not changed.
        max_length: tokens of a row at most, special ones included; None for no limit.

    Raises:
        ValueError: when there is no room for a word beside the special tokens.
    """

    def __init__(self, tokenizer: Tokenizer, max_length: int | None = None) -> None:
        self._tokenizer = Tokenizer.from_str(tokenizer.to_str())
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        special = tokenizer.num_special_tokens_to_add(False)
        if max_length is not None and max_length <= special:
            raise ValueError(f"max_length {max_length} leaves no room for words beside {special} special tokens")
        self.max_length = max_length
        self._room = None if max_length is None else max_length - special
        kinds = json.dumps(json.loads(tokenizer.to_str())["pre_tokenizer"])
        self._marks_spaces = '"ByteLevel"' in kinds or '"Metaspace"' in kinds
        unknown = special_token_ids(tokenizer).get("unk")
        self._unknown: str = "?" if unknown is None else (tokenizer.id_to_token(unknown) or "?")

    def read(self, sentences: Sequence[Sequence[str]]) -> list[list[WordRow]]:
        """Cuts sentences into tokens.

        Args:
            sentences: the words of each.

        Returns:
            For each its rows, in order; none for a sentence without words.
        """
        prepared = [self._prepared(words) for words in sentences]
        encodings = self._tokenizer.encode_batch(prepared, is_pretokenized=True)
        return [
            self._rows(words, encoding) if words else [] for words, encoding in zip(prepared, encodings, strict=True)
        ]

    def _prepared(self, words: Sequence[str]) -> list[str]:
        if not self._marks_spaces:
            return list(words)
        return [f" {word}" if spaced else word for word, spaced in zip(words, _spaced(words), strict=True)]

    def _rows(self, words: list[str], encoding: Encoding) -> list[WordRow]:
        starts = _starts(encoding)
        lost = [place for place in range(len(words)) if place not in starts]
        if lost:
            words = [self._unknown if place in lost else word for place, word in enumerate(words)]
            encoding = self._tokenizer.encode(words, is_pretokenized=True)
            starts = _starts(encoding)
        if self.max_length is None or len(encoding.ids) <= self.max_length:
            return [WordRow(0, [starts[place] for place in range(len(words))], encoding)]
        assert self._room is not None
        sizes = [0] * len(words)
        for number in encoding.word_ids:
            if number is not None:
                sizes[number] += 1
        self._tokenizer.enable_truncation(self.max_length)  # of a word that is too long by itself, its first tokens
        rows = []
        for first, end in _windows(sizes, self._room):
            part = self._tokenizer.encode(words[first:end], is_pretokenized=True)
            found = _starts(part)
            rows.append(WordRow(first, [found[each] for each in range(end - first)], part))
        self._tokenizer.no_truncation()
        return rows


def _windows(sizes: list[int], room: int) -> list[tuple[int, int]]:
    """Cuts words of so many tokens into windows that fit, each of which shares up to half with the one before it."""
    found, first = [], 0
    while True:
        end, filled = first + 1, sizes[first]
        while end < len(sizes) and filled + sizes[end] <= room:
            filled += sizes[end]
            end += 1
        found.append((first, end))
        if end == len(sizes):
            return found
        least, first, shared = first + 1, end, 0
        while first > least and shared + sizes[first - 1] <= room // 2:
            first -= 1
            shared += sizes[first]


def _starts(encoding: Encoding) -> dict[int, int]:
    """Where the first token of each word is."""
    starts: dict[int, int] = {}
    for place, word in enumerate(encoding.word_ids):
        if word is not None:
            starts.setdefault(word, place)
    return starts
