"""Texts that belong together: pairs, triplets, pairs with a score, or single texts."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData
from plmlight.data.records import records
from plmlight.data.sources import resolve
from plmlight.text import TokenizerKind


@dataclass(frozen=True)
class TextsExample:
    """Texts that belong together, perhaps with a score, and where they stand."""

    where: str
    texts: tuple[str, ...]
    score: float | None


class TextPairs(LabelledData[TextsExample]):
    """Texts that belong together: pairs, triplets (text, partner, no partner), pairs with a score, or single texts.

    Args:
        files: to train on, where that is done: .csv, .tsv (no quoting) with a header, .jsonl, .parquet or ``dataset:``
            names.
        text_fields: the columns or keys of the texts; sentence1 and sentence2 by default. One column makes each text an
            example by itself (SimCSE), a third one and further ones are texts that do not belong to the first.
        score_field: of how alike the first two texts are. None for texts without scores. Columns that are all given by
            their number, from 1, are those of a table without a header.
        score_range: the lowest and the highest score, which become 0 and 1; None leaves scores as they are.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; examples of one first text stay
            together; 0 for none.
        folds: cut ``files`` into so many parts, of which ``fold`` is held out, in place of ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on; scores may be missing.
        max_length: tokens of a text at most, special ones included; longer ones are cut. From the command line it is
            the checkpoint's, or the network's.
        batch_size: examples in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, of all texts, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files, texts or scores that cannot be used, naming file and line.
    """

    def __init__(
        self,
        files: str | list[str] | None = None,
        text_fields: list[str] | None = None,
        score_field: str | None = None,
        score_range: list[float] | None = None,
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
        names = {"fit": files, "validate": validation_files, "test": test_files}
        super().__init__(
            names, validation_fraction, folds, fold, max_length, batch_size, max_tokens, seed, num_workers, cache_folder
        )
        self.text_fields = text_fields if text_fields is not None else ["sentence1", "sentence2"]
        self.score_field, self.score_range, self._to_predict = score_field, score_range, predict_files
        if not self.text_fields:
            raise ValueError("text_fields is empty: expected the names of one column, or of several")
        if score_field is not None and len(self.text_fields) != 2:
            raise ValueError(f"text_fields {self.text_fields}: a score is that of two texts, so name two columns")
        if score_range is not None and (len(score_range) != 2 or not score_range[0] < score_range[1]):
            raise ValueError(f"score_range {score_range}: expected two numbers, the lowest and the highest score")
        if score_range is not None and score_field is None:
            raise ValueError(f"score_range {score_range} was given, but no score_field that it is the range of")
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    def _examples(self, files: Files) -> list[TextsExample]:
        scored = [] if self.score_field is None else [self.score_field]
        examples = self._read(files, scored)
        if scored and len(examples) > 1 and len({example.score for example in examples}) == 1:
            raise ValueError(f"{examples[0].where}: this and all other scores are equal: at least two are needed")
        return examples

    def _settle(self) -> None:
        if self._to_predict:
            self.examples["predict"] = self._read(self._to_predict, [])

    def _read(self, files: Files, scored: Sequence[str]) -> list[TextsExample]:
        return [
            self._example(where, found)
            for source in resolve(files)
            for where, found in records(source, [*self.text_fields, *scored], scored)
        ]

    def _example(self, where: str, found: Sequence[str]) -> TextsExample:
        texts = tuple(found[: len(self.text_fields)])
        for field, text in zip(self.text_fields, texts, strict=True):
            if not text.strip():
                raise ValueError(f"{where}: the text {field!r} is empty")
        return TextsExample(where, texts, self._score(where, found[-1]) if len(found) > len(texts) else None)

    def _score(self, where: str, text: str) -> float:
        try:
            score = float(text)
        except ValueError:
            score = math.nan
        if not math.isfinite(score):
            raise ValueError(f"{where}: the score {text!r} is not a number")
        if self.score_range is None:
            return score
        low, high = self.score_range
        if not low <= score <= high:
            raise ValueError(f"{where}: the score {text} lies outside score_range, {low:g} to {high:g}")
        return (score - low) / (high - low)

    def _texts(self, example: TextsExample) -> Iterable[str]:
        return example.texts

    def _group(self, example: TextsExample) -> Hashable | None:
        return example.texts[0]

    def _rows(self, examples: Sequence[TextsExample], stage: Stage) -> list[Row]:
        tokenizer = self.plain_tokenizer()
        if self.max_length is not None:
            tokenizer.enable_truncation(self.max_length)
        numbers: dict[str, int] = {}
        for example in examples:
            for text in example.texts:
                numbers.setdefault(text, len(numbers))
        encodings = tokenizer.encode_batch(list(numbers))
        rows: list[Row] = []
        for example in examples:
            ids = [numbers[text] for text in example.texts]
            row = {"text_ids": np.array(ids), **({} if example.score is None else {"scores": example.score})}
            for place, number in enumerate(ids):
                which = f"_{place + 1}" if place else ""
                row[f"input_ids{which}"] = encodings[number].ids
                row[f"token_type_ids{which}"] = encodings[number].type_ids
            rows.append(row)
        return rows
