"""Texts with two marked entities, and how a network reads them.

An entity stands between two marker tokens (Baldini Soares et al. 2019, arXiv:1906.03158, section 3.2). Their ids are
put between those of the text: the tokenizer stays as it is, and no text may contain one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

TAGS = ("<e1>", "</e1>", "<e2>", "</e2>")
_TAG = re.compile("|".join(map(re.escape, TAGS)))


@dataclass(frozen=True)
class MarkedText:
    """A text with two entities.

    Attributes:
        text: the text.
        head: where the first entity stands, in characters: its beginning and its end.
        tail: the second one, which may come before the first.

    Raises:
        ValueError: for places outside the text, or entities that overlap.
    """

    text: str
    head: tuple[int, int]
    tail: tuple[int, int]

    def __post_init__(self) -> None:
        for name, (start, end) in (("head", self.head), ("tail", self.tail)):
            if not 0 <= start < end <= len(self.text):
                raise ValueError(f"{name} [{start}, {end}] is no place in a text of {len(self.text)} characters")
            if not self.text[start:end].strip():
                raise ValueError(f"{name} [{start}, {end}] is white space")
        if self.head[0] < self.tail[1] and self.tail[0] < self.head[1]:
            raise ValueError(f"the entities overlap: head {list(self.head)}, tail {list(self.tail)}")

    @property
    def entities(self) -> tuple[str, str]:
        """The texts of both."""
        return self.text[slice(*self.head)], self.text[slice(*self.tail)]


def read_tags(text: str) -> MarkedText:
    """A text with ``<e1>``, ``</e1>``, ``<e2>`` and ``</e2>`` in it, without these.

    Args:
        text: the text.

    Raises:
        ValueError: when one is missing or there twice, or the entities are nested or empty.
    """
    found = [(match.group(), match.start()) for match in _TAG.finditer(text)]
    for tag in TAGS:
        times = sum(name == tag for name, _ in found)
        if times != 1:
            raise ValueError(f"the marker {tag} " + ("is missing" if not times else f"is there {times} times"))
    before = [sum(len(name) for name, _ in found[:number]) for number in range(len(TAGS))]
    places = {name: start - tags for (name, start), tags in zip(found, before, strict=True)}
    for start, end in (TAGS[:2], TAGS[2:]):
        if [name for name, _ in found if name in (start, end)] != [start, end]:
            raise ValueError(f"the marker {end} stands before {start}")
        if places[start] == places[end]:
            raise ValueError(f"there is nothing between the markers {start} and {end}")
    if [name for name, _ in found] not in ([*TAGS], [*TAGS[2:], *TAGS[:2]]):
        raise ValueError(f"the markers are nested: {' '.join(name for name, _ in found)}")
    return MarkedText(_TAG.sub("", text), (places["<e1>"], places["</e1>"]), (places["<e2>"], places["</e2>"]))


def read_marked(record: Any) -> MarkedText:
    """A record's text: ``{"text"}`` with tags in it, or ``{"text", "head": [start, end], "tail": [start, end]}``.

    Raises:
        ValueError: when something is missing or does not fit.
    """
    text = record.get("text") if isinstance(record, dict) else None
    if not isinstance(text, str):
        raise ValueError("expected a text under 'text'")
    given = [name for name in ("head", "tail") if record.get(name) is not None]
    if not given:
        return read_tags(text)
    places = {}
    for name in ("head", "tail"):
        place = record.get(name)
        whole = isinstance(place, list | tuple) and len(place) == 2 and all(type(each) is int for each in place)
        if not whole:
            raise ValueError(f"expected two whole numbers [start, end] under {name!r}, got {place!r:.60}")
        places[name] = (place[0], place[1])
    return MarkedText(text, places["head"], places["tail"])


@dataclass(frozen=True)
class MarkedTokens:
    """A text with its markers, as a network reads it.

    Attributes:
        ids: of its tokens.
        type_ids: their segments.
    """

    ids: list[int]
    type_ids: list[int]


def marked_tokens(
    tokenizer: Tokenizer, texts: Sequence[MarkedText], markers: Sequence[int], max_length: int | None
) -> list[MarkedTokens | str]:
    """Puts marker tokens around the entities of texts.

    Args:
        tokenizer: without padding and truncation; cuts what stands between the markers.
        texts: the texts.
        markers: the ids of the four markers: before and after the first entity, before and after the second.
        max_length: tokens at most, markers and special ones included. Of a longer text its beginning and its end are
            left out, so that the entities stand in the middle.

    Returns:
        The tokens of each; in their place what is wrong where entities are too far apart, or a text has a marker
        itself.
    """
    plan = [_parts(text) for text in texts]
    parts = tokenizer.encode_batch([part for parts, _ in plan for part in parts], add_special_tokens=False)
    before, inside, after = _template(tokenizer)
    found: list[MarkedTokens | str] = []
    for number, (_, order) in enumerate(plan):
        own = parts[5 * number : 5 * number + 5]
        if twice := [marker for marker in markers if any(marker in part.ids for part in own)]:
            found.append(f"the token {tokenizer.id_to_token(twice[0])!r}, which marks entities, is in the text itself")
            continue
        ids: list[int] = []
        at = []
        for place, part in enumerate(own):
            if place:
                at.append(len(ids))
                ids.append(markers[order[place - 1]])
            ids += part.ids
        if max_length is not None:
            room = max_length - len(before) - len(after)
            needed = at[-1] + 1 - at[0]
            if needed > room:
                found.append(f"the entities and what is between them are {needed} tokens, and there is room for {room}")
                continue
            first = min(max(0, at[0] - (room - needed) // 2), max(0, len(ids) - room))
            ids = ids[first : first + room]
        types = [kind for _, kind in before] + [inside] * len(ids) + [kind for _, kind in after]
        found.append(MarkedTokens([id_ for id_, _ in before] + ids + [id_ for id_, _ in after], types))
    return found


def _parts(marked: MarkedText) -> tuple[list[str], tuple[int, ...]]:
    """What stands between the markers, each part with the white space before it; and the markers in their order."""
    turned = marked.tail < marked.head
    places = [0, *sorted([*marked.head, *marked.tail]), len(marked.text)]
    for number in range(1, 5):
        kept = marked.text[: places[number]].rstrip()
        places[number] = max(len(kept), places[number - 1])
    parts = [marked.text[start:end] for start, end in itertools.pairwise(places)]
    return parts, (2, 3, 0, 1) if turned else (0, 1, 2, 3)


def _template(tokenizer: Tokenizer) -> tuple[list[tuple[int, int]], int, list[tuple[int, int]]]:
    """Ids and segments of what a tokenizer puts before and after a text, and the text's segment."""
    encoding = tokenizer.encode("a")
    both = list(zip(encoding.ids, encoding.type_ids, strict=True))
    inside = [place for place, text in enumerate(encoding.sequence_ids) if text == 0]
    first, last = (inside[0], inside[-1] + 1) if inside else (len(both), len(both))
    return both[:first], both[first][1] if inside else 0, both[last:]
