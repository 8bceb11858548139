from __future__ import annotations

from abc import abstractmethod

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.heads.cross_entropy import IGNORED
from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.text import special_token_ids

_CHOICE, _REPLACEMENT, _WORD = range(3)
"""Streams of random numbers."""


class Masking(Objective):
    """Predicts tokens that were hidden (Devlin et al. 2019, arXiv:1810.04805, section 3.1, task 1).

    Of the tokens that a subclass chooses, 80 % become the mask, 10 % a random token and 10 % stay. Special tokens and
    padding are never chosen. The masks are drawn anew in each epoch.

    Args:
        rate: the share of the tokens that is chosen.
        mask_share: of these, the share that becomes the mask.
        random_share: of these, the share that becomes a random token.

    Raises:
        ValueError: for shares that are none.
    """

    def __init__(self, rate: float = 0.15, mask_share: float = 0.8, random_share: float = 0.1) -> None:
        if not 0 < rate < 1:
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
        self._special = torch.zeros(max(vocabulary.values()) + 1, dtype=torch.bool)
        self._special[sorted(special)] = True

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

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Hides tokens; ``labels`` has the hidden ones.

        Raises:
            ValueError: without a tokenizer, or when it has no mask.
        """
        if self._mask_token_id is None:
            lacks = "no tokenizer: set the task's" if not len(self._special) else "a tokenizer without [MASK] or <mask>"
            raise ValueError(f"{type(self).__name__} has {lacks}, and needs a token that hides others")
        ids = batch["input_ids"]  # [B, T]
        self._special, self._ordinary = self._special.to(ids.device), self._ordinary.to(ids.device)
        maskable = ~self._special[ids]
        if "attention_mask" in batch:
            maskable &= batch["attention_mask"] != 0
        chosen = self.choose(batch, maskable, rng) & maskable
        share = rng.uniform(ids.shape[1], _REPLACEMENT)
        masked = chosen & (share < self.mask_share)
        replaced = chosen & (share >= 1 - self.random_share)
        # what is left of the same number, stretched to [0, 1), picks the random token
        pick = (share - (1 - self.random_share)).clamp_min(0) / max(self.random_share, 1e-9) * len(self._ordinary)
        corrupted = ids.masked_fill(masked, self._mask_token_id)
        corrupted = torch.where(replaced, self._ordinary[pick.long().clamp_max(len(self._ordinary) - 1)], corrupted)
        return {**batch, "input_ids": corrupted, "labels": ids.masked_fill(~chosen, IGNORED)}

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies of the hidden tokens in nats."""
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"])}


class MaskedLanguageModelling(Masking):
    """Hides single tokens, each with the same probability (Devlin et al. 2019, arXiv:1810.04805, section 3.1)."""

    def choose(self, batch: Batch, maskable: Tensor, rng: KeyedRandom) -> Tensor:
        """Each token by itself."""
        return rng.uniform(maskable.shape[1], _CHOICE) < self.rate
