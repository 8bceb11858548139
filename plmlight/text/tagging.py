"""Tags of words that say where spans begin and end."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Scheme = Literal["BIO", "BIOES", "BMES", "none"]
"""How tags mark spans: ``BIO`` their first word and those that follow (Ramshaw and Marcus 1995); ``BIOES`` the last one
and those of a single word too (``BILOU`` is the same with other letters); ``BMES`` is that with M for I, as Chinese
word segmentation writes it (Xue 2003); ``none``: a tag is the word's own, as a part of speech."""

OUTSIDE = "O"
FORBIDDEN = -1e4
"""What a transition that the scheme does not know costs: finite, as a graph wants it."""

_LETTERS = {"B": "B", "I": "I", "M": "I", "E": "E", "L": "E", "S": "S", "U": "S", "O": "O"}
_TAG = re.compile(r"O|[BIMELSU](?:-.+)?", re.DOTALL)
_BIO = re.compile(r"O|[BI](?:-.+)?", re.DOTALL)


class TagSpan(NamedTuple):
    """Words that belong together.

    Attributes:
        kind: what they are; empty where tags are letters alone.
        start: the first one.
        end: the one behind the last.
    """

    kind: str
    start: int
    end: int


def scheme_of(labels: Iterable[str]) -> Scheme:
    """The scheme that tags are written in.

    Args:
        labels: the tags.

    Returns:
        ``none`` where one of them is neither O nor a letter of a scheme, alone or before a hyphen and a name.
    """
    labels = set(labels)
    if not labels - {OUTSIDE} or not all(_TAG.fullmatch(label) for label in labels):
        return "none"
    letters = {label[0] for label in labels}
    if "M" in letters:
        return "BMES"
    return "BIOES" if letters & set("ELSU") else "BIO"


def marks_neighbours(sentences: Iterable[Sequence[str]]) -> bool:
    """Whether B stands only where a span follows another of its kind, and I begins all others.

    So wrote Ramshaw and Marcus (1995) first, and CoNLL 2003 (IOB1); without any B it is IO. `spans_of` reads such tags
    unless it is strict.

    Args:
        sentences: their tags.

    Returns:
        False where no span shows it, and where tags have other letters.
    """
    first = False
    for tags in sentences:
        for before, after in pairwise([OUTSIDE, *tags]):
            letter, kind = parted(after)
            follows = parted(before) in (("B", kind), ("I", kind))
            if not _BIO.fullmatch(after) or (letter == "B" and not follows):
                return False
            first = first or (letter == "I" and not follows)
    return first


def parted(tag: str) -> tuple[str, str]:
    """A tag's letter, one of B I E S O whatever the scheme writes, and its kind."""
    letter, _, kind = tag.partition("-")
    return _LETTERS.get(letter, "O"), kind


def spans_of(tags: Sequence[str], scheme: Scheme, strict: bool = False) -> list[TagSpan]:
    """Reads spans from tags.

    Args:
        tags: of the words of a sentence.
        scheme: theirs; ``none`` has no spans.
        strict: take nothing that the scheme does not allow: a span without its beginning or end. Otherwise as conlleval
            (Tjong Kim Sang and Buchholz 2000) and seqeval by default: a span begins where the kind changes or one has
            just ended, whatever the letter says.

    Returns:
        In order.
    """
    if scheme == "none":
        return []
    spans: list[TagSpan] = []
    inside = "I" if scheme == "BIO" else "IE"
    start: int | None = None
    before, kind_before = OUTSIDE, ""
    for place, tag in enumerate([*tags, OUTSIDE]):
        letter, kind = parted(tag)
        if strict:
            goes_on = before in "BI" and letter in inside and kind == kind_before
        else:
            goes_on = before in "BI" and letter in "IE" and kind == kind_before
        if start is not None and not goes_on:
            if not strict or scheme == "BIO" or before in "ES":
                spans.append(TagSpan(kind_before, start, place))
            start = None
        if not goes_on and (letter in "BS" if strict else letter != OUTSIDE):
            start = place
        before, kind_before = letter, kind
    return spans


def tags_of(spans: Iterable[TagSpan], length: int, scheme: Scheme) -> list[str]:
    """Writes spans as tags.

    Args:
        spans: which do not overlap.
        length: of the sentence, in words.
        scheme: how to write them.

    Returns:
        A tag for each word.
    """
    tags = [OUTSIDE] * length
    middle = "M" if scheme == "BMES" else "I"
    for kind, start, end in spans:
        letters = ["B", *[middle] * (end - start - 1)]
        if scheme != "BIO":
            letters = ["S"] if end - start == 1 else [*letters[:-1], "E"]
        tags[start:end] = [f"{letter}-{kind}" if kind else letter for letter in letters]
    return tags


class Transitions(NamedTuple):
    """Which tags may follow each other; true is allowed.

    Attributes:
        start: [L], at the first word.
        pairs: [L, L], from one word to the next.
        end: [L], at the last word.
    """

    start: NDArray[np.bool_]
    pairs: NDArray[np.bool_]
    end: NDArray[np.bool_]


def transitions(labels: Sequence[str], scheme: Scheme) -> Transitions:
    """Which tags a scheme lets follow each other.

    Args:
        labels: the tags, in order. A kind without B begins with I.
        scheme: theirs; ``none`` allows everything.

    Returns:
        The tables.
    """
    size = len(labels)
    if scheme == "none":
        return Transitions(np.ones(size, np.bool_), np.ones((size, size), np.bool_), np.ones(size, np.bool_))
    parts = [(OUTSIDE, ""), *(parted(label) for label in labels)]
    begun = {kind for letter, kind in parts if letter == "B"}
    follows = np.array([[_may_follow(one, other, scheme, begun) for other in parts] for one in parts])
    return Transitions(follows[0, 1:], follows[1:, 1:], follows[1:, 0])


def _may_follow(before: tuple[str, str], after: tuple[str, str], scheme: Scheme, begun: set[str]) -> bool:
    """Whether a tag may; ``begun`` are the kinds that have a B."""
    if after[0] in "IE" and after[1] in begun:
        return before[0] in "BI" and before[1] == after[1]
    return scheme == "BIO" or before[0] not in "BI"
