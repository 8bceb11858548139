from __future__ import annotations

import torch
from torch import Tensor

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.masked import CHOICE, FATE
from plmlight.objectives.rates import RateSchedule
from plmlight.objectives.whole_words import WordMasking, at_latest

LENGTH, COUNT = 3, 4
"""Streams of random numbers, beside those of `Masking`."""


class SpanMasking(WordMasking):
    """Hides spans of whole words (SpanBERT, Joshi et al. 2020, arXiv:1907.10529, section 3.1).

    A span's number of words is drawn from a geometric distribution that ends at ``max_span``: with the paper's numbers
    3.8 words on average. All tokens of a span become the mask, random tokens, or stay. A special token within one stays
    and parts it into two.

    The paper draws spans until the tokens that a row may spend are spent, which shortens the last; here a row gets as
    many spans as have the rate on average, so that their lengths stay as they were drawn, and at least one word lies
    between two.

    Args:
        rate: the share of the tokens that is chosen, or a schedule of it.
        mask_share: of these, the share that becomes the mask.
        random_share: of these, the share that becomes a random token.
        p: of the geometric distribution.
        max_span: words in a span at most.

    Raises:
        ValueError: for shares that are none, or spans of no length.
    """

    def __init__(
        self,
        rate: float | RateSchedule = 0.15,
        mask_share: float = 0.8,
        random_share: float = 0.1,
        p: float = 0.2,
        max_span: int = 10,
    ) -> None:
        super().__init__(rate, mask_share, random_share)
        if not 0 < p < 1:
            raise ValueError(f"p {p}: expected more than 0 and less than 1")
        if max_span < 1:
            raise ValueError(f"max_span {max_span}: expected at least 1")
        self.p, self.max_span = p, max_span
        weights = p * (1 - p) ** torch.arange(max_span, dtype=torch.float64)
        below = weights.cumsum(0)
        mean = (weights * torch.arange(1, max_span + 1)).cumsum(0) / below
        self._below = below.float()  # [max_span], the probability of at most so many words, before it is cut off
        self._mean = mean.float()  # [max_span], the mean of spans of at most so many words

    def choose(self, batch: Batch, maskable: Tensor, rng: KeyedRandom) -> Tensor:
        """Draws spans and spreads them over the words of each row, without a loop over rows or spans."""
        device, (rows, length) = maskable.device, maskable.shape
        self._below, self._mean = self._below.to(device), self._mean.to(device)
        starts = self.word_starts(batch, maskable) & maskable
        word = starts.cumsum(1) - 1  # [B, T], the number of the word that a token is part of
        words = word[:, -1:] + 1  # [B, 1]
        longest = words.clamp(1, self.max_span) - 1  # [B, 1], as an index
        rate = self.rate_at(rng.progress)

        # how many spans: on average, the rate's share of the words
        wanted = words * rate / self._mean[longest] + rng.uniform(1, COUNT)
        count = torch.minimum(wanted.long(), (words + 1) // 2)  # [B, 1]
        most = min(int(length * rate / float(self._mean[min(length, self.max_span) - 1])) + 1, (length + 1) // 2)
        span = torch.arange(most, device=device)  # [K]
        there = span < count  # [B, K]

        # how long: the inverse of the distribution function
        share = rng.uniform(most, LENGTH) * self._below[longest]
        lengths = torch.minimum((share[..., None] >= self._below).sum(-1), longest) + 1
        # where they do not fit into the row, with a word between them, the last ones are of one word: hardly ever
        room = words - 2 * count + 2 + span  # [B, K], what the spans up to this one may take
        total = torch.minimum(lengths.cumsum(1), room).masked_fill(~there, 0)
        lengths = (total - torch.cat([total.new_zeros(rows, 1), total[:, :-1]], 1)).masked_fill(~there, 0)

        # where: the words that are left over lie between them, cut at random places
        free = words - lengths.sum(1, keepdim=True) - (count - 1).clamp_min(0)  # [B, 1]
        places = rng.uniform(most, CHOICE).masked_fill(~there, 2.0).sort(1).values
        first = (places * (free + 1)).long() + (lengths + 1).cumsum(1) - (lengths + 1)  # [B, K]

        # a span adds one at its first word and takes one off after its last
        outside = torch.full_like(first, length + 1)
        edges = torch.zeros(rows, length + 2, dtype=torch.int64, device=device)
        edges.scatter_add_(1, torch.where(there, first, outside), torch.ones_like(first))
        edges.scatter_add_(1, torch.where(there, first + lengths, outside), -torch.ones_like(first))
        inside = edges[:, :length].cumsum(1) > 0  # [B, words]
        return inside.gather(1, word.clamp_min(0))

    def fates(self, chosen: Tensor, rng: KeyedRandom) -> Tensor:
        """What becomes of the chosen tokens: one number for each span."""
        starts = torch.ones_like(chosen)
        starts[:, 1:] = ~(chosen[:, 1:] & chosen[:, :-1])
        return at_latest(starts, rng.uniform(chosen.shape[1], FATE))
