"""Sentences with a tag for each word: names of entities, parts of speech, words of Chinese."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData
from plmlight.data.readers import lines, objects
from plmlight.data.sources import Source, named_kind, resolve
from plmlight.text import TokenizerKind, nearest
from plmlight.text.tagging import OUTSIDE, Scheme, TagSpan, parted, scheme_of, spans_of, tags_of, transitions
from plmlight.text.word_rows import Unit, WordReader, join_words, split_words

DOCUMENT_START = "-DOCSTART-"
_BLANK = re.compile(r"[ \t]+")


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


class TaggedText(LabelledData[TaggedExample]):
    """Sentences with a tag for each word.

    A file is read by its name:

    - ``.jsonl``: records ``{"tokens": [...], "tags": [...]}``, or ``{"text": ..., "spans": [{"start", "end", "label"},
      ...]}`` with places in characters. Such a text is cut into words, and where a span begins or ends within one, so
      is the word, which is counted.
    - any other name: CoNLL's columns, separated by blanks or tabs, a word a line, a blank line after a sentence;
      ``-DOCSTART-`` is left out. So is Chinese text with a character and its BMES tag a line.

    Words that a tokenizer cuts have the tag at their first token. A sentence with more tokens than ``max_length``
    becomes several rows, which share words, and is scored as one.

    Args:
        files: to train on, where that is done.
        word_column: of a file with columns: the word, from 0.
        tag_column: the tag; -1 is the last one.
        labels: the names of the tags, in order; by default those of ``files``, and in a scheme such as BIO each of its
            letters with each kind, sorted.
        scheme: write spans so (BIO, BIOES or BMES), whatever scheme the files have; None leaves tags as they are, and
            writes the spans of texts in BIO.
        invalid: what to do with a tag that may not follow the one before it, as I-PER after O: ``count`` them (in
            ``invalid_transitions``), or ``error``.
        unit: what has a tag in a text that is tagged later: a ``word`` or a ``character``; by default characters where
            none of ``files`` has a longer word.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none.
        folds: cut ``files`` into so many parts, of which ``fold`` is held out, in place of ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on; tags may be missing: a word a line, or records of ``tokens`` or ``text`` alone.
        max_length: tokens of a row at most, special ones included. From the command line it is the network's.
        batch_size: rows in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files or tags that cannot be used, naming file and line.
    """

    per_token = ("word_mask", "labels")

    def __init__(
        self,
        files: str | list[str] | None = None,
        word_column: int = 0,
        tag_column: int = -1,
        labels: list[str] | None = None,
        scheme: Scheme | None = None,
        invalid: Literal["count", "error"] = "count",
        unit: Unit | None = None,
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "wordpiece",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.1,
        folds: int | None = None,
        fold: int = 0,
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names: dict[str, Files | None] = {"fit": files, "validate": validation_files, "test": test_files}
        super().__init__(
            names,
            validation_fraction,
            folds,
            fold,
            max_length,
            batch_size,
            max_tokens,
            seed,
            num_workers,
            cache_folder,
        )
        self._columns, self._untagged = (word_column, tag_column), predict_files
        self._given, self._scheme, self._invalid, self._unit = labels, scheme, invalid, unit
        self.labels: list[str] = []
        self.scheme: Scheme = "none"
        self.unit: Unit = "word"
        self.invalid_transitions: dict[str, int] = {}
        self.cut_words: dict[str, int] = {}
        self.long_sentences: dict[str, int] = {}
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    def _examples(self, files: Files) -> list[TaggedExample]:
        return read_tagged(files, *self._columns, self._scheme, self._unit or "word")

    def _texts(self, example: TaggedExample) -> Iterable[str]:
        return (join_words(example.words)[0],)

    def _told(self, example: TaggedExample) -> tuple[str, ...]:
        return example.words

    def _classes(self, example: TaggedExample) -> Sequence[str]:
        return example.tags

    def _settle(self) -> None:
        training = self.examples["fit"]
        if self._given is None and not training:
            raise self._no_text("fit", ", or labels where there is nothing to train")
        self.labels = self._given or complete({tag for example in training for tag in example.tags})
        if len(self.labels) < 2:
            raise ValueError(
                f"{self._names['fit']}: all words have the tag {self.labels[0]!r}: at least two are needed"
            )
        self.scheme = scheme_of(self.labels)
        single = bool(training) and all(len(word) == 1 for example in training for word in example.words)
        self.unit = self._unit or ("character" if single else "word")
        known = set(self.labels)
        for stage, examples in self.examples.items():
            self.cut_words[stage] = sum(example.cut for example in examples)
            for example in examples:
                for place, tag in enumerate(example.tags):
                    if tag not in known:
                        raise ValueError(
                            f"{example.where(place)}: the tag {tag!r} is not known{nearest(tag, self.labels)}"
                        )
            self.invalid_transitions[stage] = self._check_transitions(examples)
        if self._untagged is not None:
            self.examples["predict"] = read_tagged(self._untagged, *self._columns, unit=self.unit, tagged=False)

    def _check_transitions(self, examples: Sequence[TaggedExample]) -> int:
        """How many tags may not follow the one before them, or begin or end a sentence."""
        allowed = transitions(self.labels, self.scheme)
        numbers = {label: number for number, label in enumerate(self.labels)}
        found = 0
        for example in examples:
            tags = [numbers[tag] for tag in example.tags]
            wrong = [0] if not allowed.start[tags[0]] else []
            wrong += [place + 1 for place, pair in enumerate(pairwise(tags)) if not allowed.pairs[pair]]
            if self._invalid == "error" and wrong:
                before = f"after {example.tags[wrong[0] - 1]}" if wrong[0] else "at the beginning of a sentence"
                raise ValueError(
                    f"{example.where(wrong[0])}: {example.tags[wrong[0]]} may not stand {before} in the scheme "
                    f"{self.scheme}; give scheme to write the spans anew"
                )
            if self._invalid == "error" and not allowed.end[tags[-1]]:
                raise ValueError(
                    f"{example.where(len(tags) - 1)}: {example.tags[-1]} may not end a sentence in the scheme "
                    f"{self.scheme}; give scheme to write the spans anew"
                )
            found += len(wrong) + (not allowed.end[tags[-1]])
        return found

    def _check_kinds(self) -> None:
        """Refuses to train where a tag has no example; of a scheme, where its kind has none."""

        def kind(tag: str) -> str:
            return tag if self.scheme == "none" or tag == OUTSIDE else parted(tag)[1]

        trained = {kind(tag) for example in self.examples["fit"] for tag in example.tags}
        if missing := [label for label in self.labels if kind(label) not in trained]:
            raise ValueError(f"{self._names['fit']}: the tag {missing[0]!r} has no example to train on: leave it out")

    def _rows(self, examples: Sequence[TaggedExample], stage: Stage) -> list[Row]:
        if stage == "fit":
            self._check_kinds()
        reader = WordReader(self.tokenizer, self.max_length)
        numbers = {label: number for number, label in enumerate(self.labels)}
        sentences = reader.read([example.words for example in examples])
        self.long_sentences[stage] = sum(len(rows) > 1 for rows in sentences)
        found: list[Row] = []
        for number, (example, rows) in enumerate(zip(examples, sentences, strict=True)):
            for row in rows:
                size = len(row.encoding.ids)
                tags = example.tags[row.first : row.first + len(row.starts)]
                labels, mask = np.full(size, -100, np.int64), np.zeros(size, np.int64)
                labels[row.starts], mask[row.starts] = [numbers[tag] for tag in tags], 1
                found.append(
                    {
                        "input_ids": row.encoding.ids,
                        "token_type_ids": row.encoding.type_ids,
                        "word_mask": mask,
                        "labels": labels,
                        "example_ids": number,
                        "first_words": row.first,
                    }
                )
        return found


def complete(tags: set[str]) -> list[str]:
    """The tags of a scheme: each of its letters that is used, with each kind, sorted; others as they are."""
    if scheme_of(tags) == "none":
        return sorted(tags)
    letters = {tag[0] for tag in tags - {OUTSIDE}}
    kinds = {parted(tag)[1] for tag in tags - {OUTSIDE}}
    whole = {f"{letter}-{kind}" if kind else letter for letter in letters for kind in kinds}
    return sorted(whole | (tags & {OUTSIDE}))


def read_tagged(
    files: Files,
    word_column: int = 0,
    tag_column: int = -1,
    scheme: Scheme | None = None,
    unit: Unit = "word",
    encoding: str = "utf-8",
    tagged: bool = True,
) -> list[TaggedExample]:
    """Reads sentences with tags; see `TaggedText`.

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


