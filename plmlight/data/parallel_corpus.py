"""Parallel text, for models that translate or summarise, and for translation language modelling."""

from __future__ import annotations

from typing import Any, Literal

from numpy.typing import NDArray

from plmlight.data.base import Files, Stage
from plmlight.data.cache import Text
from plmlight.data.parallel import ParallelText, SentencePairs, TranslationSamples, parallel_sources
from plmlight.data.rows import Rows, row_form
from plmlight.data.sampling import Indices
from plmlight.data.sequence_corpus import SequenceCorpus
from plmlight.data.sequences import SIDES, Sequences, SequenceSamples, TooLong
from plmlight.data.shards import Shards
from plmlight.text import TextForm, TokenizerKind

Form = Literal["joined", "apart"]


class ParallelCorpus(SequenceCorpus):
    """Sources with their targets: translations, summaries; tokenised once into memory-mapped shards.

    ``apart``, for models that read the source and write the target, batches are dictionaries of int64 tensors:
    ``input_ids`` and ``attention_mask`` [B, S], ``labels`` [B, T], -100 at padding, ``sample_ids`` [B], ``epoch`` [].
    Each side stands in its tokenizer's own frame (``x </s>``, ``[CLS] x [SEP]``). Samples of which both sides have
    similar lengths make a batch.

    ``joined``, for translation language modelling, a sample is ``<s> source </s> <s> target </s>`` (Lample and Conneau
    2019, arXiv:1901.07291, section 3.4), with ``[CLS]`` and ``[SEP]`` in a vocabulary that has these. Batches have
    ``input_ids``, ``attention_mask``, ``token_type_ids`` (the number of each token's language) and ``position_ids``
    (which restart with the target) [B, T], ``sample_ids`` and ``epoch``.

    Args:
        files: text to train on: two files whose lines translate each other; one with source, tab, target in each line
            (more columns are ignored); or files with fields: .jsonl .csv .parquet, ``dataset:PATH[:CONFIG][:SPLIT]``,
            and .tsv with a header where ``source_field`` is set. Plain or .gz .bz2 .xz .zst.
        languages: the names of source and target; joined, their numbers are 0 and 1.
        form: ``joined`` or ``apart``. From the command line it follows from the task.
        source_field: the field or column with the source, in files that have these; ``source`` by default.
        target_field: the field or column with the target; ``target`` by default.
        reverse: take the second file, column or field for the source, and the first for the target.
        prefix: text before each source: "translate German to English: ".
        tokenizer: a tokenizer.json or a folder with one. None trains one on ``files``: on both sides, or where the
            target has its own on sources. It must have a token that ends a text; joined, one that opens it, too.
        tokenizer_kind: what to train; unigram by default, joined wordpiece (roberta, albert and xlm will do).
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text, and leave out accents, in a tokenizer that is trained.
        target_tokenizer: the target's own: a path as for ``tokenizer``, or ``own`` to train one on targets. None
            shares one vocabulary.
        target_tokenizer_kind: what to train for the target; ``tokenizer_kind`` by default.
        target_tokenizer_vocab_size: its size at most; ``tokenizer_vocab_size`` by default.
        validation_files: text to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none. Pairs with the same
            source stay together, with ``reverse`` those with the same target.
        test_files: text to test on.
        predict_files: text to predict on.
        max_length: tokens of a source at most (joined, of both), special ones included; None apart for no limit. From
            the command line it is the network's.
        max_target_length: tokens of a target at most, special ones included; None for no limit. From the command line
            it is the network's.
        too_long: what happens to longer ones, apart: ``truncate`` cuts off their ends, ``drop`` leaves out their pairs
            in training (what is scored is cut), ``error`` refuses them.
        batch_size: samples in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, of sources and targets together, padding included: the
            longer the samples, the fewer.
        seed: of the order.
        num_workers: processes that read ahead. Reading is one indexing of a memory map, so 0 is usually best.
        cache_folder: where tokenizers and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files that do not fit to each other, text or a tokenizer that cannot be read or used, naming
            file and line.
    """

    def __init__(
        self,
        files: str | list[str],
        languages: tuple[str, str] = ("source", "target"),
        form: Form = "joined",
        source_field: str | None = None,
        target_field: str | None = None,
        reverse: bool = False,
        prefix: str | None = None,
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind | None = None,
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        target_tokenizer: str | None = None,
        target_tokenizer_kind: TokenizerKind | None = None,
        target_tokenizer_vocab_size: int | None = None,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.005,
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        max_length: int | None = None,
        max_target_length: int | None = None,
        too_long: TooLong = "truncate",
        batch_size: int = 8,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        super().__init__(names, validation_fraction, seed, num_workers, cache_folder)
        if len(languages) != 2 or languages[0] == languages[1]:
            raise ValueError(f"languages {list(languages)}: expected the names of two languages")
        self.form, self.languages, self.prefix = form, languages, prefix
        self._fields, self._reverse = (source_field, target_field), reverse
        self.max_length, self.max_target_length, self.too_long = max_length, max_target_length, too_long
        self.batch_size, self.max_tokens = batch_size, max_tokens
        if form == "apart":
            self._load_apart(
                tokenizer,
                tokenizer_kind or "unigram",
                tokenizer_vocab_size,
                tokenizer_lowercase,
                target_tokenizer,
                target_tokenizer_kind,
                target_tokenizer_vocab_size,
            )
            return
        if target_tokenizer is not None:
            raise ValueError(f"target_tokenizer {target_tokenizer!r}: joined, both sides share one; set form to apart")
        self._load(tokenizer, tokenizer_kind or "wordpiece", tokenizer_vocab_size, tokenizer_lowercase)

    @property
    def text_form(self) -> TextForm:
        """The prefix, by the names of the languages."""
        return TextForm({"-".join(self.languages): self.prefix} if self.prefix else {})

    def _pairs(self, files: Files) -> ParallelText:
        return read_pairs(files, self._fields, self._reverse, self.prefix or "")

    def _groups(self, sides: tuple[Sequences, Sequences], shards: Shards, numbers: Indices) -> NDArray[Any]:
        return sides[int(self._reverse)].hashes(numbers)

    def _text(self, files: Files) -> Text:
        return self._pairs(files) if self.form == "joined" else super()._text(files)

    def _check_tokenizer(self) -> None:
        row_form(self.tokenizer, "languages", self.pad_token_id)

    def pairs(self, stage: Stage) -> SentencePairs | None:
        """The pairs of a stage.

        Args:
            stage: which.

        Returns:
            The pairs, None where there is no text for it.
        """
        if stage in ("fit", "validate") and self._splits:
            shards = self._shards["fit"]
            split = SentencePairs.of(shards, self._named("fit")).split(shards.tokens, self._fraction)
            return split[stage == "validate"]
        found = self._shards.get(stage)
        return SentencePairs.of(found, self._named(stage)) if found else None

    def samples(self, stage: Stage) -> SequenceSamples | TranslationSamples:  # type: ignore[override]
        """The samples of a stage.

        Args:
            stage: which.

        Returns:
            The samples.

        Raises:
            ValueError: when there is no text, ``max_length`` is not set (joined), or a sample is too long that must
                not be.
        """
        if self.form == "apart":
            return super().samples(stage)
        if self.max_length is None:
            raise ValueError(
                "max_length is not set: pass ParallelCorpus(max_length=...), e.g. the network's max_length"
            )
        pairs = self.pairs(stage)
        if pairs is None:
            raise self._no_text(stage)
        shards = self._shards.get(stage, self._shards["fit"])
        rows = Rows(shards.tokens, row_form(self.tokenizer, "languages", self.pad_token_id))
        return TranslationSamples(pairs, rows, self.max_length)


def read_pairs(files: Files, fields: tuple[str | None, str | None], reverse: bool, prefix: str) -> ParallelText:
    """What files of parallel text hold.

    Args:
        files: as in `ParallelCorpus`.
        fields: ``source_field`` and ``target_field``.
        reverse: as in `ParallelCorpus`.
        prefix: as in `ParallelCorpus`.

    Returns:
        The text.
    """
    first, second = (given or usual for given, usual in zip(fields, SIDES, strict=True))
    return ParallelText(parallel_sources(files, fields=any(fields)), (first, second), reverse, prefix)
