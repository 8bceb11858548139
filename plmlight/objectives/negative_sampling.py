from __future__ import annotations

import torch
from torch import Tensor

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.word_vectors import WindowObjective


class NegativeSampling(WindowObjective):
    """A word that stands there is told apart from words drawn at random (Mikolov et al. 2013, arXiv:1310.4546, eq. 4).

    Words are drawn in proportion to a power of how often they stand in the text. Those of a row of text (T words, with
    all their windows) are shared: each prediction is compared with ``shared`` of them, and weighs them as ``negatives``
    (after Ji et al. 2016, arXiv:1604.04661, section 3.1). The expected gradient is that of own ones for each. As in the
    authors' program, a drawn word that is the predicted one itself does not count.

    Args:
        negatives: how much those that are drawn weigh together, in words; 5 to 20 for small texts, 2 to 5 for large.
        shared: how many words are drawn for a row of text; more of them spread the same weight.
        power: of the counts.
        sub_batch: rows of text that a small step takes at once.

    Raises:
        ValueError: when a number is out of range.
    """

    def __init__(self, negatives: int = 5, shared: int = 24, power: float = 0.75, sub_batch: int = 24) -> None:
        super().__init__(sub_batch)
        if negatives < 1 or shared < 1:
            raise ValueError(f"negatives {negatives} and shared {shared} must be at least 1")
        self.negatives, self.shared, self.power = negatives, shared, power
        self._cumulative: Tensor | None = None

    def use_counts(self, counts: Tensor) -> None:
        """Makes the distribution that words are drawn from; words that never occur are never drawn."""
        weights = counts.double() ** self.power * (counts > 0)
        self._cumulative = (weights.cumsum(0) / weights.sum()).contiguous()

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Draws words for each row: ``negative_ids`` [B, K]."""
        assert self._cumulative is not None, "use_counts was not called"
        drawn = rng.uniform(self.shared, stream=0)
        self._cumulative = self._cumulative.to(drawn.device)
        # below the last sum, which rounding may have left under 1
        points = drawn.double() * self._cumulative[-1]
        found = torch.searchsorted(self._cumulative, points, right=True)
        return batch | {"negative_ids": found.clamp_max(len(self._cumulative) - 1)}

    def questions(self, batch: Batch, pairs: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The centres, to which the answer is yes, and the drawn words."""
        drawn = batch["negative_ids"]
        (size, length), count = centres.shape, drawn.shape[1]
        other = (centres[:, :, None] != drawn[:, None]).to(pairs.dtype)  # [B, T, K]
        weights = torch.cat([pairs, torch.bmm(pairs, other).mul_(self.negatives / count)], 2)
        labels = torch.zeros(size, 1, length + count, dtype=pairs.dtype, device=pairs.device)
        labels[:, :, :length] = 1
        return torch.cat([centres, drawn], 1), labels, weights
