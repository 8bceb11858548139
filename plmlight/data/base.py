"""What all corpora share: a tokenizer, shards, loaders that know where they are."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.data.cache import Cache, Text
from plmlight.data.loader import EpochLoader, SampleLoader, TooFewError
from plmlight.data.sampling import Permutation
from plmlight.data.shards import Shards, is_shards
from plmlight.text import TokenizerKind, load_tokenizer, special_token_ids, tokenizer_hash, vocabulary_size

Stage = Literal["fit", "validate", "test", "predict"]
Split = Literal["auto", "documents", "tail"]
Files = str | list[str]


class TokenData(LightningDataModule):
    """What a tokenizer made of text, in loaders that know where they are.

    A subclass sets ``tokenizer`` and says what loaders read (`_training`, `_evaluation`).

    Args:
        validation_fraction: of the training text, held out where no text to validate on was named.
        seed: of all random choices.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers and shards are kept.
    """

    tokenizer: Tokenizer
    target_tokenizer: Tokenizer | None = None
    """Of a target that has a vocabulary of its own."""
    _names: dict[str, Files | None]
    """The files of each stage, where a subclass reads files."""

    def __init__(self, validation_fraction: float, seed: int, num_workers: int, cache_folder: str | None) -> None:
        super().__init__()
        if not 0 <= validation_fraction < 1:
            raise ValueError(f"validation_fraction {validation_fraction} must be at least 0 and less than 1")
        self._fraction = validation_fraction
        self.seed, self.num_workers = seed, num_workers
        self._cache = Cache(cache_folder)
        self._state: dict[str, Any] | None = None
        self._loader: EpochLoader | None = None

    @abstractmethod
    def _training(self, **share: int) -> EpochLoader:
        """The loader of ``fit``."""

    @abstractmethod
    def _evaluation(self, stage: Stage, **share: int) -> SampleLoader:
        """The loader of another stage."""

    @property
    @abstractmethod
    def _validates(self) -> bool:
        """Whether there is text to validate on."""

    def _named(self, stage: str) -> str:
        """The files of a stage, for messages; those to train on where a part of them is held out for it."""
        return named(self._names.get(stage) or self._names["fit"] or "")

    def _no_text(self, stage: Stage, whose: str = "") -> ValueError:
        """What is wrong where there is no text for a stage, and which setting names it."""
        setting = {"fit": "files", "validate": "validation_files"}.get(stage, f"{stage}_files")
        return ValueError(f"{type(self).__name__} has no text to {stage} on: set {setting}{whose}")

    @property
    def vocab_size(self) -> int:
        """V, one more than the largest token id."""
        return vocabulary_size(self.tokenizer)

    @property
    def target_vocab_size(self) -> int | None:
        """V of what is written, None where it shares the vocabulary of what is read."""
        return None if self.target_tokenizer is None else vocabulary_size(self.target_tokenizer)

    @property
    def pad_token_id(self) -> int:
        """What fills padding: the tokenizer's padding token, else its end of text, else 0 (the mask tells it apart)."""
        return special_token_ids(self.tokenizer).get("pad", 0)

    def train_dataloader(self) -> EpochLoader:
        """Shuffled samples; after a resume, those that the interrupted run would have seen next."""
        try:
            loader = self._training(**self._share())
        except TooFewError as error:
            raise ValueError(f"{self._named('fit')}: {error}") from None
        if self._state is not None:
            loader.load_state_dict(self._state)
        elif self._loader is not None and self.trainer is not None and self.trainer.current_epoch > 0:
            loader.load_state_dict(self._loader.state_dict())  # reload_dataloaders_every_n_epochs
        loader.repeats = self.trainer is not None and self.trainer.overfit_batches > 0  # type: ignore[attr-defined]
        self._state, self._loader = None, loader
        return loader

    def val_dataloader(self) -> SampleLoader | list[SampleLoader]:
        """All of the validation text, each part once; in training an empty list where there is none."""
        asked = self.trainer is not None and self.trainer.state.fn == "validate"
        return self._evaluation("validate", **self._share()) if self._validates or asked else []

    def test_dataloader(self) -> SampleLoader:
        """All of the text to test on, each part once."""
        return self._evaluation("test", **self._share())

    def predict_dataloader(self) -> SampleLoader:
        """All of the text to predict on, each part once."""
        return self._evaluation("predict", **self._share())

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


