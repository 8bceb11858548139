"""Files of sentences with a tag for each word: CoNLL's columns, and records."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from plmlight.data.base import Files
from plmlight.data.lines import lines
from plmlight.data.records import objects
from plmlight.data.sources import Source, compression, named_kind, resolve
from plmlight.text import nearest
from plmlight.text.tagging import Scheme, TagSpan, marks_neighbours, scheme_of, spans_of, tags_of
from plmlight.text.word_rows import Unit, split_words

DOCUMENT_START = "-DOCSTART-"
UNIVERSAL = (".conllu", ".conllup")
"""How names of files of Universal Dependencies end."""
_BLANK = re.compile(r"[ \t]+")
_NO_WORD = re.compile(r"\d+[-.]\d+\t")  # what stands for several words, and words that were left out


@dataclass(frozen=True)
class TaggedExample:
    """A sentence.

    Attributes:
        file: where it stands.
        line: its first line there.
        words: what has a tag.
        tags: of each word; none where they are not known.
        by_line: whether each word has a line of its own.
        cut: how many words were cut as a span begins or ends within them.
        text: what was cut into words, where that was no more than a text without tags.
    """

    file: str
    line: int
    words: tuple[str, ...]
    tags: tuple[str, ...]
    by_line: bool = True
    cut: int = 0
    text: str | None = None

    def where(self, word: int = 0) -> str:
        """Where a word stands, for messages."""
        return f"{self.file}:{self.line + word * self.by_line}"

    def request(self) -> dict[str, Any]:
        """What is asked of a tagger."""
        return {"tokens": list(self.words)} if self.text is None else {"text": self.text}

    @property
    def gold(self) -> list[str]:
        """What it should answer: the tags."""
        return list(self.tags)


def read_tagged(
    files: Files,
    word_column: int = 0,
    tag_column: int = -1,
    scheme: Scheme | None = None,
    unit: Unit = "word",
    encoding: str = "utf-8",
    tagged: bool = True,
) -> list[TaggedExample]:
    """Reads sentences with tags; see `plmlight.data.TaggedText`.

    Args:
        files: their names.
        word_column: of the word, in a file with columns.
        tag_column: of the tag.
        scheme: to write spans in; None leaves tags as they are.
        unit: of a text with spans, what has a tag.
        encoding: of files.
        tagged: whether there are tags; otherwise those that there are are left out.

    Returns:
        At least one sentence.

    Raises:
        ValueError: for what cannot be read, naming file and line, or a file without a sentence.
    """
    names = [files] if isinstance(files, str) else files
    found: list[TaggedExample] = []
    for name in names:
        for source in resolve(name, None if named_kind(name) else "text"):
            source = replace(source, encoding=encoding)
            if source.kind == "jsonl":
                read = list(_records(source, scheme or "BIO", unit, tagged))
            else:
                read = list(_sentences(source, word_column, tag_column if tagged else None))
            if not read:
                raise ValueError(f"{source.name}: has no sentence")
            found += read
    return found if scheme is None else [rewritten(example, scheme) for example in found]


def check_tags(examples: Iterable[TaggedExample], labels: Sequence[str]) -> None:
    """Looks whether all tags are known.

    Args:
        examples: sentences.
        labels: the names of the tags.

    Raises:
        ValueError: for a tag that is not, naming file and line and the nearest one.
    """
    known = set(labels)
    for example in examples:
        for place, tag in enumerate(example.tags):
            if tag not in known:
                raise ValueError(f"{example.where(place)}: the tag {tag!r} is not known{nearest(tag, labels)}")


def rewritten(example: TaggedExample, scheme: Scheme, given: Scheme | None = None) -> TaggedExample:
    """A sentence with its spans in another scheme.

    Args:
        example: the sentence.
        scheme: to write them in.
        given: the one that they are in; by default what the sentence's tags look like.
    """
    spans = spans_of(example.tags, scheme_of(example.tags) if given is None else given)
    tags = tags_of(spans, len(example.words), scheme)
    return replace(example, tags=tuple(tags))


def with_beginnings(examples: list[TaggedExample], labels: Collection[str] | None) -> list[TaggedExample]:
    """Sentences in BIO whose tags are IOB1 or IO: see `plmlight.text.tagging.marks_neighbours`.

    Args:
        examples: the sentences.
        labels: the tags that there may be; None for any.

    Returns:
        The same list where the tags are others, or ``labels`` lack a tag that would be needed.
    """
    if not marks_neighbours(example.tags for example in examples):
        return examples
    written = [rewritten(example, "BIO") for example in examples]
    needed = {tag for example in written for tag in example.tags}
    return written if labels is None or needed <= set(labels) else examples


def _sentences(source: Source, word_column: int, tag_column: int | None) -> Iterator[TaggedExample]:
    universal = source.name.removesuffix(compression(source.name)).lower().endswith(UNIVERSAL)
    held: list[tuple[str, str]] = []
    first = number = 0
    for number, line in enumerate(lines(source), 1):
        if universal and (line.startswith("#") or _NO_WORD.match(line)):
            continue
        cells = line.split("\t") if universal else _BLANK.split(line.strip(" \t"))
        if cells == [""] or cells[0] == DOCUMENT_START:
            if held:
                yield _sentence(source, first, number, held, tag_column is not None)
            held = []
            continue
        if not held:
            first = number
        try:
            held.append((cells[word_column], "" if tag_column is None else cells[tag_column]))
        except IndexError:
            raise ValueError(_too_few(source, number, cells, word_column, tag_column)) from None
        if len(cells) < 2 and tag_column is not None:
            raise ValueError(_too_few(source, number, cells, word_column, tag_column))
    if held:
        yield _sentence(source, first, number + 1, held, tag_column is not None)


def _too_few(source: Source, number: int, cells: list[str], word_column: int, tag_column: int | None) -> str:
    tag = "" if tag_column is None else f" and its tag in column {tag_column}"
    return (
        f"{source.name}:{number}: has {len(cells)} column{'s' * (len(cells) != 1)} ({' '.join(cells)[:40]!r}); "
        f"expected a word in column {word_column}{tag}"
    )


def _sentence(source: Source, line: int, after: int, held: list[tuple[str, str]], tagged: bool) -> TaggedExample:
    words, tags = zip(*held, strict=True)
    return TaggedExample(source.name, line, words, tags if tagged else (), by_line=after - line == len(words))


def _records(source: Source, scheme: Scheme, unit: Unit, tagged: bool) -> Iterator[TaggedExample]:
    for where, entry in objects(source, "tokens"):
        line = int(where.rpartition(":")[2])
        if "tokens" in entry:
            words = strings(entry, "tokens", where)
            tags = strings(entry, "tags", where) if tagged else []
            if tagged and len(words) != len(tags):
                raise ValueError(f"{where}: has {len(words)} tokens and {len(tags)} tags; expected as many of both")
            if not all(words):
                raise ValueError(f"{where}: token {words.index('')} is empty")
            if words:
                yield TaggedExample(source.name, line, tuple(words), tuple(tags), by_line=False)
        elif isinstance(text := entry.get("text"), str) and not tagged:
            words = [text[slice(*place)] for place in split_words(text, unit)]
            if words:
                yield TaggedExample(source.name, line, tuple(words), (), by_line=False, text=text)
        elif isinstance(text, str):
            words, tags, cut = tag_text(text, entry.get("spans"), where, scheme, unit)
            if words:
                yield TaggedExample(source.name, line, tuple(words), tuple(tags), by_line=False, cut=cut)
        else:
            raise ValueError(
                f"{where}: has {', '.join(map(repr, entry)) or 'nothing'}; expected 'tokens' and 'tags', or 'text' and "
                "'spans'"
            )


def strings(entry: dict[str, Any], field: str, where: str) -> list[str]:
    """A list of strings in a record.

    Args:
        entry: the record.
        field: the list's name.
        where: for messages.

    Raises:
        ValueError: where it is no such list.
    """
    values = entry.get(field)
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{where}: field {field!r} should be a list of strings, got {str(values)[:40]}")
    return values


def tag_text(text: str, spans: Any, where: str, scheme: Scheme, unit: Unit) -> tuple[list[str], list[str], int]:
    """Turns a text with spans into words with tags.

    Args:
        text: the text.
        spans: ``{"start", "end", "label"}`` each, in characters.
        where: for messages.
        scheme: to write them in.
        unit: what has a tag.

    Returns:
        The words, their tags, and how many words were cut as a span begins or ends within them.

    Raises:
        ValueError: for spans that are not in the text, are empty, or overlap.
    """
    places = _places(text, spans, where)
    bounds = {bound for _, start, end in places for bound in (start, end)}
    offsets, cut = [], 0
    for start, end in split_words(text, unit):
        inner = sorted(bound for bound in bounds if start < bound < end)
        offsets += list(pairwise([start, *inner, end]))
        cut += bool(inner)
    begins = np.array([start for start, _ in offsets])
    found = []
    for kind, start, end in places:
        first, last = (int(np.searchsorted(begins, bound)) for bound in (start, end))
        if first < last:
            found.append(TagSpan(kind, first, last))
    return [text[start:end] for start, end in offsets], tags_of(found, len(offsets), scheme), cut


def _places(text: str, spans: Any, where: str) -> list[TagSpan]:
    if not isinstance(spans, list):
        raise ValueError(f"{where}: field 'spans' should be a list, got {str(spans)[:40]}")
    found = []
    for span in spans:
        try:
            kind, start, end = span["label"], span["start"], span["end"]
        except (KeyError, TypeError):
            raise ValueError(f"{where}: a span needs 'start', 'end' and 'label', got {str(span)[:60]}") from None
        if not (isinstance(kind, str) and kind and type(start) is int and type(end) is int):
            raise ValueError(f"{where}: a span needs whole numbers and a name, got {str(span)[:60]}")
        if not 0 <= start < end <= len(text):
            raise ValueError(
                f"{where}: the span {start} to {end} ({kind}) is not in the text of {len(text)} characters"
            )
        if not text[start:end].strip():
            raise ValueError(f"{where}: the span {start} to {end} ({kind}) has nothing but white space")
        found.append(TagSpan(kind, start, end))
    found.sort(key=lambda span: span.start)
    for one, other in pairwise(found):
        if other.start < one.end:
            raise ValueError(
                f"{where}: the spans {one.start} to {one.end} ({one.kind}) and {other.start} to {other.end} "
                f"({other.kind}) overlap, and a word has one tag"
            )
    return found
