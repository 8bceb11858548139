"""Dialogues for models that answer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from plmlight.data.base import Files
from plmlight.data.dialogues import TURNS, Dialogues, dialogue_sources
from plmlight.data.sampling import Indices
from plmlight.data.sequence_corpus import SequenceCorpus
from plmlight.data.sequences import Sequences, TooLong
from plmlight.data.shards import Shards
from plmlight.text import TextForm, TokenizerKind


class DialogueData(SequenceCorpus):
    """Dialogues of two: the turns so far are the source, the next turn is the target.

    Each turn but the first is answered to what came before it. A source is the last turns, each behind the mark of who
    speaks, as seen by the one who answers: ``<bot> Hello! <user> How are you?`` Batches are as `ParallelCorpus` gives
    them apart. Whole dialogues are held out for validation.

    Args:
        files: dialogues to train on: plain text with a dialogue in each line and ``__eou__`` after each turn
            (DailyDialog: Li et al. 2017, arXiv:1710.03957), or .jsonl with lists of turns; plain or compressed.
        turns_field: the field with the turns, in .jsonl.
        text_field: the field with the text of a turn, where turns are objects.
        history: how many turns a source has at most.
        roles: what stands before the turns of the one who is answered, and of the one who answers: special tokens of a
            tokenizer that is trained, else words like any other. None for no marks.
        tokenizer: a tokenizer.json or a folder with one. None trains one on the turns of ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: dialogues to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed; 0 for none.
        test_files: dialogues to test on.
        predict_files: dialogues to predict on.
        max_length: tokens of a source at most, special ones included; longer ones lose their beginning. None for no
            limit. From the command line it is the network's.
        max_target_length: tokens of an answer at most, special ones included; None for no limit. From the command line
            it is the network's.
        too_long: what happens to longer ones: ``truncate`` cuts off the beginning of a source and the end of an answer,
            ``drop`` leaves them out in training, ``error`` refuses them.
        batch_size: samples in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, of sources and answers together, padding included.
        seed: of the order.
        num_workers: processes that read ahead. Reading is one indexing of a memory map, so 0 is usually best.
        cache_folder: where tokenizers and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for text or a tokenizer that cannot be read or used, naming file and line.
    """

    keeps_end = True

    def __init__(
        self,
        files: str | list[str],
        turns_field: str = TURNS[0],
        text_field: str = TURNS[1],
        history: int = 5,
        roles: tuple[str, str] | None = ("<user>", "<bot>"),
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "unigram",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
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
        if history < 1:
            raise ValueError(f"history {history}: a source has at least one turn")
        if roles is not None and (len(set(roles)) != 2 or not all(role.strip() for role in roles)):
            raise ValueError(f"roles {list(roles)}: expected two different marks, or null")
        self.history, self.roles = history, None if roles is None else (roles[0], roles[1])
        self._turns_field, self._text_field = turns_field, text_field
        self.max_length, self.max_target_length, self.too_long = max_length, max_target_length, too_long
        self.batch_size, self.max_tokens = batch_size, max_tokens
        special = self.roles or ()
        self._load_apart(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase, special=special)

    @property
    def text_form(self) -> TextForm:
        """The marks, and how many turns are kept."""
        return TextForm(roles=self.roles, history=self.history)

    def _pairs(self, files: Files) -> Dialogues:
        return Dialogues(dialogue_sources(files), self._turns_field, self._text_field, self.text_form)

    def _groups(self, sides: tuple[Sequences, Sequences], shards: Shards, numbers: Indices) -> NDArray[Any]:
        return np.searchsorted(shards.documents, sides[0].spans(numbers)[0], "right")
