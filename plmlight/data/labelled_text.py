"""Texts with the name of their class."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData
from plmlight.data.readers import records
from plmlight.data.sources import resolve
from plmlight.text import TokenizerKind, nearest


@dataclass(frozen=True)
class LabelledExample:
    """A text with its label, and where they stand."""

    where: str
    text: str
    label: str


class LabelledText(LabelledData[LabelledExample]):
    """Texts with the name of their class.

    Args:
        files: to train on: .csv, .tsv (with a header), .jsonl, .parquet or ``dataset:`` names.
        text_field: the column or key of the text.
        label_field: of the label.
        labels: the names of the classes, in order; by default those of ``files``, sorted.
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
        predict_files: to predict on.
        max_length: tokens of a text at most, special ones included; longer ones are cut. From the command line it is
            the network's.
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
        files: str | list[str],
        text_field: str = "text",
        label_field: str = "label",
        labels: list[str] | None = None,
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
        self._fields = text_field, label_field
        self._given = labels
        self.labels: list[str] = []
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    def _examples(self, files: Files) -> list[LabelledExample]:
        return [
            LabelledExample(where, text, label)
            for source in resolve(files)
            for where, (text, label) in records(source, self._fields)
        ]

    def _texts(self, example: LabelledExample) -> Iterable[str]:
        return (example.text,)

    def _settle(self) -> None:
        self.labels = self._given or sorted({example.label for example in self.examples["fit"]})
        known = set(self.labels)
        for examples in self.examples.values():
            for example in examples:
                if example.label not in known:
                    raise ValueError(
                        f"{example.where}: the label {example.label!r} is not known"
                        f"{nearest(example.label, self.labels)}"
                    )

    def _rows(self, examples: Sequence[LabelledExample], stage: Stage) -> list[Row]:
        tokenizer = self.plain_tokenizer()
        if self.max_length is not None:
            tokenizer.enable_truncation(self.max_length)
        numbers = {label: number for number, label in enumerate(self.labels)}
        encodings = tokenizer.encode_batch([example.text for example in examples])
        return [
            {"input_ids": encoding.ids, "token_type_ids": encoding.type_ids, "labels": numbers[example.label]}
            for example, encoding in zip(examples, encodings, strict=True)
        ]