def rewritten(example: TaggedExample, scheme: Scheme) -> TaggedExample:
    """A sentence with its spans in another scheme.

    Args:
        example: the sentence.
        scheme: to write them in.
    """
    spans = spans_of(example.tags, scheme_of(example.tags))
    tags = tags_of(spans, len(example.words), scheme)
    return TaggedExample(example.file, example.line, example.words, tuple(tags), example.by_line, example.cut)


def _sentences(source: Source, word_column: int, tag_column: int | None) -> Iterator[TaggedExample]:
    held: list[tuple[str, str]] = []
    number = 0
    for number, line in enumerate(lines(source), 1):
        cells = _BLANK.split(line.strip(" \t"))
        if cells == [""] or cells[0] == DOCUMENT_START:
            if held:
                yield _sentence(source, number, held, tag_column is not None)
            held = []
            continue
        try:
            held.append((cells[word_column], "" if tag_column is None else cells[tag_column]))
        except IndexError:
            raise ValueError(_too_few(source, number, cells, word_column, tag_column)) from None
        if len(cells) < 2 and tag_column is not None:
            raise ValueError(_too_few(source, number, cells, word_column, tag_column))
    if held:
        yield _sentence(source, number + 1, held, tag_column is not None)


def _too_few(source: Source, number: int, cells: list[str], word_column: int, tag_column: int | None) -> str:
    tag = "" if tag_column is None else f" and its tag in column {tag_column}"
    return (
        f"{source.name}:{number}: has {len(cells)} column{'s' * (len(cells) != 1)} ({' '.join(cells)[:40]!r}); "
        f"expected a word in column {word_column}{tag}"
    )


def _sentence(source: Source, after: int, held: list[tuple[str, str]], tagged: bool) -> TaggedExample:
    words, tags = zip(*held, strict=True)
    return TaggedExample(source.name, after - len(held), words, tags if tagged else ())


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
