from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.heads import LMHead
from plmlight.heads.cross_entropy import IGNORED
from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.text import special_token_ids, vocabulary_size

LENGTH, PLACE, ORDER, PHASE = range(5, 9)
"""Streams of random numbers: how long a span is, where it lies in its context, a token's turn, how a row begins."""


class PermutationLanguageModelling(Objective):
    """Predicts tokens in a random order (Yang et al. 2019, arXiv:1906.08237, sections 2.2 and 2.3).

    Only the last tokens of an order are predicted, one in K: the text is cut into contexts of K L tokens, L from 1 to
    ``max_span`` with a probability that falls as 1 / L, as in the authors' code, and L tokens in a row in each are the
    targets. A row begins anywhere within a context, so that all places are as likely. All other tokens come first and
    see each other, but no target; a target sees them and the targets whose turn was before. Special tokens are never
    predicted; they have a turn in the order too, and see themselves. Padding is seen by nobody. Orders are drawn anew
    in each epoch. The authors' spans are of whole words; here they are of tokens.

    Args:
        one_in: K: one token in so many is predicted; 6 or 7 in the paper.
        max_span: tokens in a span at most.

    Raises:
        ValueError: for a K below 2, or spans of no length.
    """

    def __init__(self, one_in: int = 6, max_span: int = 5) -> None:
        if one_in < 2:
            raise ValueError(f"one_in {one_in}: expected at least 2, as the tokens not predicted are what is read")
        if max_span < 1:
            raise ValueError(f"max_span {max_span}: expected at least 1")
        self.one_in, self.max_span = one_in, max_span
        weights = 1 / torch.arange(1, max_span + 1, dtype=torch.float64)
        self._below = (weights.cumsum(0) / weights.sum())[:-1].float()  # the probability of at most 1, 2, ... tokens
        self._special = torch.zeros(0, dtype=torch.bool)  # [V]

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Finds the special tokens."""
        special = {id_ for id_, token in tokenizer.get_added_tokens_decoder().items() if token.special}
        special |= set(special_token_ids(tokenizer).values())
        self._special = torch.zeros(vocabulary_size(tokenizer), dtype=torch.bool)
        self._special[sorted(special)] = True

    def targets(self, batch: Batch, ordinary: Tensor, rng: KeyedRandom) -> Tensor:
        """Which tokens are predicted, without a loop over rows or spans.

        Args:
            batch: what the data gave.
            ordinary: [B, T], true where a token may be predicted.
            rng: where random choices come from.

        Returns:
            [B, T], true where one is; at most ``most_targets(T)`` in a row.
        """
        rows, length = ordinary.shape
        self._below = self._below.to(ordinary.device)
        most = 1 + -(-length // self.one_in)  # contexts of a row, where all are of the least length
        lengths = (rng.uniform(most, LENGTH)[..., None] >= self._below).sum(-1) + 1  # [B, N]
        # what a row begins in is the longer the likelier: with 1 / L before, all lengths are as likely
        phase = rng.uniform(2, PHASE)
        lengths[:, 0] = (phase[:, 0] * self.max_span).long() + 1
        contexts = lengths * self.one_in
        cut = (phase[:, 1:] * contexts[:, :1]).long()  # [B, 1], how much of the first one lies before the row
        offsets = (rng.uniform(most, PLACE) * (contexts - lengths + 1)).long()
        first = contexts.cumsum(1) - contexts + offsets - cut  # [B, N]
        # a span adds one at its first token and takes one off after its last
        edges = torch.zeros(rows, length + 1, dtype=torch.int64, device=ordinary.device)
        edges.scatter_add_(1, first.clamp(0, length), torch.ones_like(first))
        edges.scatter_add_(1, (first + lengths).clamp(0, length), -torch.ones_like(first))
        return (edges[:, :length].cumsum(1) > 0) & ordinary

    def most_targets(self, length: int) -> int:
        """The most targets of a row of so many tokens: those of whole contexts, and of two that are cut."""
        return length // self.one_in + 2 * self.max_span

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Draws an order and what is predicted.

        Args:
            batch: ``input_ids`` and perhaps ``attention_mask`` [B, T].
            rng: where random choices come from.

        Returns:
            The batch with ``permutation_mask`` [B, T, T], true where a token, the first index, does not see another;
            ``target_mapping`` [B, K, T], true at the place of each target, all false for the rows of ``labels`` [B, K]
            that are none.
        """
        ids = batch["input_ids"]  # [B, T]
        length = ids.shape[1]
        self._special = self._special.to(ids.device)
        special = self._special[ids] if len(self._special) else torch.zeros_like(ids, dtype=torch.bool)
        real = batch["attention_mask"] != 0 if "attention_mask" in batch else torch.ones_like(special)
        target = self.targets(batch, real & ~special, rng)
        waits = target | special
        turn = rng.uniform(length, ORDER).masked_fill(~waits, -1.0)
        mine, others = turn[:, :, None], turn[:, None, :]
        later = torch.where(target[:, :, None], mine <= others, mine < others)  # a target does not see itself
        number = torch.arange(self.most_targets(length), device=ids.device)[:, None]  # [K, 1]
        counted = (target.cumsum(1) - 1).masked_fill(~target, -1)  # [B, T]
        mapping = counted[:, None, :] == number  # [B, K, T]
        labels = torch.where(mapping, ids[:, None, :], 0).sum(-1)  # [B, K]
        return {
            **batch,
            "permutation_mask": later & waits[:, None, :],
            "target_mapping": mapping,
            "labels": labels.masked_fill(~mapping.any(-1), IGNORED),
        }

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies of the targets in nats; ``hidden`` is the query stream."""
        assert isinstance(outputs.head, LMHead)
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"], select=True)}
