from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.masked import CHOICE, Masking
from plmlight.objectives.rates import RateSchedule
from plmlight.text import word_marks


class WordMasking(Masking):
    """Knows where words begin: the data's ``word_starts`` [B, T] where it gives them, else what the tokenizer says.

    See `plmlight.text.word_marks` for the latter. A special token, padding or another document ends a word too.

    Args:
        rate: the share of the tokens that is chosen, or a schedule of it.
        mask_share: of these, the share that becomes the mask.
        random_share: of these, the share that becomes a random token.
    """

    def __init__(self, rate: float | RateSchedule = 0.15, mask_share: float = 0.8, random_share: float = 0.1) -> None:
        super().__init__(rate, mask_share, random_share)
        self._begins = self._ends = torch.empty(0, dtype=torch.bool)  # [V]

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Finds the special tokens and which tokens begin a word."""
        super().use_tokenizer(tokenizer)
        self._begins, self._ends = map(torch.from_numpy, word_marks(tokenizer))

    def word_starts(self, batch: Batch, maskable: Tensor) -> Tensor:
        """Where words begin.

        Args:
            batch: what the data gave.
            maskable: [B, T], true where a token may be chosen.

        Returns:
            [B, T], true at the first token of a word, and at all that is not maskable.
        """
        if "word_starts" in batch:
            starts: Tensor = batch["word_starts"] != 0
        else:
            ids = batch["input_ids"]
            self._begins, self._ends = self._begins.to(ids.device), self._ends.to(ids.device)
            starts = self._begins[ids]
            starts[:, 1:] |= self._ends[ids[:, :-1]]
        starts = starts | ~maskable
        starts[:, 0] = True
        starts[:, 1:] |= ~maskable[:, :-1]
        mask = batch.get("attention_mask")
        if mask is not None:
            starts[:, 1:] |= mask[:, 1:] != mask[:, :-1]
        return starts


class WholeWordMasking(WordMasking):
    """Hides whole words, each with the same probability, so that no word is guessed from its own pieces.

    It is BERT's whole-word masking (the code of Devlin et al. 2019, arXiv:1810.04805, as of May 2019; for Chinese words
    Cui et al. 2021, arXiv:1906.08101). As there, each token of a hidden word is masked, replaced or left by itself.
    BERT fills a row up to the rate and passes over words that are too long for the rest; here long words are hidden as
    often as short ones, and any token with probability ``rate``.
    """

    def choose(self, batch: Batch, maskable: Tensor, rng: KeyedRandom) -> Tensor:
        """Each word by itself, by the number of its first token."""
        numbers = rng.uniform(maskable.shape[1], CHOICE)
        return at_latest(self.word_starts(batch, maskable), numbers) < self.rate_at(rng.progress)


def at_latest(starts: Tensor, values: Tensor) -> Tensor:
    """Gives each position the value of the last start up to it.

    Args:
        starts: [B, T], true at starts, of which the first position is one.
        values: [B, T].

    Returns:
        [B, T].
    """
    positions = torch.arange(starts.shape[1], device=starts.device).expand_as(starts)
    return values.gather(1, positions.masked_fill(~starts, 0).cummax(1).values)
