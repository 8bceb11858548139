"""Texts with two marked entities and the relation between them."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from tokenizers import Tokenizer

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData, check_some
from plmlight.data.lines import lines
from plmlight.data.records import objects
from plmlight.data.sources import Source, resolve
from plmlight.decoding.entities import MarkedText, marked_tokens, read_marked, read_tags
from plmlight.text import TokenizerKind, nearest, special_token_ids, vocabulary_size

OnWrongMarkers = Literal["error", "skip"]
UNUSED = re.compile(r"\[unused(\d+)\]")
_ITEM = re.compile(r"(\d+)\t(.*)")


@dataclass(frozen=True)
class RelationExample:
    """A text with two entities and their relation.

    Attributes:
        where: where it stands.
        marked: the text.
        label: the relation; None where it is not known.
    """

    where: str
    marked: MarkedText
    label: str | None

    def request(self) -> dict[str, Any]:
        """What a model is asked."""
        return {"text": self.marked.text, "head": list(self.marked.head), "tail": list(self.marked.tail)}

    @property
    def gold(self) -> str | None:
        """The truth, that an answer is compared with."""
        return self.label


def read_relations(
    files: Files, on_error: OnWrongMarkers = "error", encoding: str = "utf-8"
) -> tuple[list[RelationExample], list[tuple[str, str]]]:
    """Reads texts with two entities.

    Args:
        files: ``.txt`` as SemEval-2010 task 8 has it: a line ``id TAB "text with <e1>..</e1> and <e2>..</e2>"``, a line
            with the relation, and a comment; ``.jsonl`` with {"text", "head": [start, end], "tail": [start, end],
            "label"} a line, or without head and tail and with the tags in the text.
        on_error: what to do where entities are missing, nested or empty; ``skip`` leaves the text out.
        encoding: of files.

    Returns:
        The examples, and of each that was left out where it stands, and why.

    Raises:
        ValueError: naming file and line.
    """
    found: list[RelationExample] = []
    skipped: list[tuple[str, str]] = []
    for source in resolve(files):
        for where, record, label in _records(replace(source, encoding=encoding)):
            try:
                marked = read_tags(record) if isinstance(record, str) else read_marked(record)
            except ValueError as error:
                if on_error == "error":
                    raise ValueError(f"{where}: {error}") from None
                skipped.append((where, str(error)))
                continue
            found.append(RelationExample(where, marked, label))
    return found, skipped


def _records(source: Source) -> Iterator[tuple[str, str | dict[str, Any], str | None]]:
    """Where each text stands, the text or what holds it, and its label."""
    if source.kind == "jsonl":
        for where, entry in objects(source, "text"):
            label = entry.get("label")
            if not isinstance(label, str | None):
                raise ValueError(f"{where}: field 'label' is {type(label).__name__}, expected a string")
            yield where, entry, label
    elif source.kind == "text":
        yield from _semeval(source)
    else:
        raise ValueError(f"{source.name}: expected relations as .txt (SemEval-2010 task 8) or .jsonl")


def _semeval(source: Source) -> Iterator[tuple[str, str, str | None]]:
    held: tuple[str, str, str | None] | None = None
    for number, line in enumerate(lines(source), 1):
        where = f"{source.name}:{number}"
        item = _ITEM.fullmatch(line)
        if item is not None:
            if held is not None:
                yield held
            text = item[2].strip()
            quoted = len(text) > 1 and text[0] == text[-1] == '"'
            held = where, text[1:-1] if quoted else text, None
        elif not line.strip() or line.startswith("Comment"):
            continue
        elif held is None or held[2] is not None:
            what = "a text" if held is None else f"a comment or a text, as {held[0]} has its relation"
            raise ValueError(f'{where}: expected {what} (id TAB "text"), got {line[:40]!r}')
        else:
            held = held[0], held[1], line.strip()
    if held is None:
        raise ValueError(f'{source.name}: has no text (id TAB "text")')
    yield held


def find_markers(tokenizer: Tokenizer, names: Sequence[str] | None = None, count: Literal[2, 4] = 4) -> list[int]:
    """The ids of the markers around entities, or around a predicate.

    Args:
        tokenizer: of the texts.
        names: tokens that it has; by default the first that a vocabulary of BERT's kind leaves unused
            (``[unused0]``, ...), whose rows the network has, and where there are none, new ones after its last.
        count: how many there are, two for each that is marked.

    Returns:
        Before and after the first entity, before and after the second.

    Raises:
        ValueError: for another number of names, or one that is not there or has another use, as padding has.
    """
    vocabulary, size = tokenizer.get_vocab(), vocabulary_size(tokenizer)
    if names is None:
        unused = sorted((int(found[1]), id_) for token, id_ in vocabulary.items() if (found := UNUSED.fullmatch(token)))
        return [id_ for _, id_ in unused[:count]] if len(unused) >= count else [*range(size, size + count)]
    if not len(names) == len(set(names)) == count:
        expected = "four tokens, before and after each entity" if count == 4 else "two, before and after the predicate"
        raise ValueError(f"markers {list(names)}: expected {expected}")
    for name in names:
        if name not in vocabulary:
            raise ValueError(f"markers: the vocabulary has no token {name!r}")
    uses = {id_: use for use, id_ in {"pad": 0, **special_token_ids(tokenizer)}.items()}  # as `TokenData.pad_token_id`
    for name in names:
        if (use := uses.get(vocabulary[name])) is not None:
            raise ValueError(f"markers: the token {name!r} has another use ({use}): name one that has none")
    return [vocabulary[name] for name in names]


class RelationData(LabelledData[RelationExample]):
    """Texts with two marked entities and the relation between them.

    Args:
        files: to train on, where that is done: ``.txt`` as SemEval-2010 task 8 has it (id TAB "text with <e1>..</e1>
            and <e2>..</e2>", the relation, a comment), or ``.jsonl`` with {"text", "head": [start, end], "tail":
            [start, end], "label"}, or with the tags in the text.
        labels: the names of the classes, in order; by default those of ``files``, sorted.
        markers: the tokens of the vocabulary that stand before and after the first entity, before and after the second.
            By default the first four that a vocabulary of BERT's kind leaves unused, and where it has none (RoBERTa's,
            or one that is trained here) new ones, for which the network's token table gets rows.
        on_error: what to do where entities are missing, nested, empty, or so far apart that they do not fit, or a text
            has a marker itself: ``error``, or ``skip``, which leaves the text out. What was left out is ``skipped``.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most, without the markers.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none.
        folds: cut ``files`` into so many parts, of which ``fold`` is held out, in place of ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on; labels may be missing.
        max_length: tokens of a text at most, markers and special ones included; of longer ones beginning and end are
            left out, around the entities. From the command line it is the checkpoint's, or the network's.
        batch_size: texts in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files or labels that cannot be used, naming file and line.
    """

    def __init__(
        self,
        files: str | list[str] | None = None,
        labels: list[str] | None = None,
        markers: list[str] | None = None,
        on_error: OnWrongMarkers = "error",
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
        names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        super().__init__(
            names, validation_fraction, folds, fold, max_length, batch_size, max_tokens, seed, num_workers, cache_folder
        )
        self._on_error: OnWrongMarkers = on_error
        self._given = labels
        self.labels: list[str] = []
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)
        self.markers = find_markers(self.tokenizer, markers)

    @property
    def vocab_size(self) -> int:
        """V, one more than the largest id, those of the markers included."""
        return max(super().vocab_size, max(self.markers) + 1)

    def _examples(self, files: Files) -> list[RelationExample]:
        found, skipped = read_relations(files, self._on_error)
        self.skipped += skipped
        check_some(found, files, skipped)
        return found

    def _texts(self, example: RelationExample) -> Iterable[str]:
        return (example.marked.text,)

    def _told(self, example: RelationExample) -> str:
        text, bounds = example.marked.text, []
        for name, (start, end) in (("e1", example.marked.head), ("e2", example.marked.tail)):
            bounds += [(start, f"<{name}>"), (end, f"</{name}>")]
        for place, tag in sorted(bounds, reverse=True):
            text = text[:place] + tag + text[place:]
        return text

    def _classes(self, example: RelationExample) -> Sequence[str]:
        return () if example.label is None else (example.label,)

    def _strata(self, examples: Sequence[RelationExample]) -> Sequence[Hashable | None]:
        return [example.label for example in examples]

    def _settle(self) -> None:
        for stage, examples in self.examples.items():
            for example in examples if stage != "predict" else ():
                if example.label is None:
                    raise ValueError(f"{example.where}: the text has no relation")
        if not self._given and not self.examples["fit"]:
            raise self._no_text("fit", ", or labels where there is nothing to train")
        trained = {example.label for example in self.examples["fit"] if example.label is not None}
        self.labels = self._given or sorted(trained)
        if len(self.labels) < 2:
            raise ValueError(f"{self._named('fit')}: only one relation, {self.labels[0]!r}: at least two are needed")
        for examples in self.examples.values():
            for example in examples:
                if example.label is not None and example.label not in self.labels:
                    known = nearest(example.label, self.labels)
                    raise ValueError(f"{example.where}: the relation {example.label!r} is not known{known}")
        if trained and (missing := [label for label in self.labels if label not in trained]):
            raise ValueError(f"{self._named('fit')}: has no example of the relation {missing[0]!r}: leave it out")

    def _rows(self, examples: Sequence[RelationExample], stage: Stage) -> list[Row]:
        numbers = {label: number for number, label in enumerate(self.labels)}
        texts = [example.marked for example in examples]
        rows: list[Row] = []
        found = marked_tokens(self.plain_tokenizer(), texts, self.markers, self.max_length)
        for number, (example, tokens) in enumerate(zip(examples, found, strict=True)):
            if isinstance(tokens, str):
                if self._on_error == "error":
                    raise ValueError(f"{example.where}: {tokens}; on_error skip leaves the text out")
                self.skipped.append((example.where, tokens))
                continue
            assert example.label is not None
            row = {"input_ids": tokens.ids, "token_type_ids": tokens.type_ids, "labels": numbers[example.label]}
            rows.append({**row, "example_ids": number})
        return rows

    def _asked(self, examples: Sequence[RelationExample]) -> list[Row]:
        """Without what is to be left out, as entities are too far apart or a text has a marker."""
        texts = [example.marked for example in examples]
        found = marked_tokens(self.plain_tokenizer(), texts, self.markers, self.max_length)
        if self._on_error == "skip":
            both = list(zip(examples, found, strict=True))
            self.skipped += [(example.where, tokens) for example, tokens in both if isinstance(tokens, str)]
            examples = [example for example, tokens in both if not isinstance(tokens, str)]
        return super()._asked(examples)