class Corpus(TokenData):
    """Text, tokenised once for all processes and runs and kept by the hash of its content.

    A subclass says what the text is (`_text`), how it is tokenised (`_tokenised`) and what loaders read; its
    constructor ends with `_load`.

    Args:
        names: what the user named, by stage.
        validation_fraction: as in `TokenData`.
        seed: as in `TokenData`.
        num_workers: as in `TokenData`.
        cache_folder: as in `TokenData`.
    """

    def __init__(
        self,
        names: dict[str, Files | None],
        validation_fraction: float,
        seed: int,
        num_workers: int,
        cache_folder: str | None,
    ) -> None:
        super().__init__(validation_fraction, seed, num_workers, cache_folder)
        self._names = names
        self._shards: dict[str, Shards] = {}

    @abstractmethod
    def _text(self, files: Files) -> Text:
        """What some files hold."""

    @abstractmethod
    def _tokenised(self, text: Text) -> Shards:
        """The shards of a text."""

    def _load(
        self,
        tokenizer: str | None,
        kind: TokenizerKind,
        vocab_size: int,
        lowercase: bool = False,
        min_frequency: int = 2,
    ) -> None:
        """Finds or trains the tokenizer, and finds or writes the shards."""
        files = self._names["fit"]
        assert files is not None
        if tokenizer is not None:
            self.tokenizer = load_tokenizer(Path(tokenizer).expanduser())
        elif (folder := _prepared_folder(files)) is not None:
            self.tokenizer = Shards(folder).tokenizer()
        else:
            self.tokenizer = self._cache.tokenizer(
                self._text(files), kind, vocab_size, lowercase, min_frequency=min_frequency
            )
        self._check_tokenizer()
        self._shards = {stage: self._prepared(names) for stage, names in self._names.items() if names}

    def _check_tokenizer(self) -> None:
        """Refuses a tokenizer that the corpus cannot use, before text is tokenised with it."""

    def _prepared(self, files: Files) -> Shards:
        folder = _prepared_folder(files)
        if folder is None:
            return self._tokenised(self._text(files))
        shards = Shards(folder)
        if shards.manifest.tokenizer_sha256 != tokenizer_hash(self.tokenizer):
            raise ValueError(
                f"{folder}: was tokenised with another tokenizer; leave out tokenizer, or prepare it again"
            )
        return shards

    @property
    def _splits(self) -> bool:
        """Whether a part of the training text is held out for validation."""
        return "validate" not in self._shards and self._fraction > 0

    def has_text(self, stage: Stage) -> bool:
        """Whether there is text for a stage: named, or for ``validate`` held out.

        Args:
            stage: which.

        Returns:
            True if there is.
        """
        return stage in self._shards or (stage == "validate" and self._splits)

    @property
    def _validates(self) -> bool:
        return self.has_text("validate")

    @property
    def token_counts(self) -> Tensor:
        """How often each token stands in ``files`` [V], int64."""
        return torch.from_numpy(self._shards["fit"].counts)


def named(files: Files) -> str:
    """Files by their names, for messages: the first of many."""
    return files if isinstance(files, str) else " ".join(files[:3])


def held_out(num_documents: int, fraction: float, split: Split) -> NDArray[np.bool_] | None:
    """Which documents are for validation, the same ones for every seed.

    Args:
        num_documents: M.
        fraction: how many of them.
        split: as in `TextCorpus`.

    Returns:
        [M], or None where the tail is to be taken instead.

    Raises:
        ValueError: for too few documents.
    """
    count = round(num_documents * fraction)
    if split == "tail" or (split == "auto" and not count):
        return None
    if num_documents < 2:
        raise ValueError("validation_split documents needs at least two documents; take tail, or split by line")
    found = np.zeros(num_documents, dtype=np.bool_)
    found[Permutation(num_documents, 0, 0)[np.arange(max(1, count))]] = True
    return found


def _prepared_folder(files: Files) -> Path | None:
    names = [files] if isinstance(files, str) else files
    found = [name for name in names if is_shards(Path(name).expanduser())]
    if found and len(names) > 1:
        raise ValueError(f"{found[0]}: a prepared folder stands alone; give it as the only one of files")
    return Path(found[0]).expanduser() if found else None
