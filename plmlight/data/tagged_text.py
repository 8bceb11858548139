"""Sentences with a tag for each word: names of entities, parts of speech, words of Chinese."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData
from plmlight.data.tagged_files import TaggedExample, check_tags, read_tagged, with_beginnings
from plmlight.text import TokenizerKind
from plmlight.text.tagging import OUTSIDE, Scheme, parted, scheme_of, transitions
from plmlight.text.word_rows import Unit, WordReader, join_words


class TaggedText(LabelledData[TaggedExample]):
    """Sentences with a tag for each word.

    A file is read by its name:

    - ``.jsonl``: records ``{"tokens": [...], "tags": [...]}``, or ``{"text": ..., "spans": [{"start", "end", "label"},
      ...]}`` with places in characters. Such a text is cut into words, and where a span begins or ends within one, so
      is the word, which is counted.
    - any other name: CoNLL's columns, separated by blanks or tabs, a word a line, a blank line after a sentence;
      ``-DOCSTART-`` is left out. So is Chinese text with a character and its BMES tag a line.
    - ``.conllu``: the same, separated by tabs (the word in column 1, its part of speech in 3), without comments, ranges
      of words and empty nodes.

    Words that a tokenizer cuts have the tag at their first token. A sentence with more tokens than ``max_length``
    becomes several rows, which share words, and is scored as one.

    Args:
        files: to train on, where that is done.
        word_column: of a file with columns: the word, from 0.
        tag_column: the tag; -1 is the last one.
        labels: the names of the tags, in order; by default those of ``files``, and in a scheme such as BIO each of its
            letters with each kind, sorted.
        scheme: write spans so (BIO, BIOES or BMES), whatever scheme the files have; None leaves tags as they are, and
            writes the spans of texts in BIO. Tags that say B only between neighbours of a kind, or never (IOB1, as in
            CoNLL 2003, and IO), are written in BIO too, unless ``labels`` lack the B of a kind.
        invalid: what to do with a tag that may not follow the one before it, as I-PER after O: ``count`` them (in
            ``invalid_transitions``) and say how many there are, or ``error``.
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
        max_length: tokens of a row at most, special ones included. From the command line it is the checkpoint's, or the
            network's.
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
            names, validation_fraction, folds, fold, max_length, batch_size, max_tokens, seed, num_workers, cache_folder
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
        self.examples = {stage: self._mark_beginnings(stage, found) for stage, found in self.examples.items()}
        training = self.examples["fit"]
        if self._given is None and not training:
            raise self._no_text("fit", ", or labels where there is nothing to train")
        self.labels = self._given or complete({tag for example in training for tag in example.tags})
        if len(self.labels) < 2:
            raise ValueError(
                f"{self._named('fit')}: all words have the tag {self.labels[0]!r}: at least two are needed"
            )
        self.scheme = scheme_of(self.labels)
        single = bool(training) and all(len(word) == 1 for example in training for word in example.words)
        self.unit = self._unit or ("character" if single else "word")
        for stage, examples in self.examples.items():
            self.cut_words[stage] = sum(example.cut for example in examples)
            check_tags(examples, self.labels)
            self.invalid_transitions[stage] = self._check_transitions(stage, examples)
        if self._untagged is not None:
            self.examples["predict"] = read_tagged(self._untagged, *self._columns, unit=self.unit, tagged=False)

    def _mark_beginnings(self, stage: str, examples: list[TaggedExample]) -> list[TaggedExample]:
        """Writes IOB1 and IO in BIO, and says so."""
        written = with_beginnings(examples, self._given)
        if written is not examples:
            rank_zero_info(
                f"{self._named(stage)}: spans begin with I, and with B where one of their kind is before them (IOB1): "
                "they are read as BIO"
            )
        return written

    def _check_transitions(self, stage: str, examples: Sequence[TaggedExample]) -> int:
        """How many tags may not follow the one before them, or begin or end a sentence."""
        allowed = transitions(self.labels, self.scheme)
        numbers = {label: number for number, label in enumerate(self.labels)}
        faults = []
        for example in examples:
            tags = [numbers[tag] for tag in example.tags]
            if not allowed.start[tags[0]]:
                faults.append(f"{example.where()}: {example.tags[0]} may not stand at the beginning of a sentence")
            for place, pair in enumerate(pairwise(tags), 1):
                if not allowed.pairs[pair]:
                    before, after = example.tags[place - 1 : place + 1]
                    faults.append(f"{example.where(place)}: {after} may not stand after {before}")
            if not allowed.end[tags[-1]]:
                faults.append(f"{example.where(len(tags) - 1)}: {example.tags[-1]} may not end a sentence")
        if faults and self._invalid == "error":
            raise ValueError(f"{faults[0]} in the scheme {self.scheme}; give scheme to write the spans anew")
        if faults:
            rank_zero_info(
                f"{faults[0]} in the scheme {self.scheme}; to {stage} on there are {len(faults):,} such tags, none of "
                "which a constrained tagger gives: give scheme to write the spans anew"
            )
        return len(faults)

    def _check_kinds(self) -> None:
        """Refuses to train where a tag has no example; of a scheme, where its kind has none."""

        def kind(tag: str) -> str:
            return tag if self.scheme == "none" or tag == OUTSIDE else parted(tag)[1]

        trained = {kind(tag) for example in self.examples["fit"] for tag in example.tags}
        if missing := [label for label in self.labels if kind(label) not in trained]:
            raise ValueError(f"{self._named('fit')}: the tag {missing[0]!r} has no example to train on: leave it out")

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
                        "sentence_words": len(example.words),
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
