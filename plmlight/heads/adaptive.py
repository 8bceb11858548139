from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.heads.cross_entropy import IGNORED, chunked_cross_entropy


class AdaptiveHead(nn.Module):
    """The softmax over clusters of words by frequency (Grave et al. 2017, arXiv:1609.04309, section 4).

    The frequent words and one entry for each cluster of rarer ones are scored together; a cluster's words are scored,
    in fewer dimensions the rarer they are, only where the word to predict is one of them. The probabilities are exact.

    Args:
        d_model: D.
        vocab_size: V.
        cutoffs: where clusters begin, in the order of frequency: ascending, from 1 to V - 1.
        div_value: by how much each cluster's vectors are narrower than the ones' before.
        weight_std: of the weights at the start.

    Raises:
        ValueError: for cutoffs that are not ascending or outside of the vocabulary.
    """

    def __init__(
        self, d_model: int, vocab_size: int, cutoffs: Sequence[int], div_value: float = 4.0, weight_std: float = 0.02
    ) -> None:
        super().__init__()
        edges = [0, *cutoffs, vocab_size]
        if len(cutoffs) == 0 or any(a >= b for a, b in itertools.pairwise(edges)):
            raise ValueError(
                f"cutoffs {list(cutoffs)}: expected at least one, ascending, from 1 to {vocab_size - 1} (the "
                f"vocabulary has {vocab_size} words)"
            )
        self.vocab_size, self.cutoffs = vocab_size, tuple(cutoffs)
        self.weight = nn.Parameter(torch.empty(cutoffs[0] + len(cutoffs), d_model))
        widths = [max(1, int(d_model / div_value ** (i + 1))) for i in range(len(cutoffs))]
        self.narrow = nn.ModuleList(nn.Linear(d_model, width, bias=False) for width in widths)
        sizes = [b - a for a, b in itertools.pairwise(edges[1:])]
        self.clusters = nn.ParameterList(
            nn.Parameter(torch.empty(size, width)) for size, width in zip(sizes, widths, strict=True)
        )
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=weight_std)
        self.rank: Tensor
        """[V], int64: the place of each id in the order of frequency."""
        self.register_buffer("rank", torch.arange(vocab_size))
        self.ranked: Tensor
        """Whether the order is known, a scalar."""
        self.register_buffer("ranked", torch.tensor(False))

    @torch.no_grad()
    def use_counts(self, counts: Tensor) -> None:
        """Orders the ids by how often they stand in the text; an order that is known already stays.

        Args:
            counts: [V] at most, int64; ids beyond count as never seen.

        Raises:
            ValueError: for more counts than ids.
        """
        if bool(self.ranked):
            return
        if len(counts) > self.vocab_size:
            raise ValueError(f"{len(counts)} token counts came for a vocabulary of {self.vocab_size}")
        order = F.pad(counts, (0, self.vocab_size - len(counts))).argsort(descending=True, stable=True)
        self.rank.scatter_(0, order.to(self.rank.device), torch.arange(self.vocab_size, device=self.rank.device))
        self.ranked.fill_(True)

    def forward(self, hidden: Tensor) -> Tensor:
        """The log-probabilities [..., V] after hidden states [..., D]: logits like any other, already normalised."""
        first = F.log_softmax(F.linear(hidden, self.weight), -1)  # [..., C + clusters]
        words = self.cutoffs[0]
        parts = [first[..., :words]]
        for i, (narrow, cluster) in enumerate(zip(self.narrow, self.clusters, strict=True)):
            inside = F.log_softmax(F.linear(narrow(hidden), cluster), -1)
            parts.append(inside + first[..., words + i : words + i + 1])
        return torch.cat(parts, -1).index_select(-1, self.rank)

    def loss(
        self, hidden: Tensor, labels: Tensor, *, select: bool | None = None, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The cross entropy at the labelled positions; see `LMHead.loss`.

        Raises:
            ValueError: for label smoothing, which would need every word's score.
        """
        if label_smoothing:
            raise ValueError("label_smoothing spreads probability over all words: AdaptiveSoftmax scores few of them")
        rows, flat = hidden.reshape(-1, hidden.shape[-1]), labels.reshape(-1)  # [N, D], [N]
        labelled = flat != IGNORED
        count = labelled.sum()
        if (select if select is not None else hidden.device.type == "cpu") and int(count) < len(flat):
            rows, flat = rows[labelled], flat[labelled]
        place = torch.where(flat == IGNORED, IGNORED, self.rank[flat.clamp(min=0)])  # [N]
        words = self.cutoffs[0]
        cluster = torch.bucketize(place, torch.tensor(self.cutoffs, device=place.device), right=True)  # [N], 0: a word
        first = torch.where(cluster == 0, place, words + cluster - 1)
        total = chunked_cross_entropy(rows, self.weight, None, first)
        edges = [*self.cutoffs, self.vocab_size]
        for i, (narrow, weight) in enumerate(zip(self.narrow, self.clusters, strict=True)):
            inside = torch.nonzero(cluster == i + 1).squeeze(1)
            total = total + chunked_cross_entropy(narrow(rows[inside]), weight, None, place[inside] - edges[i])
        return total, count.to(torch.float32)
