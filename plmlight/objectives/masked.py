from __future__ import annotations

from abc import abstractmethod

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.heads.cross_entropy import IGNORED
from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.rates import RateSchedule
from plmlight.text import special_token_ids, vocabulary_size

CHOICE, FATE, REPLACEMENT = range(3)
"""Streams of random numbers: which tokens are hidden, whether each is masked, and what else stands there."""


class Masking(Objective):
    """Predicts tokens that were hidden (Devlin et al. 2019, arXiv:1810.04805, section 3.1, task 1).

    Of the tokens that a subclass chooses, 80 % become the mask, 10 % a random token and 10 % stay. Special tokens and
    padding are never chosen, nor put in. The masks are drawn anew in each epoch. BERT hides the same number in each
    row, rounded; here each row has its own number, and all rows together have the rate.

    Args:
        rate: the share of the tokens that is chosen, or a schedule of it.
        mask_share: of these, the share that becomes the mask.
        random_share: of these, the share that becomes a random token.

    Raises:
        ValueError: for shares that are none.
    """

    def __init__(self, rate: float | RateSchedule = 0.15, mask_share: float = 0.8, random_share: float = 0.1) -> None:
        if not isinstance(rate, RateSchedule) and not 0 < rate < 1:
            raise ValueError(f"rate {rate}: expected more than 0 and less than 1")
        if mask_share < 0 or random_share < 0 or mask_share + random_share > 1:
            raise ValueError(f"mask_share {mask_share} and random_share {random_share}: expected shares of 1")
        self.rate, self.mask_share, self.random_share = rate, mask_share, random_share
        self._mask_token_id: int | None = None
        self._ordinary = torch.empty(0, dtype=torch.int64)  # the ids that are no special tokens
        self._special = torch.empty(0, dtype=torch.bool)  # [V]

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Finds the mask and the special tokens."""
        ids = special_token_ids(tokenizer)
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        special = {id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        special |= set(ids.values())
        self._mask_token_id = ids.get("mask")
        self._ordinary = torch.tensor(sorted(set(vocabulary.values()) - special))
        self._special = torch.zeros(vocabulary_size(tokenizer), dtype=torch.bool)
        self._special[sorted(special)] = True

    def check_ready(self) -> None:
        """Refuses to begin without a mask.

        Raises:
            ValueError: without a tokenizer, or when it has no mask.
        """
        name = type(self).__name__
        if not len(self._special):
            raise ValueError(f"{name} needs a tokenizer, for its special tokens: set the task's tokenizer")
        if self._mask_token_id is None:
            raise ValueError(
                f"{name} needs a tokenizer with a token that hides others, named [MASK] or <mask>: this one has none"
            )

    def rate_at(self, progress: float) -> float:
        """The rate where so much of the run is over, 0 to 1."""
        return self.rate.at(progress) if isinstance(self.rate, RateSchedule) else self.rate

    @abstractmethod
    def choose(self, batch: Batch, maskable: Tensor, rng: KeyedRandom) -> Tensor:
        """Which tokens are hidden.

        Args:
            batch: what the data gave.
            maskable: [B, T], true where a token may be chosen.
            rng: where random choices come from.

        Returns:
            [B, T], true where one is; `corrupt` leaves out what is not maskable.
        """

    def fates(self, chosen: Tensor, rng: KeyedRandom) -> Tensor:
        """What becomes of the chosen tokens: each by itself.

        Args:
            chosen: [B, T], true where a token is hidden.
            rng: where random choices come from.

        Returns:
            [B, T], uniform in [0, 1): the least become the mask, the greatest a random token.
        """
        return rng.uniform(chosen.shape[1], FATE)

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Hides tokens; ``labels`` has the hidden ones.

        Raises:
            ValueError: without a tokenizer, or when it has no mask.
        """
        self.check_ready()
        assert self._mask_token_id is not None
        ids = batch["input_ids"]  # [B, T]
        self._special, self._ordinary = self._special.to(ids.device), self._ordinary.to(ids.device)
        maskable = ~self._special[ids]
        if "attention_mask" in batch:
            maskable &= batch["attention_mask"] != 0
        chosen = self.choose(batch, maskable, rng) & maskable
        fate = self.fates(chosen, rng)
        masked = chosen & (fate < self.mask_share)
        replaced = chosen & (fate >= 1 - self.random_share)
        count = len(self._ordinary)
        pick = (rng.uniform(ids.shape[1], REPLACEMENT) * count).long().clamp_max(count - 1)
        corrupted = torch.where(replaced, self._ordinary[pick], ids.masked_fill(masked, self._mask_token_id))
        return {**batch, "input_ids": corrupted, "labels": ids.masked_fill(~chosen, IGNORED)}

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies of the hidden tokens in nats.

        The vocabulary is projected to at these alone: on an accelerator counting them waits for it once, which is
        little beside the other 85 % of the largest product there is.
        """
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"], select=True)}


class MaskedLanguageModelling(Masking):
    """Hides single tokens, each with the same probability (Devlin et al. 2019, arXiv:1810.04805, section 3.1)."""

    def choose(self, batch: Batch, maskable: Tensor, rng: KeyedRandom) -> Tensor:
        """Each token by itself."""
        return rng.uniform(maskable.shape[1], CHOICE) < self.rate_at(rng.progress)
