"""Documents for masked language models and for what is learned from pairs of segments."""

from __future__ import annotations

from plmlight.data.base import Corpus, Files, Split, Stage
from plmlight.data.bucketing import BucketedEvaluationLoader, BucketedTrainingLoader
from plmlight.data.cache import DocumentText, Text
from plmlight.data.documents import Pairs, PairSamples, Sentences, SentenceSamples
from plmlight.data.readers import DocumentUnit
from plmlight.data.rows import Rows, row_form
from plmlight.data.shards import Shards
from plmlight.data.sources import resolve
from plmlight.data.words import WordSegmentation, segmentation
from plmlight.text import TokenizerKind


class DocumentCorpus(Corpus):
    """Documents cut into sentences, English and Chinese, and tokenised once into memory-mapped shards.

    A sample is one segment of consecutive sentences (``pairs`` none; Liu et al. 2019, arXiv:1907.11692, section 4.2),
    or two: ``next`` (Devlin et al. 2019, arXiv:1810.04805, section 3.1), ``order`` (Lan et al. 2020, arXiv:1909.11942,
    section 3.1). Samples of similar length make a batch. Batches are dictionaries of int64 tensors: ``input_ids`` and
    ``attention_mask`` [B, T], ``sample_ids`` [B], ``epoch`` []; with pairs ``token_type_ids`` [B, T], 1 for the second
    segment, and ``pair_labels`` [B], 0 for a true pair and 1 for another; with ``whole_words`` ``word_starts`` [B, T].

    Args:
        files: text to train on, as for `TextCorpus`: files, folders, globs, URLs, ``dataset:PATH[:CONFIG][:SPLIT]``, or
            one folder that ``plmlight prepare --sentences true`` wrote.
        tokenizer: a tokenizer.json or a folder with one. None trains one on ``files``. It must have ``[CLS]`` and
            ``[SEP]``, or ``<s>`` and ``</s>``.
        tokenizer_kind: what to train: wordpiece, roberta, albert and xlm have these.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text, and leave out accents, in the tokenizer that is trained.
        validation_files: text to validate on. None takes a part of ``files``.
        validation_fraction: how large a part; 0 for none.
        validation_split: ``documents`` takes whole documents at random, the same ones for every seed; ``tail`` the last
            sentences; ``auto`` documents if there are enough to choose from, else the tail.
        test_files: text to test on.
        predict_files: text to predict on.
        text_field: the field (jsonl) or column (csv, tsv, parquet, data sets) with the text.
        document: what a document is in plain text: the ``file``, each ``line``, or each ``paragraph`` (blank lines
            between).
        pairs: ``none``, ``next`` or ``order``. From the command line it follows from the pair objective.
        short_probability: the share of the pairs that get a random length, so that a network sees short ones.
        max_length: tokens of a sample at most, special ones included. From the command line it is the network's.
        batch_size: samples in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included: the longer the samples, the fewer.
        whole_words: ``jieba`` keeps where words begin, for masking Chinese words as a whole.
        seed: of the order and of all draws.
        num_workers: processes that read ahead. Reading is one indexing of a memory map, so 0 is usually best.
        cache_folder: where tokenizers and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for text or a tokenizer that cannot be read or used, naming file and place.
    """

    def __init__(
        self,
        files: str | list[str],
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "wordpiece",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.005,
        validation_split: Split = "auto",
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        text_field: str = "text",
        document: DocumentUnit = "paragraph",
        pairs: Pairs = "none",
        short_probability: float = 0.1,
        max_length: int | None = None,
        batch_size: int = 8,
        max_tokens: int | None = None,
        whole_words: WordSegmentation = "none",
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        super().__init__(names, validation_fraction, seed, num_workers, cache_folder)
        if not 0 <= short_probability <= 1:
            raise ValueError(f"short_probability {short_probability} must be from 0 to 1")
        self.pairs, self.short_probability = pairs, short_probability
        self.max_length, self.batch_size, self.max_tokens = max_length, batch_size, max_tokens
        self._split = validation_split
        self._units: tuple[str, DocumentUnit] = text_field, document
        self._words = whole_words
        segmentation(whole_words)  # missing packages are named before any work
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    def _text(self, files: Files) -> DocumentText:
        return DocumentText(resolve(files), *self._units, sentences=True)

    def _tokenised(self, text: Text) -> Shards:
        return self._cache.shards(text, self.tokenizer, words=self._words)

    def _check_tokenizer(self) -> None:
        row_form(self.tokenizer, "segments", self.pad_token_id)

    def sentences(self, stage: Stage) -> Sentences | None:
        """The documents of a stage.

        Args:
            stage: which.

        Returns:
            The documents, None where there is no text for it.
        """
        if stage in ("fit", "validate") and self._splits:
            return Sentences.of(self._shards["fit"]).split(self._fraction, self._split)[stage == "validate"]
        shards = self._shards.get(stage)
        return Sentences.of(shards) if shards else None

    def samples(self, stage: Stage) -> SentenceSamples | PairSamples:
        """The samples of a stage.

        Args:
            stage: which.

        Returns:
            The samples, at least one.

        Raises:
            ValueError: when ``max_length`` is not set, when there is no text, or none that gives a sample.
        """
        if self.max_length is None:
            raise ValueError(
                "max_length is not set: pass DocumentCorpus(max_length=...), e.g. the network's max_length"
            )
        sentences = self.sentences(stage)
        if sentences is None:
            raise self._no_text(stage)
        shards = self._shards.get(stage, self._shards["fit"])
        if self._words != "none" and shards.words is None:
            raise ValueError(f"{shards.folder}: was prepared without words; prepare it again with --whole_words jieba")
        words = shards.words if self._words != "none" else None
        rows = Rows(shards.tokens, row_form(self.tokenizer, "segments", self.pad_token_id), words)
        if self.pairs == "none":
            return SentenceSamples(sentences, rows, self.max_length)
        made = PairSamples(sentences, rows, self.max_length, self.pairs, self.short_probability, self.seed)
        if len(made) == 0:
            raise ValueError(
                f"{self._named(stage)}: no document to {stage} on has two sentences, which pairs {self.pairs!r} needs; "
                f"documents are set by document ({self._units[1]!r} now)"
            )
        if self.pairs == "next" and len(sentences.documents) < 2:
            raise ValueError(
                f"{self._named(stage)}: there is one document to {stage} on, and pairs 'next' needs others to draw "
                f"from; set document to paragraph or line ({self._units[1]!r} now), or name more files"
            )
        return made

    def _training(self, **share: int) -> BucketedTrainingLoader:
        return BucketedTrainingLoader(
            self.samples("fit"), self.batch_size, self.max_tokens, self.seed, self.num_workers, **share
        )

    def _evaluation(self, stage: Stage, **share: int) -> BucketedEvaluationLoader:
        return BucketedEvaluationLoader(
            self.samples(stage), self.batch_size, self.max_tokens, self.num_workers, **share
        )
