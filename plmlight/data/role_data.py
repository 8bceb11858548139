"""Sentences with a predicate and the roles of its arguments."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData
from plmlight.data.propositions import RoleExample, read_roles
from plmlight.data.relation_data import find_markers
from plmlight.data.tagged_files import check_tags
from plmlight.data.tagged_text import complete
from plmlight.decoding.predicates import ClauseReader
from plmlight.text import TokenizerKind
from plmlight.text.tagging import OUTSIDE
from plmlight.text.word_rows import join_words


class RoleData(LabelledData[RoleExample]):
    """Sentences with the roles of a predicate's arguments: an example for each predicate of a sentence.

    A file is read by its name and its first line:

    - ``.jsonl``: records ``{"tokens": [...], "predicate": 2, "tags": [...]}``, with the number of the predicate's word
      from 0 and BIO tags; in the place of ``tags`` there may be ``"spans": [{"start", "end", "label"}, ...]``, with the
      numbers of the first word and of the one behind the last. ``words`` is another name of ``tokens``.
    - ``#begin document`` at the top: the columns of CoNLL-2012 (OntoNotes).
    - any other: the columns of CoNLL-2005, separated by blanks, a word a line and a blank line after a sentence: the
      word, whatever else, the predicate or ``-``, and for each predicate a column with its roles in brackets
      (``(A0*``, ``*``, ``*)``).

    A sentence without a predicate gives no example. The predicate is read between two marker tokens; of a sentence with
    more tokens than ``max_length`` words at the beginning and the end are left out, and count as without a role.

    Args:
        files: to train on, where that is done.
        word_column: of files with columns: the word, from 0; by default the first of CoNLL-2005, the fourth of
            CoNLL-2012.
        labels: the names of the tags, in order; by default B and I of each role in ``files``, and O, sorted.
        markers: the tokens of the vocabulary that stand before and after the predicate. By default the first two that a
            vocabulary of BERT's kind leaves unused, and where it has none new ones, for which the network's token table
            gets rows.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most, without the markers.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``, whole sentences.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none.
        folds: cut ``files`` into so many parts, of which ``fold`` is held out, in place of ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on; roles may be missing. A sentence may be a text as ``infer`` takes it too: a line
            ``She [gave] it away.`` of a file that begins with such a one, or a record of ``text``.
        max_length: tokens of a sentence at most, markers and special ones included. From the command line it is the
            checkpoint's, or the network's.
        batch_size: sentences in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files or roles that cannot be used, naming file and line.
    """

    per_token = ("word_mask", "labels")

    def __init__(
        self,
        files: str | list[str] | None = None,
        word_column: int | None = None,
        labels: list[str] | None = None,
        markers: list[str] | None = None,
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
        self._word_column, self._unlabelled, self._given = word_column, predict_files, labels
        self.labels: list[str] = []
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)
        self.markers = find_markers(self.tokenizer, markers, 2)

    @property
    def vocab_size(self) -> int:
        """V, one more than the largest id, those of the markers included."""
        return max(super().vocab_size, max(self.markers) + 1)

    def _examples(self, files: Files) -> list[RoleExample]:
        return read_roles(files, self._word_column)

    def _texts(self, example: RoleExample) -> Iterable[str]:
        return (join_words(example.words)[0],)

    def _told(self, example: RoleExample) -> tuple[str, ...]:
        return tuple(f"[{word}]" if place == example.predicate else word for place, word in enumerate(example.words))

    def _classes(self, example: RoleExample) -> Sequence[str]:
        return example.tags

    def _group(self, example: RoleExample) -> Hashable:
        return example.words

    def _settle(self) -> None:
        training = self.examples["fit"]
        if self._given is None and not training:
            raise self._no_text("fit", ", or labels where there is nothing to train")
        self.labels = self._given or complete({OUTSIDE, *(tag for example in training for tag in example.tags)})
        if len(self.labels) < 2:
            raise ValueError(f"{self._named('fit')}: all words are without a role: at least one role is needed")
        for examples in self.examples.values():
            check_tags(examples, self.labels)
        if self._unlabelled is not None:
            self.examples["predict"] = read_roles(self._unlabelled, self._word_column, labelled=False)

    def _rows(self, examples: Sequence[RoleExample], stage: Stage) -> list[Row]:
        reader = ClauseReader(self.tokenizer, self.markers, self.max_length)
        numbers = {label: number for number, label in enumerate(self.labels)}
        clauses = [(example.words, (example.predicate, example.predicate + 1)) for example in examples]
        found: list[Row] = []
        cut = 0
        for number, (example, row) in enumerate(zip(examples, reader.read(clauses), strict=True)):
            if isinstance(row, str):
                raise ValueError(f"{example.where(example.predicate)}: {row}")
            cut += len(row.starts) < len(example.words)
            roles = [numbers[tag] for tag in example.tags]
            labels, mask = np.full(len(row.ids), -100, np.int64), np.zeros(len(row.ids), np.int64)
            labels[row.starts], mask[row.starts] = roles[row.first : row.first + len(row.starts)], 1
            found.append(
                {
                    "input_ids": row.ids,
                    "token_type_ids": row.type_ids,
                    "word_mask": mask,
                    "labels": labels,
                    "roles": roles,  # of all words, those that are not read too
                    "example_ids": number,
                    "first_words": row.first,
                }
            )
        self.truncated[stage] = cut, len(examples)
        return found
