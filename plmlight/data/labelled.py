"""What all data with labels shares: files become examples, examples rows, rows batches of similar length."""

from __future__ import annotations

import hashlib
import json
from abc import abstractmethod
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from tokenizers import Tokenizer

from plmlight.data.base import Files, Stage, TokenData, named
from plmlight.data.bucketing import BucketedEvaluationLoader, BucketedTrainingLoader
from plmlight.data.cache import cache_root
from plmlight.data.examples import Asked, ExampleSamples, Row, place_of
from plmlight.data.held_out import held_out
from plmlight.data.loader import EpochLoader, SampleLoader
from plmlight.data.readers import Piece
from plmlight.data.sources import Source
from plmlight.text import TokenizerKind, load_tokenizer, replace_file
from plmlight.text.tables import Table, Value

E = TypeVar("E")
STAGES = {"fit": "training", "validate": "validation", "test": "test"}
"""Those with labels, and what a reader calls them."""


@dataclass(frozen=True)
class TextOfExamples:
    """Texts that a tokenizer is trained on.

    Args:
        texts: all of them.
    """

    texts: Sequence[str]
    sources: Sequence[Source] = ()
    sentences: bool = False

    def pieces(self) -> Iterator[Piece]:
        """Each text is a document."""
        return (Piece(text, last=True) for text in self.texts)

    def sample(self, limit: int) -> Iterable[str]:
        """All texts: there are few."""
        return self.texts

    def identity(self, contents: list[Any]) -> list[Any]:
        """The texts' hash."""
        return [hashlib.sha256("\0".join(self.texts).encode()).hexdigest()]


def list_skipped(skipped: Sequence[tuple[str, str]], cache_folder: str | None = None) -> str:
    """Writes what was left out to a file in the cache.

    Args:
        skipped: where each example stands, and why it is left out; at least one.
        cache_folder: by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Returns:
        How many there are, the first of them, and the file.
    """
    text = "".join(json.dumps({"where": a, "why": b}, ensure_ascii=False) + "\n" for a, b in skipped)
    path = cache_root(cache_folder) / "skipped" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with replace_file(path, "w") as handle:
        handle.write(text)
    first, why = skipped[0]
    return f"{len(skipped):,} examples are left out ({first}: {why}, ...): see {path}"


