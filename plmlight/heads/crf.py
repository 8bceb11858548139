from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from plmlight.nn import Cache
from plmlight.nn.steps import run_steps
from plmlight.text.tagging import FORBIDDEN, Transitions

WITHIN_REACH = 70.0
"""How far apart exponents may be so that in float32 the least still counts, and what is lost beside it does not."""


class LinearChainCRF(nn.Module):
    """Scores of sequences of tags (Lafferty et al. 2001; for tagging Lample et al. 2016, arXiv:1603.01360).

    A sequence is worth the sum of what each tag is worth where it stands, of each pair of neighbours, and of the first
    and the last tag. Rows have their words in front; what follows them is not read.

    Args:
        num_labels: L.
        allowed: the transitions that `decode` keeps to; all by default. Training knows no such rule, as the tags that
            it learns from may break it.
    """

    def __init__(self, num_labels: int, allowed: Transitions | None = None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(num_labels))
        self.pairs = nn.Parameter(torch.zeros(num_labels, num_labels))  # from a row's tag to a column's
        self.end = nn.Parameter(torch.zeros(num_labels))
        for name in ("start", "pairs", "end"):
            shape = getattr(self, name).shape
            free = np.ones(shape, np.bool_) if allowed is None else getattr(allowed, name)
            cost = torch.zeros(shape).masked_fill(torch.from_numpy(~free), FORBIDDEN)
            self.register_buffer(f"_{name}_cost", cost, persistent=False)

    def negative_log_likelihood(self, emissions: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """How unlikely the right sequences are.

        Args:
            emissions: [B, T, L], what a tag is worth at a word.
            labels: [B, T], the right ones; anything behind a row's words.
            counts: [B], the words of each row; a row may have none.

        Returns:
            [B], 0 for a row without words.
        """
        return self.log_partition(emissions, counts) - self.score(emissions, labels, counts)

    def score(self, emissions: Tensor, labels: Tensor, counts: Tensor) -> Tensor:
        """What sequences are worth; as `negative_log_likelihood`. Returns [B]."""
        emissions = _wide(emissions)
        there = torch.arange(emissions.shape[1], device=emissions.device) < counts[:, None]  # [B, T]
        labels = labels.masked_fill(~there, 0)
        of_words = emissions.gather(2, labels[..., None])[..., 0].masked_fill(~there, 0).sum(1)
        of_pairs = self.pairs[labels[:, :-1], labels[:, 1:]].masked_fill(~there[:, 1:], 0).sum(1)
        last = labels.gather(1, (counts - 1).clamp(min=0)[:, None])[:, 0]
        ends = (self.start[labels[:, 0]] + self.end[last]).masked_fill(counts == 0, 0)
        return of_words + of_pairs + ends

    def log_partition(self, emissions: Tensor, counts: Tensor) -> Tensor:
        """The logarithm of the sum over all sequences, of the exponential of what each is worth.

        The forward algorithm. A word is a product of matrices, in which each row's best tag, and the best transition to
        each tag, count 1; where transitions to a tag are too far apart for that, it is a sum of logarithms, which takes
        longer.

        Args:
            emissions: [B, T, L].
            counts: [B], the words of each row.

        Returns:
            [B], 0 for a row without words.
        """
        emissions = _wide(emissions)
        with torch.autocast(emissions.device.type, enabled=False):
            lowest, highest = self.pairs.detach().aminmax(dim=0)
            near = bool((highest - lowest <= WITHIN_REACH).all())
            pairs = (self.pairs - highest).to(emissions.dtype)
            pairs = pairs.exp() if near else pairs.T
            sums = [self.start + emissions[:, 0]]
            for emission in (emissions[:, 1:] + highest).unbind(1):
                if near:
                    largest = sums[-1].detach().amax(-1, keepdim=True)
                    reached = ((sums[-1] - largest).exp() @ pairs).log() + largest
                else:
                    reached = torch.logsumexp(sums[-1][:, None] + pairs, -1)
                sums.append(reached + emission)
            last = torch.stack(sums, 1)[torch.arange(len(counts), device=counts.device), (counts - 1).clamp(min=0)]
            return torch.logsumexp(last + self.end, -1).masked_fill(counts == 0, 0)

    def decode(self, emissions: Tensor, counts: Tensor) -> Tensor:
        """The sequences that are worth most among those allowed (Viterbi 1967).

        Args:
            emissions: [B, T, L].
            counts: [B], the words of each row.

        Returns:
            [B, T]; what follows a row's words means nothing.
        """
        emissions = emissions.detach().float()  # a loop in a graph cannot be traced with gradients
        start, pairs, end = (
            getattr(self, name).detach().float() + getattr(self, f"_{name}_cost").float()
            for name in ("start", "pairs", "end")
        )
        places = torch.arange(emissions.shape[1], device=emissions.device)
        there = (places < counts[:, None])[..., None]  # [B, T, 1]
        first = (places == 0).expand(there.shape[:2])[..., None]
        itself = torch.arange(emissions.shape[2], device=emissions.device).expand(emissions.shape[::2])  # [B, L]

        def forwards(state: Cache, at: Cache) -> tuple[Cache, Tensor]:
            emission, valid, at_first = at
            best, source = (state[0][:, :, None] + pairs).max(1)  # [B, L]
            best = torch.where(at_first, start, best) + emission
            return (torch.where(valid, best, state[0]),), torch.where(valid, source, itself)

        def backwards(state: Cache, at: Cache) -> tuple[Cache, Tensor]:
            return (at[0].gather(1, state[0]),), state[0]

        steps = tuple(each.transpose(0, 1) for each in (emissions, there, first))
        (worth,), sources = run_steps(forwards, (torch.zeros_like(emissions[:, 0]),), steps)  # [B, L], [T, B, L]
        last = (worth + end).argmax(-1, keepdim=True)  # [B, 1]
        _, tags = run_steps(backwards, (last,), (sources.flip(0),))  # [T, B, 1]
        return tags.flip(0)[..., 0].transpose(0, 1)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
