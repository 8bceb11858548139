from __future__ import annotations

import math

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.raw_text import RawText, Side, least
from plmlight.text import special_token_ids, vocabulary_size

SENTENCE, LENGTH, PLACE = range(3)
"""Streams of random numbers: the order of sentences, how long spans are, and where."""

SENTENCE_ENDS = (".", "!", "?", "…", "。", "！", "？", "।", "؟")
"""What a token reads that ends a sentence."""


class Denoising(RawText):
    """Spoils a text and asks for all of it (BART, Lewis et al. 2020, arXiv:1910.13461, section 2.2).

    Text infilling: spans of tokens become one mask each, their lengths are drawn from a Poisson distribution, and a
    span of no token puts a mask in between. Spans are drawn until the share of the tokens is spent, which shortens the
    last, and at least one token lies between two. Sentence permutation: before that the sentences of a row change
    places. A sentence ends with a token that reads as one of `SENTENCE_ENDS`, or that ends a document.

    Args:
        rate: the share of the tokens that is hidden.
        mean_span_length: of the Poisson distribution.
        permute_sentences: whether sentences change places.

    Raises:
        ValueError: for a share that is none, or a length that is not positive.
    """

    def __init__(self, rate: float = 0.3, mean_span_length: float = 3.0, permute_sentences: bool = True) -> None:
        super().__init__()
        if not 0 < rate < 1:
            raise ValueError(f"rate {rate}: expected more than 0 and less than 1")
        if not 0 < mean_span_length <= 100:
            raise ValueError(f"mean_span_length {mean_span_length}: expected more than 0 and at most 100")
        self.rate, self.mean_span_length, self.permute_sentences = rate, mean_span_length, permute_sentences
        longest = int(mean_span_length + 10 * math.sqrt(mean_span_length) + 10)
        lengths = torch.arange(longest, dtype=torch.float64)
        chances = torch.exp(lengths * math.log(mean_span_length) - mean_span_length - torch.lgamma(lengths + 1))
        self._below = chances.cumsum(0).float()  # [longest], the probability of at most so many tokens
        self._mask_token_id: int | None = None
        self._ends = torch.empty(0, dtype=torch.bool)  # [V]

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Finds the mask, what stands around a text, and which tokens end a sentence."""
        super().use_tokenizer(tokenizer)
        ids = special_token_ids(tokenizer)
        self._mask_token_id = ids.get("mask")
        self._ends = torch.zeros(vocabulary_size(tokenizer), dtype=torch.bool)
        texts = tokenizer.decode_batch([[id_] for id_ in range(len(self._ends))])
        ends = [id_ for id_, text in enumerate(texts) if text.strip() in SENTENCE_ENDS]
        self._ends[[*ends, *(ids[role] for role in ("eos", "sep") if role in ids)]] = True

    def check_ready(self) -> None:
        """Refuses to begin without a mask.

        Raises:
            ValueError: without a tokenizer, or when it has no mask.
        """
        super().check_ready()
        if self._mask_token_id is None:
            raise ValueError(
                "Denoising needs a tokenizer with a token that hides others, named [MASK] or <mask>: this one has none"
            )

    def source_length(self, max_length: int) -> int:
        """Two less: the whole row is written between two special tokens, and what is read is never longer."""
        return max_length - 2

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Permutes and hides; ``labels`` has the row as it was.

        Raises:
            ValueError: when something is missing, or rows are of several documents.
        """
        around = self.frame
        text = self.text(batch)
        spoilt = Side(self._permuted(text, rng), text.lengths) if self.permute_sentences else text
        return self.sides(batch, self._infilled(spoilt, rng), text, around)

    def _permuted(self, text: Side, rng: KeyedRandom) -> Tensor:
        """Sorts sentences by a random number of each [B, L]."""
        self._ends = self._ends.to(text.tokens.device)
        length = text.tokens.shape[1]
        ends = self._ends[text.tokens]
        sentence = ends.cumsum(1) - ends.long()  # [B, L]
        keys = rng.uniform(length, SENTENCE).gather(1, sentence)
        padding = torch.arange(length, device=keys.device) >= text.counts()[:, None]
        order = keys.masked_fill(padding, 2.0).argsort(dim=1, stable=True)
        return text.tokens.gather(1, order)

    def _infilled(self, text: Side, rng: KeyedRandom) -> Side:
        """Puts one mask for each span."""
        assert self._mask_token_id is not None
        tokens, counts = text.tokens, text.counts()
        device, (rows, length) = tokens.device, tokens.shape
        self._below = self._below.to(device)
        budget = torch.minimum((counts * self.rate).round().long().clamp_min(1), counts)  # [B]
        kept = counts - budget
        most = max(1, round(length * self.rate))
        limit = torch.minimum(budget, kept + 1)  # [B], the most spans

        # how long: until the budget is spent, or there is no place for another span
        span = torch.arange(most, device=device)  # [K]
        drawn = torch.searchsorted(self._below, rng.uniform(most, LENGTH), right=True)  # [B, K]
        before = drawn.cumsum(1) - drawn
        there = (before < budget[:, None]) & (span < limit[:, None])
        left = (budget[:, None] - before).clamp_min(0)
        lengths = torch.where(span == limit[:, None] - 1, left, torch.minimum(drawn, left))

        # where: each before another one of the tokens that are kept, or behind the last
        gap = least(rng.uniform(length + 1, PLACE), most, kept + 1)  # [B, K]
        hidden = torch.zeros(rows, length + 1, dtype=torch.int64, device=device)
        hidden.scatter_(1, gap, lengths.masked_fill(~there, 0))
        masks = torch.zeros_like(hidden).scatter_(1, gap, there.long())
        place = torch.arange(length, device=device)  # of a token among those that are kept
        raw = (place + hidden.cumsum(1)[:, :length]).clamp_max(length - 1)
        to = place + masks.cumsum(1)[:, :length]
        found = kept + there.sum(1)
        width = int(found.max())
        to = torch.where(place < kept[:, None], to, width)  # the others are thrown away
        source = tokens.new_full((rows, width + 1), self._mask_token_id)
        source.scatter_(1, to, tokens.gather(1, raw))
        return Side(source[:, :width], found)
