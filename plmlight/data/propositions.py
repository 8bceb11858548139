"""Files with predicates and the roles of their arguments: CoNLL-2005 and 2012 columns, and records."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from plmlight.data.base import Files
from plmlight.data.lines import lines
from plmlight.data.records import objects
from plmlight.data.sources import Source, named_kind, resolve
from plmlight.data.tagged_files import TaggedExample, strings
from plmlight.decoding.predicates import check_predicate, is_marked, read_clause
from plmlight.text.tagging import OUTSIDE, TagSpan, scheme_of, spans_of, tags_of

NONE = "-"
"""In the column of predicates, a word that is none."""
_BLANK = re.compile(r"[ \t]+")
_ROLE = re.compile(r"(?:\(([^()*]+))?\*(\))?")
_BIO = re.compile(r"O|[BI]-.+", re.DOTALL)


@dataclass(frozen=True)
class Columns:
    """Where things stand in a line.

    Attributes:
        word: the word.
        predicate: the predicate, or ``-``; None for the column before those with roles.
        roles: the first column with roles; None for the first of the last columns that hold nothing else.
        after: how many columns there are behind those with roles.
    """

    word: int
    predicate: int | None = None
    roles: int | None = None
    after: int = 0


CONLL_2005 = Columns(0)
CONLL_2012 = Columns(3, 7, 11, 1)
"""Document, part, number, word, part of speech, parse, lemma, frame, sense, speaker, entity, roles, coreference."""
DOCUMENT = ("#begin document", "#end document")


@dataclass(frozen=True)
class RoleExample(TaggedExample):
    """A sentence and one of its predicates.

    Attributes:
        predicate: the number of its first word.
        told: of a text, the predicate as it was given beside it; None where it is in brackets.
    """

    predicate: int = 0
    told: Any = None

    def request(self) -> dict[str, Any]:
        """What is asked of a labeller of roles."""
        if self.text is None:
            return {"tokens": list(self.words), "predicate": self.predicate}
        return {"text": self.text} | ({} if self.told is None else {"predicate": self.told})


def read_roles(
    files: Files, word_column: int | None = None, encoding: str = "utf-8", labelled: bool = True
) -> list[RoleExample]:
    """Reads sentences with predicates; see `plmlight.data.RoleData`.

    Args:
        files: their names.
        word_column: of the word, in a file with columns, where it is not that of its kind.
        encoding: of files.
        labelled: whether there are roles; otherwise those that there are are left out.

    Returns:
        An example a predicate, in order, at least one.

    Raises:
        ValueError: for what cannot be read, naming file and line, or a file without a predicate.
    """
    found: list[RoleExample] = []
    for name in [files] if isinstance(files, str) else files:
        for source in resolve(name, None if named_kind(name) else "text"):
            source = replace(source, encoding=encoding)
            if source.kind == "jsonl":
                read = list(_records(source, labelled))
            elif not labelled and _has_texts(source):
                texts = ((number, line) for number, line in enumerate(lines(source), 1) if line.strip())
                read = [_text(source.name, number, {"text": line}) for number, line in texts]
            else:
                read = list(_sentences(source, word_column, labelled))
            if not read:
                raise ValueError(f"{source.name}: has no predicate")
            found += read
    return found


def _has_texts(source: Source) -> bool:
    """Whether the first line is a text with its predicate in brackets, and not columns of a word in brackets."""
    first = next((line for line in lines(source) if line.strip()), "")
    return is_marked(first) and NONE not in first.split()


def _text(name: str, line: int, record: dict[str, Any]) -> RoleExample:
    """A text with a predicate, as a labeller of roles takes it."""
    try:
        clause = read_clause(record)
    except ValueError as error:
        raise ValueError(f"{name}:{line}: {error}") from None
    text, told = record["text"], record.get("predicate")
    return RoleExample(name, line, tuple(clause.words), (), False, text=text, predicate=clause.predicate[0], told=told)


def _sentences(source: Source, word_column: int | None, labelled: bool) -> Iterator[RoleExample]:
    columns = CONLL_2005
    held: list[list[str]] = []
    number = 0
    for number, line in enumerate(lines(source), 1):
        if line.startswith(DOCUMENT):
            columns = CONLL_2012
            line = ""
        if line.strip():
            held.append(_BLANK.split(line.strip(" \t")))
            continue
        yield from _sentence(source.name, number - len(held), held, columns, word_column, labelled)
        held = []
    yield from _sentence(source.name, number + 1 - len(held), held, columns, word_column, labelled)


def _sentence(
    name: str, line: int, rows: list[list[str]], columns: Columns, word_column: int | None, labelled: bool
) -> Iterator[RoleExample]:
    """The predicates of a sentence in columns."""
    if not rows:
        return
    width = len(rows[0])
    for place, row in enumerate(rows):
        if len(row) != width:
            raise ValueError(f"{name}:{line + place}: has {len(row)} columns, and the sentence's first line {width}")
    word = columns.word if word_column is None else word_column
    first, last = columns.roles, width - columns.after
    if first is None:
        first = last
        while first > 0 and any("*" in row[first - 1] for row in rows):
            first -= 1
    predicate = first - 1 if columns.predicate is None else columns.predicate
    if last < first or not word < width or not 0 <= predicate != word:
        kind = "CoNLL-2005" if columns is CONLL_2005 else "CoNLL-2012"
        raise ValueError(
            f"{name}:{line}: has {width} column{'s' * (width != 1)} ({' '.join(rows[0])[:40]!r}); expected those of "
            f"{kind}: the word in column {word}, the predicate or '-', and its roles"
        )
    words = tuple(row[word] for row in rows)
    predicates = [place for place, row in enumerate(rows) if row[predicate] != NONE]
    if labelled and len(predicates) != last - first:
        named = f" ({', '.join(words[place] for place in predicates)[:60]})" if predicates else ""
        raise ValueError(
            f"{name}:{line}: the sentence has {len(predicates)} predicate{'s' * (len(predicates) != 1)}{named} and "
            f"{last - first} column{'s' * (last - first != 1)} of roles; expected one for each"
        )
    for number, place in enumerate(predicates):
        tags = _in_brackets([row[first + number] for row in rows], name, line) if labelled else []
        yield RoleExample(name, line, words, tuple(tags), predicate=place)


def _in_brackets(cells: Sequence[str], name: str, line: int) -> list[str]:
    """The BIO tags of a column with roles in brackets."""
    spans: list[TagSpan] = []
    role, start = "", 0
    for place, cell in enumerate(cells):
        where = f"{name}:{line + place}"
        found = _ROLE.fullmatch(cell)
        if found is None:
            raise ValueError(f"{where}: {cell!r} is no part of a role; expected (A0*, *, *) or (A0*)")
        if found[1] is not None:
            if role:
                raise ValueError(f"{where}: the role {found[1]} begins within {role}, which has not ended")
            role, start = found[1], place
        if found[2] is not None:
            if not role:
                raise ValueError(f"{where}: a role ends ({cell}) that has not begun")
            spans.append(TagSpan(role, start, place + 1))
            role = ""
    if role:
        raise ValueError(f"{name}:{line + start}: the role {role} has no end")
    return tags_of(spans, len(cells), "BIO")


def _records(source: Source, labelled: bool) -> Iterator[RoleExample]:
    for where, entry in objects(source, "tokens"):
        line = int(where.rpartition(":")[2])
        if not labelled and "text" in entry and not entry.keys() & {"tokens", "words"}:
            yield _text(source.name, line, entry)
            continue
        field = "words" if "tokens" not in entry and "words" in entry else "tokens"
        words = strings(entry, field, where)
        if not words or not all(words):
            raise ValueError(f"{where}: " + (f"token {words.index('')} is empty" if words else "has no tokens"))
        predicate = entry.get("predicate")
        if type(predicate) is not int:
            got = "has no predicate" if predicate is None else f"field 'predicate' is {str(predicate)[:40]!r}"
            raise ValueError(f"{where}: {got}; expected the number of its word under 'predicate', from 0")
        try:
            check_predicate(predicate, len(words))
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from None
        tags = _tags(entry, len(words), where) if labelled else []
        yield RoleExample(source.name, line, tuple(words), tuple(tags), by_line=False, predicate=predicate)


def _tags(entry: dict[str, Any], length: int, where: str) -> list[str]:
    """The BIO tags of a record, which has them or spans."""
    if "tags" not in entry and "spans" in entry:
        return tags_of(_spans(entry["spans"], length, where), length, "BIO")
    tags = strings(entry, "tags", where)
    if len(tags) != length:
        raise ValueError(f"{where}: has {length} tokens and {len(tags)} tags; expected as many of both")
    scheme = scheme_of(tags)
    if scheme == "none" and (odd := [tag for tag in tags if not _BIO.fullmatch(tag)]):
        raise ValueError(f"{where}: the tag {odd[0]!r} is not BIO; expected {OUTSIDE}, or B- or I- and a role")
    return tags_of(spans_of(tags, scheme), length, "BIO")


def _spans(spans: Any, length: int, where: str) -> list[TagSpan]:
    if not isinstance(spans, list):
        raise ValueError(f"{where}: field 'spans' should be a list, got {str(spans)[:40]}")
    found = []
    for span in spans:
        label, start, end = (
            (span.get(name) for name in ("label", "start", "end")) if isinstance(span, dict) else [None] * 3
        )
        if not (label and isinstance(label, str) and type(start) is int and type(end) is int):
            raise ValueError(
                f"{where}: a span needs 'start' and 'end', numbers of words, and 'label', got {str(span)[:60]}"
            )
        if not 0 <= start < end <= length:
            raise ValueError(f"{where}: the span {start} to {end} ({label}) is not in {length} words")
        found.append(TagSpan(label, start, end))
    found.sort(key=lambda span: span.start)
    for one, other in pairwise(found):
        if other.start < one.end:
            raise ValueError(f"{where}: the spans of {one.kind} and {other.kind} overlap, and a word has one role")
    return found
