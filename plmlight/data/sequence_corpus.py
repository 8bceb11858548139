"""What all data of sources with targets share: two vocabularies or one, lengths, batches of both sides."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.utilities import rank_zero_info
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.data.base import Corpus, Files, Stage
from plmlight.data.bucketing import BucketedEvaluationLoader, BucketedTrainingLoader
from plmlight.data.cache import Text
from plmlight.data.loader import EpochLoader, SampleLoader
from plmlight.data.sampling import Indices
from plmlight.data.sequences import (
    SIDES,
    OneSide,
    PairedText,
    Sequences,
    SequenceSamples,
    TooLong,
    numbers_with_text,
    parted,
)
from plmlight.data.shards import Shards
from plmlight.text import TextForm, TokenizerKind, frame, load_tokenizer

OWN = "own"
"""In the place of a path: a tokenizer of the target's own is trained."""


class SequenceCorpus(Corpus):
    """Sources with their targets, apart, tokenised once into memory-mapped shards.

    A subclass says what the text is (`_pairs`) and which samples belong together (`_groups`), sets ``max_length``,
    ``max_target_length``, ``too_long``, ``batch_size`` and ``max_tokens``; its constructor ends with `_load_apart`.
    """

    max_length: int | None
    max_target_length: int | None
    too_long: TooLong
    batch_size: int
    max_tokens: int | None
    keeps_end = False
    """Whether a source that is too long loses its beginning."""

    def __init__(
        self,
        names: dict[str, Files | None],
        validation_fraction: float,
        seed: int,
        num_workers: int,
        cache_folder: str | None,
    ) -> None:
        super().__init__(names, validation_fraction, seed, num_workers, cache_folder)
        self._targets: dict[str, Shards] = {}
        self._said: set[str] = set()

    @property
    @abstractmethod
    def text_form(self) -> TextForm:
        """What stands before a source."""

    @abstractmethod
    def _pairs(self, files: Files) -> PairedText:
        """What some files hold."""

    @abstractmethod
    def _groups(self, sides: tuple[Sequences, Sequences], shards: Shards, numbers: Indices) -> NDArray[Any]:
        """A number for each pair [n], equal for those that must not be parted."""

    def _text(self, files: Files) -> Text:
        return OneSide(self._pairs(files), None)

    def _tokenised(self, text: Text) -> Shards:
        return self._cache.shards(text, self.tokenizer)

    def _load_apart(
        self,
        tokenizer: str | None,
        kind: TokenizerKind,
        vocab_size: int,
        lowercase: bool,
        target: str | None = None,
        target_kind: TokenizerKind | None = None,
        target_vocab_size: int | None = None,
        special: tuple[str, ...] = (),
    ) -> None:
        """Finds or trains the tokenizers, and finds or writes the shards of both sides.

        Args:
            tokenizer: a path; None trains one: on both sides, or where ``target`` is not None on sources.
            kind: what to train.
            vocab_size: its size at most.
            lowercase: lower the case of all text.
            target: a path, `OWN` to train one on targets, None to share the first.
            target_kind: what to train; ``kind`` by default.
            target_vocab_size: its size at most; ``vocab_size`` by default.
            special: more special tokens of a tokenizer that is trained.
        """
        files = self._names["fit"]
        assert files is not None
        pairs = self._pairs(files)

        def found(path: str | None, side: int | None, kind: TokenizerKind, size: int) -> Tokenizer:
            if path is not None:
                return load_tokenizer(Path(path).expanduser())
            return self._cache.tokenizer(OneSide(pairs, side), kind, size, lowercase, special)

        self.tokenizer = found(tokenizer, None if target is None else 0, kind, vocab_size)
        if target is not None:
            path = None if target == OWN else target
            self.target_tokenizer = found(path, 1, target_kind or kind, target_vocab_size or vocab_size)
        tokenizers = (self.tokenizer, self.target_tokenizer or self.tokenizer)
        self._frames = [frame(tokenizer) for tokenizer in tokenizers]
        for stage, names in self._names.items():
            if names:
                pairs = self._pairs(names)
                self._shards[stage], self._targets[stage] = (
                    self._cache.shards(OneSide(pairs, side), tokenizers[side]) for side in (0, 1)
                )

    def samples(self, stage: Stage) -> SequenceSamples:
        """The samples of a stage. How many are too long is logged, once.

        Args:
            stage: which.

        Returns:
            The samples, at least one.

        Raises:
            ValueError: when there is no text, or with ``too_long`` error a sample is too long.
        """
        held = stage in ("fit", "validate") and self._splits
        at = "fit" if held else stage
        if at not in self._shards:
            raise self._no_text(stage)
        sides = (self._shards[at], self._targets[at])
        source = Sequences(sides[0], self._frames[0], self.max_length, self.keeps_end)
        target = Sequences(sides[1], self._frames[1], self.max_target_length)
        numbers = numbers_with_text(sides, self._named(at))
        if held:
            out = parted(self._groups((source, target), sides[0], numbers), self._fraction)
            numbers = numbers[out == (stage == "validate")]
            if not len(numbers):
                raise ValueError(
                    f"{self._named(at)}: nothing is left to {stage} on; all pairs belong together, so name "
                    "validation_files, or set validation_fraction 0"
                )
        numbers = self._fitting(source, target, numbers, stage)
        return SequenceSamples(source, target, numbers, self.pad_token_id)

    def _fitting(self, source: Sequences, target: Sequences, numbers: Indices, stage: Stage) -> Indices:
        """The pairs without those that are to be left out, and the log's line about those that are too long."""
        whole = np.stack([side.whole(numbers) for side in (source, target)], 1)
        limits = [side.max_length for side in (source, target)]
        over = np.stack([column > (limit or np.inf) for column, limit in zip(whole.T, limits, strict=True)], 1)
        if not over.any():
            return numbers
        named = self._named(stage)
        if self.too_long == "error":
            place, side = np.argwhere(over)[0]
            limit = f"{'max_target_length' if side else 'max_length'} {limits[side]}"
            raise ValueError(
                f"{named}: the {SIDES[side]} of pair {numbers[place] + 1} has {whole[place, side]} tokens, more than "
                f"{limit}; raise that, or set too_long to truncate or drop"
            )
        drop = self.too_long == "drop" and stage == "fit"
        counts = [
            f"{count:,} {name}{'s are' if count > 1 else ' is'} longer than {limit}"
            for count, name, limit in zip(over.sum(0), SIDES, limits, strict=True)
            if count
        ]
        what = "their pairs are left out" if drop else "they are cut"
        said = f"{named}: of {len(numbers):,} pairs to {stage} on {' and '.join(counts)} tokens: {what}"
        if said not in self._said:
            self._said.add(said)
            rank_zero_info(said)
        left: Indices = numbers[~over.any(1)] if drop else numbers
        if not len(left):
            raise ValueError(f"{named}: of {len(numbers):,} pairs {' and '.join(counts)} tokens, so that none is left")
        return left

    def _training(self, **share: int) -> EpochLoader:
        return BucketedTrainingLoader(
            self.samples("fit"), self.batch_size, self.max_tokens, self.seed, self.num_workers, **share
        )

    def _evaluation(self, stage: Stage, **share: int) -> SampleLoader:
        return BucketedEvaluationLoader(
            self.samples(stage), self.batch_size, self.max_tokens, self.num_workers, **share
        )