class LabelledData(TokenData, Generic[E]):
    """Examples with labels, read once and held in memory.

    A subclass says how files become examples (`_examples`), which texts they have (`_texts`), how they become rows
    (`_rows`), and in ``per_token`` what each token of a row has. Its constructor ends with `_load`, in which it may
    look at the examples before rows are made of them (`_settle`: to find the names of the labels, for example).

    Args:
        names: what the user named, by stage.
        validation_fraction: of the examples, held out where none to validate on were named.
        folds: cut the examples into so many parts, of which one is held out; in place of ``validation_fraction``.
        fold: which one, from 0.
        max_length: tokens of a row at most.
        batch_size: rows in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept.

    Attributes:
        skipped: where something was left out on request, and why; it is written to a file in the cache too.
        truncated: by stage, how many texts were cut, and of how many; where that is known.
    """

    per_token: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        names: dict[str, Files | None],
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
        super().__init__(validation_fraction, seed, num_workers, cache_folder)
        if folds is not None and folds < 2:
            raise ValueError(f"folds {folds}: at least 2 parts are needed, of which one is held out")
        if not 0 <= fold < (folds or 1):
            raise ValueError(f"fold {fold}: expected 0 to {(folds or 1) - 1}, as folds is {folds}")
        self._names, self.folds, self.fold = names, folds, fold
        self.max_length, self.batch_size, self.max_tokens = max_length, batch_size, max_tokens
        self.examples: dict[str, list[E]] = {}
        self.truncated: dict[str, tuple[int, int]] = {}
        self.skipped: list[tuple[str, str]] = []
        self._said = 0  # of them
        self._cache_folder = cache_folder
        self._samples: dict[str, ExampleSamples] = {}

    @abstractmethod
    def _examples(self, files: Files) -> list[E]:
        """What some files hold, in order; an error names file and line."""

    @abstractmethod
    def _texts(self, example: E) -> Iterable[str]:
        """The texts of an example, that a tokenizer is trained on."""

    @abstractmethod
    def _rows(self, examples: Sequence[E], stage: Stage) -> list[Row]:
        """Examples as rows, in order; of one example there may be several (the windows of a long text) or none."""

    def _asked(self, examples: Sequence[E]) -> list[Row]:
        """What the task is asked of examples to predict on, a row each: it cuts texts itself, as after its training."""
        tokenizer = self.plain_tokenizer()
        found = tokenizer.encode_batch(["\n".join(self._texts(example)) for example in examples])
        return [
            {"input_ids": encoding.ids[: self.max_length], "requests": example.request(), "places": place_of(example)}
            for example, encoding in zip(examples, found, strict=True)
            if isinstance(example, Asked)
        ]

    def _told(self, example: E) -> str | tuple[str, ...]:
        """An example for a person to read: a text, or words that have something said of each."""
        return "\n".join(self._texts(example))

    def _classes(self, example: E) -> Sequence[str]:
        """What is counted to see how balanced the data is: an example's class, or those of its words."""
        return ()

    def _group(self, example: E) -> Hashable | None:
        """What is equal for examples that must not be parted between training and validation; None for nothing."""
        return None

    def _strata(self, examples: Sequence[E]) -> Sequence[Hashable | None]:
        """What each fold has its part of, of each example; None for nothing."""
        return [None] * len(examples)

    def _settle(self) -> None:
        """Looks at ``self.examples`` of all stages, before there are rows."""

    def _load(self, tokenizer: str | None, kind: TokenizerKind, vocab_size: int, lowercase: bool) -> None:
        """Reads the examples, finds or trains the tokenizer."""
        if self.folds is not None and self._names.get("validate"):
            raise ValueError("folds hold a part of files out, and validation_files name another: leave one of them out")
        self.examples = {stage: self._examples(files) for stage, files in self._names.items() if files}
        self.examples.setdefault("fit", [])
        if self.examples["fit"] and "validate" not in self.examples and (self.folds or self._fraction):
            held = self._held_out(self.examples["fit"])
            both = list(zip(held, self.examples["fit"], strict=True))
            self.examples["fit"] = [example for out, example in both if not out]
            self.examples["validate"] = [example for out, example in both if out]
        self._settle()
        self._say_skipped()
        if tokenizer is None and not self.examples["fit"]:
            raise self._no_text("fit", ", or name a tokenizer where there is nothing to train")
        if tokenizer is not None:
            self.tokenizer = load_tokenizer(Path(tokenizer).expanduser())
        else:
            texts = [text for example in self.examples["fit"] for text in self._texts(example)]
            self.tokenizer = self._cache.tokenizer(TextOfExamples(texts), kind, vocab_size, lowercase)

    def _say_skipped(self) -> None:
        """Writes what was left out to a file, and says so, where there is more of it than was said."""
        if len(self.skipped) == self._said:
            return
        self._said = len(self.skipped)
        rank_zero_info(list_skipped(self.skipped, self._cache_folder))

    def _held_out(self, examples: Sequence[E]) -> list[bool]:
        """Which examples are held out, the same ones for every seed."""
        groups, classes = [self._group(each) for each in examples], [self._classes(each) for each in examples]
        try:
            return held_out(groups, self._strata(examples), classes, self._fraction, self.folds, self.fold)
        except ValueError as error:
            raise ValueError(f"{self._named('fit')}: {error}") from None

    def plain_tokenizer(self) -> Tokenizer:
        """The tokenizer without padding and truncation, a copy that may be changed."""
        copy = Tokenizer.from_str(self.tokenizer.to_str())
        copy.no_padding()
        copy.no_truncation()
        return copy

    def samples(self, stage: Stage) -> ExampleSamples:
        """The samples of a stage.

        Args:
            stage: which.

        Returns:
            At least one.

        Raises:
            ValueError: when there is none, or all are left out.
        """
        if stage not in self._samples:
            if not self.examples.get(stage):
                raise self._no_text(stage)
            examples = self.examples[stage]
            asks = stage == "predict" and isinstance(examples[0], Asked)
            rows = self._asked(examples) if asks else self._rows(examples, stage)
            self._say_skipped()
            if not rows:
                raise ValueError(
                    f"{type(self).__name__}: none of {len(examples)} examples to {stage} on is left; max_length is "
                    f"{self.max_length}"
                )
            self._samples[stage] = ExampleSamples(rows, self.pad_token_id, self.per_token)
        return self._samples[stage]

    def told(self, stage: Stage, sample: int) -> str | tuple[str, ...]:
        """What a sample was made of, for a person to read.

        Args:
            stage: which.
            sample: the number of the sample.

        Returns:
            The text of its example, or its words where something is said of each.
        """
        number = self.samples(stage).rows[sample].get("example_ids", sample)
        return self._told(self.examples[stage][number])

    def statistics(self) -> list[Table]:
        """How many examples there are, how long they are, and how balanced, of what was read so far.

        Returns:
            Tables for a person to read.
        """
        stages = [stage for stage in STAGES if self.examples.get(stage)]
        heads = ["", "examples", "rows", "tokens of a row: mean", "median", "95 %", "longest", "cut", "cut, %"]
        tables = [Table("Data", heads, [self._lengths(stage) for stage in stages])]
        counts = {stage: Counter(n for each in self.examples[stage] for n in self._classes(each)) for stage in stages}
        totals = {stage: max(1, counts[stage].total()) for stage in stages}
        rows = []
        for name in sorted({name for found in counts.values() for name in found}):
            cells = [(counts[stage][name], 100 * counts[stage][name] / totals[stage]) for stage in stages]
            rows.append([name, *(cell for pair in cells for cell in pair)])
        heads = ["label", *(head for stage in stages for head in (STAGES[stage], "%"))]
        return [*tables, Table("Balance of labels", heads, rows)]

    def _lengths(self, stage: str) -> list[Value]:
        """A row of the table of data; what is not tokenised yet has no lengths."""
        found: list[Value] = [STAGES[stage], len(self.examples[stage])]
        if stage not in self._samples:
            return [*found, *[None] * 7]
        samples = self._samples[stage]
        lengths = samples.lengths(np.arange(len(samples)), 0).reshape(len(samples), -1).sum(1)
        low, high = np.percentile(lengths, (50, 95)).tolist()
        cut, texts = self.truncated.get(stage, (None, 0))
        share = None if cut is None else 100 * cut / max(1, texts)
        return [*found, len(samples), float(lengths.mean()), low, high, int(lengths.max()), cut, share]

    def _training(self, **share: int) -> EpochLoader:
        samples = self.samples("fit")
        return BucketedTrainingLoader(samples, self.batch_size, self.max_tokens, self.seed, self.num_workers, **share)

    def _evaluation(self, stage: Stage, **share: int) -> SampleLoader:
        samples = self.samples(stage)
        return BucketedEvaluationLoader(samples, self.batch_size, self.max_tokens, self.num_workers, **share)

    @property
    def _validates(self) -> bool:
        return bool(self.examples.get("validate"))


def check_some(examples: Sequence[Any], files: Files, skipped: Sequence[tuple[str, str]]) -> None:
    """Refuses files without an example.

    Args:
        examples: what was read.
        files: the files.
        skipped: where something in them was left out, and why.

    Raises:
        ValueError: where there is none.
    """
    if not examples:
        left = f" left; the first of {len(skipped)} was refused: {': '.join(skipped[0])}" if skipped else ""
        raise ValueError(f"{named(files)}: there is no example{left}")
