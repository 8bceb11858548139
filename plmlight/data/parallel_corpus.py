"""Parallel text for translation language modelling."""

from __future__ import annotations

from plmlight.data.base import Corpus, Files, Stage
from plmlight.data.bucketing import BucketedEvaluationLoader, BucketedTrainingLoader
from plmlight.data.cache import Text
from plmlight.data.parallel import ParallelText, SentencePairs, TranslationSamples
from plmlight.data.rows import Rows, row_form
from plmlight.data.shards import Shards
from plmlight.data.sources import resolve
from plmlight.text import TokenizerKind


class ParallelCorpus(Corpus):
    """Sentences with their translations, tokenised once into memory-mapped shards.

    A sample is ``<s> source </s> <s> target </s>`` (Lample and Conneau 2019, arXiv:1901.07291, section 3.4), with
    ``[CLS]`` and ``[SEP]`` in a vocabulary that has these. Samples of similar length make a batch. Batches are
    dictionaries of int64 tensors: ``input_ids``, ``attention_mask``, ``token_type_ids`` (the number of each token's
    language) and ``position_ids`` (which restart with the target) [B, T], ``sample_ids`` [B], ``epoch`` [].

    Args:
        files: text to train on: two files whose lines translate each other, or one with source, tab, target in each
            line (more columns are ignored); plain or .gz .bz2 .xz .zst.
        languages: the names of source and target; their numbers are 0 and 1.
        tokenizer: a tokenizer.json or a folder with one. None trains one on both sides of ``files``. It must have
            ``[CLS]`` and ``[SEP]``, or ``<s>`` and ``</s>``.
        tokenizer_kind: what to train: wordpiece, roberta, albert and xlm have these.
        tokenizer_vocab_size: its size at most, for both languages.
        tokenizer_lowercase: lower the case of all text, and leave out accents, in the tokenizer that is trained.
        validation_files: text to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none. Pairs with the same
            source stay together.
        test_files: text to test on.
        predict_files: text to predict on.
        max_length: tokens of a sample at most, special ones included. From the command line it is the network's.
        batch_size: samples in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included: the longer the samples, the fewer.
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
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "wordpiece",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.005,
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        max_length: int | None = None,
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
        self.languages = languages
        self.max_length, self.batch_size, self.max_tokens = max_length, batch_size, max_tokens
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    def _text(self, files: Files) -> ParallelText:
        sources = resolve(files, kind="text")
        if len(sources) > 2:
            raise ValueError(f"{sources[0].name} and {len(sources) - 1} more: parallel text is one file or two")
        return ParallelText(sources)

    def _tokenised(self, text: Text) -> Shards:
        return self._cache.shards(text, self.tokenizer)

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

    def samples(self, stage: Stage) -> TranslationSamples:
        """The samples of a stage, with source and target together, and apart in their method ``sides``.

        Args:
            stage: which.

        Returns:
            The samples.

        Raises:
            ValueError: when ``max_length`` is not set, or when there is no text.
        """
        if self.max_length is None:
            raise ValueError(
                "max_length is not set: pass ParallelCorpus(max_length=...), e.g. the network's max_length"
            )
        pairs = self.pairs(stage)
        if pairs is None:
            raise ValueError(f"ParallelCorpus has no text to {stage} on: set {stage}_files")
        shards = self._shards.get(stage, self._shards["fit"])
        rows = Rows(shards.tokens, row_form(self.tokenizer, "languages", self.pad_token_id))
        return TranslationSamples(pairs, rows, self.max_length)

    def _training(self, **share: int) -> BucketedTrainingLoader:
        return BucketedTrainingLoader(
            self.samples("fit"), self.batch_size, self.max_tokens, self.seed, self.num_workers, **share
        )

    def _evaluation(self, stage: Stage, **share: int) -> BucketedEvaluationLoader:
        return BucketedEvaluationLoader(
            self.samples(stage), self.batch_size, self.max_tokens, self.num_workers, **share
        )
