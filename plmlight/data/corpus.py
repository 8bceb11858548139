"""Plain text for language models."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.data.cache import Cache
from plmlight.data.loader import EvaluationLoader, TrainingLoader
from plmlight.data.packing import Blocks, TokenStream
from plmlight.data.readers import DocumentUnit
from plmlight.data.sampling import Indices, Permutation
from plmlight.data.shards import Shards, is_shards
from plmlight.data.sources import resolve
from plmlight.text import TokenizerKind, load_tokenizer, special_token_ids, tokenizer_hash, vocabulary_size

Split = Literal["auto", "documents", "tail"]


class TextCorpus(LightningDataModule):
    """Text, tokenised once into memory-mapped shards and cut into blocks of equal length.

    The constructor finds or trains the tokenizer and tokenises the text, once for all processes and runs: the results
    are kept by the hash of their content. Batches are dictionaries of int64 tensors: ``input_ids`` and
    ``attention_mask`` [B, L] (1 for text, or the number of the document in its block when documents are isolated; 0 for
    padding), ``sample_ids`` [B], ``epoch`` []. There are no labels: what is predicted is the objective's affair.

    Args:
        files: text to train on: files (.txt .md .rst .py .jsonl .csv .tsv .parquet, plain or .gz .bz2 .xz .zst),
            folders, globs, URLs that fsspec knows, ``dataset:PATH[:CONFIG][:SPLIT]`` for a Hugging Face data set,
            ``python-stdlib`` for the source text of this Python's standard library, or one folder that
            ``plmlight prepare`` wrote.
        tokenizer: a tokenizer.json or a folder with one (or vocab.json and merges.txt). None trains one on ``files``.
        tokenizer_kind: what to train: byte-bpe, bpe, wordpiece, unigram, character or byte.
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
        seed: of the order of the blocks and of the shift of their windows in each epoch.
        num_workers: processes that read ahead. Reading is one indexing of a memory map, so 0 is usually best.
        cache_folder: where tokenizers and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for text or a tokenizer that cannot be read, naming file and place.
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
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        super().__init__()
        if not 0 <= validation_fraction < 1:
            raise ValueError(f"validation_fraction {validation_fraction} must be at least 0 and less than 1")
        self.block_length, self.overlap, self.batch_size = block_length, overlap, batch_size
        self.isolate_documents, self.seed, self.num_workers = isolate_documents, seed, num_workers
        self._validation = (0.0 if validation_files else validation_fraction, validation_split)
        self._end_of_document = end_of_document
        self._cache = Cache(cache_folder, text_field, document)
        self.tokenizer: Tokenizer = self._tokenizer(files, tokenizer, tokenizer_kind, tokenizer_vocab_size)
        self._names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        self._shards = {stage: self._prepared(names) for stage, names in self._names.items() if names}
        self._state: dict[str, Any] | None = None
        self._loader: TrainingLoader | None = None

    def _tokenizer(
        self, files: str | list[str], tokenizer: str | None, kind: TokenizerKind, vocab_size: int
    ) -> Tokenizer:
        if tokenizer is not None:
            return load_tokenizer(Path(tokenizer).expanduser())
        if (folder := _prepared_folder(files)) is not None:
            return Shards(folder).tokenizer()
        return self._cache.tokenizer(resolve(files), kind, vocab_size)

    def _prepared(self, files: str | list[str]) -> Shards:
        folder = _prepared_folder(files)
        if folder is None:
            return self._cache.shards(resolve(files), self.tokenizer, self._end_of_document)
        shards = Shards(folder)
        if shards.manifest.tokenizer_sha256 != tokenizer_hash(self.tokenizer):
            raise ValueError(
                f"{folder}: was tokenised with another tokenizer; leave out tokenizer, or prepare it again"
            )
        return shards

    @property
    def vocab_size(self) -> int:
        """V, one more than the largest token id."""
        return vocabulary_size(self.tokenizer)

    @property
    def pad_token_id(self) -> int:
        """What fills padding: the tokenizer's padding token, else its end of text, else 0 (the mask tells it apart)."""
        return special_token_ids(self.tokenizer).get("pad", 0)

    @property
    def token_counts(self) -> Tensor:
        """How often each token stands in ``files`` [V], int64."""
        return torch.from_numpy(self._shards["fit"].counts)

    def stream(self, stage: Literal["fit", "validate", "test", "predict"]) -> TokenStream | None:
        """The tokens of a stage.

        Args:
            stage: which.

        Returns:
            The stream, None where there is no text for it.
        """
        fraction, split = self._validation
        if stage in ("fit", "validate") and "validate" not in self._shards and fraction:
            training, validation = _split(self._shards["fit"], fraction, split)
            return training if stage == "fit" else validation
        shards = self._shards.get(stage)
        return TokenStream(shards.tokens, shards.documents) if shards else None

    def blocks(self, stage: Literal["fit", "validate", "test", "predict"]) -> Blocks:
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
            raise ValueError(f"TextCorpus has no text to {stage} on: set {stage}_files")
        blocks = Blocks(
            stream,
            self.block_length,
            self.overlap,
            self.isolate_documents,
            cover=stage != "fit",
            pad_token_id=self.pad_token_id,
            seed=self.seed,
        )
        if len(blocks) == 0:
            raise ValueError(
                f"{self._named(stage)}: {len(stream)} tokens to {stage} on, "
                f"fewer than a block of {self.block_length if stage == 'fit' else self.overlap + 1}"
            )
        return blocks

    def _named(self, stage: str) -> str:
        files = self._names[stage] or self._names["fit"] or ""
        return files if isinstance(files, str) else " ".join(files[:3])

    def train_dataloader(self) -> TrainingLoader:
        """Shuffled blocks; after a resume, those that the interrupted run would have seen next."""
        share = self._share()
        loader = TrainingLoader(self.blocks("fit"), self.batch_size, self.seed, self.num_workers, **share)
        if self._state is not None:
            loader.load_state_dict(self._state)
        elif self._loader is not None and self.trainer is not None and self.trainer.current_epoch > 0:
            loader.load_state_dict(self._loader.state_dict())  # reload_dataloaders_every_n_epochs
        self._state, self._loader = None, loader
        return loader

    def val_dataloader(self) -> EvaluationLoader | list[EvaluationLoader]:
        """Every token of the validation text, in order; an empty list where there is none."""
        return [] if self.stream("validate") is None else self._evaluation("validate")

    def test_dataloader(self) -> EvaluationLoader:
        """Every token of ``test_files``, in order."""
        return self._evaluation("test")

    def predict_dataloader(self) -> EvaluationLoader:
        """Every token of ``predict_files``, in order."""
        return self._evaluation("predict")

    def _evaluation(self, stage: Literal["validate", "test", "predict"]) -> EvaluationLoader:
        return EvaluationLoader(self.blocks(stage), self.batch_size, self.num_workers, **self._share())

    def _share(self) -> dict[str, int]:
        """Which part of the data this process reads; ranks that share a model (tensor parallel) read the same."""
        sampler = self.trainer.distributed_sampler_kwargs if self.trainer is not None else None
        return {"rank": sampler["rank"], "world_size": sampler["num_replicas"]} if sampler else {}

    def state_dict(self) -> dict[str, Any]:
        """Where the training loader is. Lightning forgets its own copy when a checkpoint ends an epoch."""
        return {} if self._loader is None else self._loader.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Lets the next training loader go on where a saved one was.

        Args:
            state_dict: what `state_dict` returned.
        """
        self._state = state_dict or None


def _prepared_folder(files: str | list[str]) -> Path | None:
    names = [files] if isinstance(files, str) else files
    found = [name for name in names if is_shards(Path(name).expanduser())]
    if found and len(names) > 1:
        raise ValueError(f"{found[0]}: a prepared folder stands alone; give it as the only one of files")
    return Path(found[0]).expanduser() if found else None


def _split(shards: Shards, fraction: float, split: Split) -> tuple[TokenStream, TokenStream]:
    tokens, documents = shards.tokens, shards.documents
    count = round((len(documents) - 1) * fraction)
    if split == "documents" or (split == "auto" and count):
        if len(documents) < 3:
            raise ValueError("validation_split documents needs at least two documents; take tail, or split by line")
        order = Permutation(len(documents) - 1, 0, 0)[np.arange(max(1, count))]
        held_out = np.zeros(len(documents) - 1, dtype=bool)
        held_out[order] = True
        training, validation = (_stretches(documents, kept) for kept in (~held_out, held_out))
        return TokenStream(tokens, documents, training), TokenStream(tokens, documents, validation)
    at = int(len(tokens) * (1 - fraction))
    ends = np.array([0, at, len(tokens)])
    return TokenStream(tokens, documents, ends[None, :2]), TokenStream(tokens, documents, ends[None, 1:])


def _stretches(documents: Indices, kept: np.ndarray[Any, np.dtype[np.bool_]]) -> Indices:
    """Neighbouring documents as one stretch [K, 2]."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], kept, [False]]).astype(np.int8)))
    return documents[edges.reshape(-1, 2)]
