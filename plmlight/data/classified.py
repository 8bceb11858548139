"""What data of texts and of pairs of texts with labels share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from tokenizers import Encoding
from torch import Tensor

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData, check_some
from plmlight.data.labelled_examples import Label, LabelledExample, LabelReader, found_names, known_label, label_names
from plmlight.heads.cross_entropy import IGNORED
from plmlight.text import ClassName

OnError = Literal["stop", "skip"]


class ClassifiedData(LabelledData[LabelledExample]):
    """One text or two, with what is said of them.

    Args:
        names: as in `LabelledData`, and by ``unlabelled`` texts without a label that are trained on too.
        reader: reads files.
        labels: the names of the classes, or a file with one a line; by default those of the examples to train on.
        stride: tokens that the windows of a long text share; None cuts it.
        validation_fraction: as in `LabelledData`.
        folds: as in `LabelledData`.
        fold: as in `LabelledData`.
        max_length: as in `LabelledData`.
        batch_size: as in `LabelledData`.
        max_tokens: as in `LabelledData`.
        seed: as in `LabelledData`.
        num_workers: as in `LabelledData`.
        cache_folder: as in `LabelledData`; what is left out is written there too.

    Attributes:
        labels: the names of the classes, in order; of a regression the field of the number.
    """

    def __init__(
        self,
        names: dict[str, Files | None],
        reader: LabelReader,
        labels: Sequence[ClassName] | str | None,
        stride: int | None,
        validation_fraction: float,
        folds: int | None,
        fold: int,
        max_length: int | None,
        batch_size: int,
        max_tokens: int | None,
        seed: int,
        num_workers: int,
        cache_folder: str | None,
    ) -> None:
        told = {stage: files for stage, files in names.items() if stage not in ("predict", "unlabelled")}
        super().__init__(
            told, validation_fraction, folds, fold, max_length, batch_size, max_tokens, seed, num_workers, cache_folder
        )
        if stride is not None and stride < 0:
            raise ValueError(f"stride {stride}: windows share at least 0 tokens; leave it out to cut long texts")
        self._reader, self.stride, self.problem = reader, stride, reader.problem
        self.skipped = reader.skipped
        self._to_predict, self._unlabelled = names["predict"], names.get("unlabelled")
        self._given = label_names(labels)
        self.labels: list[str] = []

    @property
    def label_counts(self) -> Tensor | None:
        """How many examples to train on have each class [L]; None for numbers."""
        if self.problem == "regression":
            return None
        found = Counter(name for example in self.examples["fit"] for name in _names(example.label))
        return torch.tensor([found[name] for name in self.labels])

    def _examples(self, files: Files) -> list[LabelledExample]:
        return self._read(files)

    def _read(self, files: Files, labelled: bool = True) -> list[LabelledExample]:
        before = len(self.skipped)
        found = self._reader.read(files, labelled)
        check_some(found, files, self.skipped[before:])
        return found

    def _texts(self, example: LabelledExample) -> Iterable[str]:
        return example.texts

    def _classes(self, example: LabelledExample) -> Sequence[str]:
        return _names(example.label)

    def _strata(self, examples: Sequence[LabelledExample]) -> Sequence[Hashable | None]:
        """The class; of several labels the rarest, as there are too many sets of them."""
        names = [_names(example.label) for example in examples]
        counts = Counter(name for each in names for name in each)
        return [min(each, key=lambda name: (counts[name], name), default=None) for each in names]

    def _settle(self) -> None:
        if self._to_predict:
            self.examples["predict"] = self._read(self._to_predict, labelled=False)
        if self.problem == "regression":
            self.labels = self._given or [str(self._reader.label)]
        else:
            self._settle_names()
        if self._unlabelled:
            self.examples["fit"] = [*self.examples["fit"], *self._read(self._unlabelled, labelled=False)]

    def _settle_names(self) -> None:
        """Finds the names of the classes, and gives each example its label by them."""
        if self._given is None and not self.examples["fit"]:
            raise self._no_text("fit", ", or labels where there is nothing to train")
        self.labels = self._given or found_names([example.label for example in self.examples["fit"]])
        if not self.labels:
            raise ValueError(f"{self._named('fit')}: no example has a label")
        for stage, examples in self.examples.items():
            known = []
            for example in examples:
                try:
                    label = known_label(example.label, self.labels, self._given is not None)
                except ValueError as error:
                    self._reader.refuse(example.where, str(error))
                    continue
                known.append(replace(example, label=label))
            self.examples[stage] = known
        if self.problem == "single-label" and len(self.labels) < 2:
            raise ValueError(
                f"{self._named('fit')}: there is no other label than {self.labels[0]!r} "
                f"({len(self.examples['fit'])} examples): at least two classes are needed"
            )

    def _check_classes(self) -> None:
        """Refuses to train where a class has no example."""
        counts = self.label_counts
        if counts is not None and not bool(counts.all()):
            missing = [name for name, count in zip(self.labels, counts.tolist(), strict=True) if not count]
            more = f" (nor have {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise ValueError(f"{self._named('fit')}: the class {missing[0]!r} has no example to train on{more}")

    def _rows(self, examples: Sequence[LabelledExample], stage: Stage) -> list[Row]:
        if stage == "fit":
            self._check_classes()
        tokenizer = self.plain_tokenizer()
        if self.max_length is not None:
            special = tokenizer.num_special_tokens_to_add(len(examples[0].texts) > 1)
            room = self.max_length - special
            if room < len(examples[0].texts):
                raise ValueError(f"max_length {self.max_length}: {special} of these tokens are special ones")
            if self.stride is not None and self.stride >= room:
                raise ValueError(f"stride {self.stride}: windows of {room} tokens can share at most {room - 1}")
            tokenizer.enable_truncation(self.max_length, stride=self.stride or 0)
        found = tokenizer.encode_batch([text[0] if len(text := each.texts) == 1 else text for each in examples])
        rows: list[Row] = []
        for number, (example, encoding) in enumerate(zip(examples, found, strict=True)):
            if not encoding.ids:
                raise ValueError(f"{example.where}: the text has no tokens")
            windows = [encoding, *(encoding.overflowing if self.stride is not None else [])]
            rows += [self._row(example, window, number, stage) for window in windows]
        self._say_truncated(stage, sum(bool(encoding.overflowing) for encoding in found), len(found), len(rows))
        return rows

    def _row(self, example: LabelledExample, window: Encoding, number: int, stage: Stage) -> Row:
        row: Row = {"input_ids": window.ids, "token_type_ids": window.type_ids}
        if self.stride is not None:
            row = {**row, "example_ids": number}
        if example.label is None:
            return row if stage == "predict" else {**row, "labels": self._no_label()}
        if isinstance(example.label, float):
            return {**row, "labels": example.label}
        if isinstance(example.label, tuple):
            return {**row, "labels": np.array([int(name in example.label) for name in self.labels], dtype=np.int64)}
        return {**row, "labels": self.labels.index(example.label)}

    def _no_label(self) -> Any:
        if self.problem == "regression":
            return float("nan")
        return np.full(len(self.labels), IGNORED) if self.problem == "multi-label" else IGNORED

    def _say_truncated(self, stage: Stage, longer: int, texts: int, rows: int) -> None:
        self.truncated[stage] = (0 if self.stride is not None else longer, texts)
        if longer:
            done = "are cut" if self.stride is None else f"become windows: {rows:,} rows in all"
            longer_ones = f"{longer:,} of {texts:,} texts to {stage} on are longer than {self.max_length} tokens"
            rank_zero_info(f"{self._named(stage)}: {longer_ones}: they {done}")


def _names(label: Label | None) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (label,) if isinstance(label, str) else ()
