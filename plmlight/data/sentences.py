"""Text cut into sentences, English and Chinese, by the characters themselves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from plmlight.data.readers import Piece

_LONGEST = 2**20  # characters without the end of a paragraph, after which a document is cut at any sentence
_PARAGRAPH = re.compile(r"\n(?=[^\S\n]*\n|[^\S\n]+\S)")
_STOPS = re.compile(r"[.!?…。！？；;｡．]+")
_EASTERN_STOPS = frozenset("。！？；｡")
_CLOSING = frozenset("”’」』》〉）】)]»")
_GOES_ON = frozenset("，、：,:.!?…。！？；;｡．")
_OPENING = "\"'“‘「『《〈（【([«-–—*_"
_EAST = re.compile("[\u3000-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]")
_SPACED_CLOSING = re.compile(r'\s+([")\]])(?=\s|$)')
_INITIALS = re.compile(r"(?:\w\.)+\w")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_BEFORE_NAMES = _words(
    """mr mrs ms mx dr prof rev hon gen col maj capt cmdr lt sgt cpl sen rep gov pres st mt ft messrs mme mlle
    e.g i.e cf al vs viz ca approx"""
)
_BEFORE_NUMBERS = _words("no nos fig figs eq eqs vol vols p pp ch sec art chap op")
_ANYWHERE = _words("etc inc ltd co corp bros jr sr esq dept est ave blvd rd")
_DATES = _words("Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri Sat Sun")
_STARTERS = _words(
    """the a an this that these those he she it they we you i his her its their our my in on at by from after
    before when while if as but and however there then for to with no not all some many one two"""
)


def split_sentences(text: str) -> list[str]:
    """Cuts text into sentences.

    A sentence ends at ``. ! ? …`` before white space, unless the word or what follows says otherwise (abbreviations,
    initials, numbers of a list, lower case), and at ``。！？；…`` anywhere; ``. ! ? ;`` after a Chinese character count
    as those do. Closing quotes and brackets stay with their sentence. A paragraph, too, ends a sentence: a line break
    before an empty or an indented line.

    Args:
        text: any text; the script may change within it.

    Returns:
        The sentences in order. Nothing is lost but the white space around them.
    """
    return [text[start:end] for start, end in _spans(text)]


def sentence_pieces(pieces: Iterable[Piece]) -> Iterator[Piece]:
    """Cuts streamed documents into sentences.

    Args:
        pieces: what `plmlight.data.readers.read` yields.

    Yields:
        Sentences; a space leads where white space parts a sentence from the one before it, as some tokenizers write
        it into the sentence's first token. ``last`` tells a document's last one.
    """
    held, waiting = "", None
    for piece in pieces:
        held += piece.text
        cut = len(held) if piece.last else _place_to_cut(held)
        for start, end in _spans(held[:cut]):
            parted = start > 0 and held[start - 1].isspace()
            if waiting is not None:
                yield Piece(waiting, last=False)
                waiting = held[start - parted : start].replace(held[start - 1], " ") + held[start:end]
            else:
                waiting = held[start:end]
        held = held[cut:]
        if piece.last and waiting is not None:
            yield Piece(waiting, last=True)
            waiting = None


def _place_to_cut(text: str) -> int:
    """Where streamed text can be cut without changing its sentences: at a paragraph's end, 0 for nowhere yet."""
    found = 0
    for match in _PARAGRAPH.finditer(text):
        found = match.start()
    if found or len(text) < _LONGEST:
        return found
    spans = _spans(text)
    if len(spans) > 1:
        return spans[-2][1]
    return len(text) if len(text) > 4 * _LONGEST else 0  # a desert without sentences: cut it anywhere


def _spans(text: str) -> list[tuple[int, int]]:
    spans = []
    edges = [0, *(match.start() for match in _PARAGRAPH.finditer(text)), len(text)]
    for start, end in itertools.pairwise(edges):
        begin = start
        for match in _STOPS.finditer(text, start, end):
            found = _end(text, start, begin, match, end)
            if found is not None:
                spans.append((begin, found))
                begin = found
        spans.append((begin, end))
    return [stripped for span in spans if (stripped := _stripped(text, *span)) is not None]


def _stripped(text: str, start: int, end: int) -> tuple[int, int] | None:
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return (start, end) if start < end else None


def _end(text: str, paragraph: int, begin: int, match: re.Match[str], end: int) -> int | None:
    """Where the sentence ends that some stops may end, or None if they do not."""
    stops, first, at = match.group(), match.start(), match.end()
    before = text[first - 1] if first > begin else ""
    while at < end and _closes(text, paragraph, at, end):
        at += 1
    following = text[at] if at < end else ""
    eastern = bool(_EAST.match(before)) or any(stop in _EASTERN_STOPS for stop in stops)
    if eastern:
        latin = stops in (".", "．") and following.isascii() and following.isalnum()
        return None if following in _GOES_ON or latin else at
    if ";" in stops:
        return None
    if following and not following.isspace():
        return at if _EAST.match(following.lstrip("“‘") or text[at + 1 : at + 2]) else None
    closed = at > match.end()
    spaced = _SPACED_CLOSING.match(text, at, end)
    if spaced and (spaced[1] != '"' or text.count('"', paragraph, spaced.end()) % 2 == 0):
        at, closed = spaced.end(), True
    rest = text[at : at + 64].lstrip()
    if stops in ("...", "…") and re.match(r"I\b", rest) and not closed:
        return None
    word = text[begin:first].rsplit(None, 1)[-1].lstrip(_OPENING) if before and not before.isspace() else ""
    if stops == "." and word and not _full_stop(word, rest, text[begin:first].strip() == word):
        return None
    if rest.lstrip(_OPENING + " ")[:1].islower() and (closed or word):
        return None  # "Stop!" he said; a stop that stands by itself is that of tokenised text, perhaps in lower case
    return at


def _closes(text: str, paragraph: int, at: int, end: int) -> bool:
    """Whether the character at a place, after a stop, is a closing quote or bracket."""
    character = text[at]
    if character in _CLOSING:
        return True
    if character not in "\"'":
        return False
    following = text[at + 1] if at + 1 < end else " "
    if following.isspace() or following in _CLOSING or following in "\"'":
        return True
    # some texts open with “ and close with "
    return character == '"' and sum(text.count(quote, paragraph, at) for quote in '"“”') % 2 == 1


def _full_stop(word: str, rest: str, alone: bool) -> bool:
    """Whether the period after a word ends the sentence."""
    lower = word.lower()
    if lower in _BEFORE_NAMES or (len(word) == 1 and word.isalpha() and word.isupper() and word != "I"):
        return False
    if lower in _BEFORE_NUMBERS and rest[:1].isdigit():
        return False
    if alone and word.isdigit():
        return False  # the number of a list
    if lower in _ANYWHERE or word in _DATES or _INITIALS.fullmatch(word):
        words = re.findall(r"\w+", rest[:20])
        return not words or (words[0][0].isupper() and words[0].lower() in _STARTERS)
    return True
