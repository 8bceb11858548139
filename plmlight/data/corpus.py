"""Plain text for language models."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from plmlight.data.base import Corpus, Split, Stage, held_out
from plmlight.data.cache import DocumentText, Text
from plmlight.data.loader import (
    EpochLoader,
    EvaluationLoader,
    SampleLoader,
    SequentialTrainingLoader,
    TrainingLoader,
)
from plmlight.data.packing import Blocks, TokenStream
from plmlight.data.readers import DocumentUnit
from plmlight.data.sampling import Indices
from plmlight.data.shards import Shards
from plmlight.data.sources import resolve
from plmlight.data.stream_loader import StreamEvaluationLoader, StreamTrainingLoader
from plmlight.text import TokenizerKind


class TextCorpus(Corpus):
    """Text, tokenised once into memory-mapped shards and cut into blocks of equal length.

    The constructor finds or trains the tokenizer and tokenises the text, once for all processes and runs: the results
    are kept by the hash of their content. Batches are dictionaries of int64 tensors: ``input_ids`` and
    ``attention_mask`` [B, L] (1 for text, or the number of the document in its block when documents are isolated; 0 for
    padding), ``sample_ids`` [B], ``epoch`` []. There are no labels: what is predicted is the objective's affair. In
    streams there is ``continues`` [B] as well: 1 where a row goes on where the same row of the batch before stopped.

    Args:
        files: text to train on: files (.txt .md .rst .py .jsonl .csv .tsv .parquet, plain or .gz .bz2 .xz .zst),
            folders, globs, URLs that fsspec knows, ``dataset:PATH[:CONFIG][:SPLIT]`` for a Hugging Face data set,
            ``python-stdlib`` for the source text of this Python's standard library, or one folder that
            ``plmlight prepare`` wrote.
        tokenizer: a tokenizer.json or a folder with one (or vocab.json and merges.txt). None trains one on ``files``.
        tokenizer_kind: what to train: byte-bpe, bpe, wordpiece, unigram, character or byte; for a masked language model
            wordpiece, roberta, albert or xlm; for T5 t5.
        tokenizer_vocab_size: its size at most.
        validation_files: text to validate on. None takes a part of ``files``.
        validation_fraction: how large a part; 0 for none.
        validation_split: ``documents`` takes whole documents at random, the same ones for every seed; ``tail`` the last
            tokens; ``auto`` documents if there are enough to choose from, else the tail.
        test_files: text to test on.
        predict_files: text to predict on.
        text_field: the field (jsonl) or column (csv, tsv, parquet, data sets) with the text.
        document: what a document is in plain text: the ``file``, each ``line``, or each ``paragraph``.
        end_of_document: put the tokenizer's end-of-text token after each document.
        block_length: tokens in a block. From the command line it follows from the network and the objective.
        overlap: tokens that a block repeats of the one before; 1 lets a causal model predict each token once.
        batch_size: blocks in a batch, on each device.
        isolate_documents: number the documents in ``attention_mask``, so that they do not see each other.
        order: ``shuffled`` blocks; ``streams``: the rows of a batch go on where the batch before stopped, for
            networks that carry a state or memories from step to step (truncated back-propagation); ``sequential``: all
            of the text, from the first token to the last, each row where the one before stopped, to be counted.
        seed: of the order of the blocks and of the shift of their windows in each epoch.
        num_workers: processes that read ahead. Reading is one indexing of a memory map, so 0 is usually best.
        cache_folder: where tokenizers and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for text or a tokenizer that cannot be read, naming file and place; for streams of isolated
            documents.
    """

    def __init__(
        self,
        files: str | list[str],
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "byte-bpe",
        tokenizer_vocab_size: int = 8192,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.005,
        validation_split: Split = "auto",
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        text_field: str = "text",
        document: DocumentUnit = "file",
        end_of_document: bool = True,
        block_length: int | None = None,
        overlap: int = 1,
        batch_size: int = 8,
        isolate_documents: bool = False,
        order: Literal["shuffled", "streams", "sequential"] = "shuffled",
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        super().__init__(names, validation_fraction, seed, num_workers, cache_folder)
        self.block_length, self.overlap, self.batch_size = block_length, overlap, batch_size
        self.isolate_documents, self.order = isolate_documents, order
        if order not in ("shuffled", "streams", "sequential"):
            raise ValueError(f"order {order!r} is not known; expected one of shuffled, streams, sequential")
        if order == "streams" and isolate_documents:
            raise ValueError(
                "isolate_documents with order streams: what is carried on crosses documents; leave one out"
            )
        self._split = validation_split
        self._end_of_document = end_of_document
        self._units: tuple[str, DocumentUnit] = text_field, document
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size)

    def _text(self, files: str | list[str]) -> DocumentText:
        return DocumentText(resolve(files), *self._units)

    def _tokenised(self, text: Text) -> Shards:
        return self._cache.shards(text, self.tokenizer, self._end_of_document)

    def stream(self, stage: Stage) -> TokenStream | None:
        """The tokens of a stage.

        Args:
            stage: which.

        Returns:
            The stream, None where there is no text for it.
        """
        if stage in ("fit", "validate") and self._splits:
            training, validation = split_stream(self._shards["fit"], self._fraction, self._split)
            return training if stage == "fit" else validation
        shards = self._shards.get(stage)
        return TokenStream(shards.tokens, shards.documents) if shards else None

    def blocks(self, stage: Stage) -> Blocks:
        """The blocks of a stage: shifted in each epoch for ``fit``, fixed and padded for the others.

        Args:
            stage: which.

        Returns:
            The blocks.

        Raises:
            ValueError: when ``block_length`` is not set, when there is no text, or less than a block of it.
        """
        if self.block_length is None:
            raise ValueError(
                "block_length is not set: pass TextCorpus(block_length=...), e.g. the network's max_length + 1"
            )
        stream = self.stream(stage)
        if stream is None:
            raise self._no_text(stage)
        blocks = Blocks(
            stream,
            self.block_length,
            self.overlap,
            self.isolate_documents,
            cover=stage != "fit" or self.order == "sequential",
            pad_token_id=self.pad_token_id,
            seed=self.seed,
        )
        if len(blocks) == 0:
            raise ValueError(
                f"{self._named(stage)}: {len(stream)} tokens to {stage} on, "
                f"fewer than a block of {self.block_length if stage == 'fit' else self.overlap + 1}"
            )
        return blocks

    def _training(self, **share: int) -> EpochLoader:
        loaders = {"streams": StreamTrainingLoader, "sequential": SequentialTrainingLoader}
        loader = loaders.get(self.order, TrainingLoader)
        return loader(self.blocks("fit"), self.batch_size, self.seed, self.num_workers, **share)

    def _evaluation(self, stage: Stage, **share: int) -> SampleLoader:
        loader = StreamEvaluationLoader if self.order == "streams" else EvaluationLoader
        return loader(self.blocks(stage), self.batch_size, self.num_workers, **share)


def split_stream(shards: Shards, fraction: float, split: Split) -> tuple[TokenStream, TokenStream]:
    """Parts tokens into those to train on and those to validate on.

    Args:
        shards: the tokens.
        fraction: how much is held out.
        split: as in `TextCorpus`.

    Returns:
        Both.
    """
    tokens, documents = shards.tokens, shards.documents
    out = held_out(len(documents) - 1, fraction, split)
    if out is not None:
        training, validation = (_stretches(documents, kept) for kept in (~out, out))
        return TokenStream(tokens, documents, training), TokenStream(tokens, documents, validation)
    at = int(len(tokens) * (1 - fraction))
    ends = np.array([0, at, len(tokens)])
    return TokenStream(tokens, documents, ends[None, :2]), TokenStream(tokens, documents, ends[None, 1:])


def _stretches(documents: Indices, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> Indices:
    """Neighbouring documents as one stretch [K, 2]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return documents[edges.reshape(-1, 2)]
