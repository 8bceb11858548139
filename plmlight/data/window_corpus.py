"""Text for word vectors: words and the words around them."""

from __future__ import annotations

import torch
from torch import Tensor

from plmlight.data.base import Corpus, Files, Split, Stage
from plmlight.data.cache import DocumentText, PhraseText, Text
from plmlight.data.corpus import split_stream
from plmlight.data.loader import EvaluationLoader, TrainingLoader
from plmlight.data.packing import TokenStream
from plmlight.data.phrases import Phrases
from plmlight.data.readers import DocumentUnit
from plmlight.data.shards import Shards
from plmlight.data.sources import resolve
from plmlight.data.windows import Windows, kept_shares
from plmlight.text import special_token_ids


class WindowCorpus(Corpus):
    """The words of a text, each with the words around it (Mikolov et al. 2013, arXiv:1310.4546).

    The vocabulary is a tokenizer of whole words; other words are left out of the text, as are many occurrences of
    frequent ones, anew in each epoch and before windows are laid. Batches are described in
    `plmlight.data.windows.Windows.batch`; how many rows they have differs a little.

    Args:
        files: text to train on, as in `TextCorpus`; or one folder that ``plmlight prepare`` wrote with words.
        tokenizer: a tokenizer.json or a folder with one. None makes a vocabulary of the words of ``files``.
        min_count: words that occur less often are left out of that vocabulary.
        max_vocab_size: the most words of it, ``<unk>`` included: the most frequent ones.
        lowercase: lower the case of all text.
        phrases: how often pairs of words that belong together are joined with ``_`` (1310.4546, section 4): twice joins
            up to four words. It reads the text twice each time.
        phrase_threshold: how much more often than by chance a pair has to occur.
        window: the most words to either side.
        dynamic_window: draw the size of each word's window from 1 to ``window`` evenly.
        subsample: t: occurrences of words more frequent than this share of the text are left out at random; 0 for none.
        document: what a document is in plain text: the ``file``, each ``line``, or each ``paragraph``. Windows do not
            reach over its ends.
        validation_files: text to validate on. None takes a part of ``files``.
        validation_fraction: how large a part; 0 for none.
        validation_split: as in `TextCorpus`.
        test_files: text to test on.
        text_field: the field (jsonl) or column (csv, tsv, parquet, data sets) with the text.
        row_length: words of a row; those of a row share what an objective draws.
        chunk_length: words that are read at a time; the order of chunks is shuffled.
        batch_size: chunks in a batch, on each device.
        seed: of all chance.
        num_workers: processes that read ahead.
        cache_folder: where vocabularies and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for text that cannot be read, naming file and place, or without a word that is frequent enough.
    """

    def __init__(
        self,
        files: str | list[str],
        tokenizer: str | None = None,
        min_count: int = 5,
        max_vocab_size: int = 1_000_000,
        lowercase: bool = True,
        phrases: int = 0,
        phrase_threshold: float = 100.0,
        window: int = 5,
        dynamic_window: bool = True,
        subsample: float = 1e-3,
        document: DocumentUnit = "file",
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.0,
        validation_split: Split = "auto",
        test_files: str | list[str] | None = None,
        text_field: str = "text",
        row_length: int = 16,
        chunk_length: int = 1000,
        batch_size: int = 50,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names: dict[str, Files | None] = {
            "fit": files,
            "validate": validation_files,
            "test": test_files,
        }
        super().__init__(names, validation_fraction, seed, num_workers, cache_folder)
        for name, value in (("min_count", min_count), ("window", window), ("row_length", row_length)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        if subsample < 0 or phrases < 0:
            raise ValueError(f"subsample {subsample} and phrases {phrases} must be at least 0")
        if chunk_length < row_length:
            raise ValueError(f"chunk_length {chunk_length} must be at least row_length {row_length}")
        self.window, self.dynamic_window, self.subsample = window, dynamic_window, subsample
        self.row_length, self.chunk_length, self.batch_size = row_length, chunk_length, batch_size
        self._units: tuple[str, DocumentUnit] = text_field, document
        self._split = validation_split
        self.phrases: Phrases | None = None
        if phrases:
            text = self._documents(files)
            self.phrases = self._cache.phrases(text, phrases, min_count, phrase_threshold, lowercase)
        self._load(tokenizer, "word", max_vocab_size, lowercase, min_count)

    def _text(self, files: Files) -> Text:
        text = self._documents(files)
        return text if self.phrases is None else PhraseText(text, self.phrases)

    def _documents(self, files: Files) -> DocumentText:
        return DocumentText(resolve(files), *self._units)

    def _tokenised(self, text: Text) -> Shards:
        return self._cache.shards(text, self.tokenizer)

    @property
    def token_counts(self) -> Tensor:
        """How often each word stands in ``files`` [V], int64; 0 for ``<unk>``, which is no word."""
        counts = torch.from_numpy(self._shards["fit"].counts.copy())
        unknown = special_token_ids(self.tokenizer).get("unk")
        if unknown is not None:
            counts[unknown] = 0
        return counts

    def windows(self, stage: Stage) -> Windows:
        """The samples of a stage; only in training are words left out because they are frequent.

        Args:
            stage: which.

        Returns:
            The samples.

        Raises:
            ValueError: when there is no text, or no word of the vocabulary in it.
        """
        stream = self._stream(stage)
        counts = self.token_counts.numpy()
        if not counts.any():
            raise ValueError(f"{self._named('fit')}: holds no word of the vocabulary")
        keep = kept_shares(counts, self.subsample if stage == "fit" else 0.0)
        return Windows(stream, keep, self.window, self.dynamic_window, self.row_length, self.chunk_length, self.seed)

    def _stream(self, stage: Stage) -> TokenStream:
        if stage in ("fit", "validate") and self._splits:
            return split_stream(self._shards["fit"], self._fraction, self._split)[stage == "validate"]
        if stage not in self._shards:
            raise self._no_text(stage)
        return TokenStream(self._shards[stage].tokens, self._shards[stage].documents)

    def _training(self, **share: int) -> TrainingLoader:
        return TrainingLoader(self.windows("fit"), self.batch_size, self.seed, self.num_workers, **share)

    def _evaluation(self, stage: Stage, **share: int) -> EvaluationLoader:
        return EvaluationLoader(self.windows(stage), self.batch_size, self.num_workers, **share)
