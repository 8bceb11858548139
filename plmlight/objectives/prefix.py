from __future__ import annotations

import torch

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.raw_text import RawText, Side

SPLIT = 0
"""The stream of random numbers."""


class PrefixLanguageModelling(RawText):
    """Reads the beginning of a text and writes the rest (Liu et al. 2018, arXiv:1801.10198).

    It is the prefix language modelling of T5 (Raffel et al. 2020, arXiv:1910.10683, sections 3.2.1 and 3.3.1): each row
    is split at a place that is as likely as any other and leaves no side empty.
    """

    def __init__(self) -> None:
        super().__init__()

    def source_length(self, max_length: int) -> int:
        """One less: of a row at least one token is written, and what is read stands between two special tokens."""
        return max_length - 1

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Splits each row; ``labels`` has its second part.

        Raises:
            ValueError: without a tokenizer, or when rows are of several documents.
        """
        around = self.frame
        text = self.text(batch)
        counts, length = text.counts(), text.tokens.shape[1]
        places = 1 + (rng.uniform(1, SPLIT)[:, 0] * (counts - 1)).long()
        read = torch.minimum(places, counts - 1).clamp_min(1).minimum(counts)  # [B]
        places = torch.arange(length, device=counts.device)
        rest = text.tokens.gather(1, (places + read[:, None]).clamp_max(length - 1))
        written = counts - read
        source, target = (
            Side(tokens[:, : int(number.max())], number) for tokens, number in ((text.tokens, read), (rest, written))
        )
        return self.sides(batch, source, target, around)
