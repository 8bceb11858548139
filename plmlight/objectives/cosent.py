from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.embedding import EmbeddingObjective, cosines, gather


class CoSENT(EmbeddingObjective):
    """Pairs with the higher score must have the higher cosine (Su 2022, https://kexue.fm/archives/8847).

    log(1 + sum of exp((cosine of the lower pair - cosine of the higher pair) * scale)) over all pairs of pairs of a
    batch whose scores differ: a loss of ranks, as Spearman's correlation is a measure of them. On several ranks the
    pairs of all are compared.

    Args:
        scale: what cosines are multiplied with.

    Raises:
        ValueError: when the scale is not positive.
    """

    def __init__(self, scale: float = 20.0) -> None:
        if scale <= 0:
            raise ValueError(f"scale {scale} must be more than 0")
        self.scale = scale

    def loss(self, vectors: Sequence[Tensor], batch: Batch, group: ProcessGroup | None = None) -> Parts:
        """One number a batch."""
        scores, _ = gather(self.scores(batch), group)
        found, _ = gather(cosines(vectors[0], vectors[1]) * self.scale, group)
        wrong = (found[:, None] - found[None]).masked_fill(scores[:, None] >= scores[None], -torch.inf)  # [N, N]
        total = torch.cat([found.new_zeros(1), wrong.flatten()]).logsumexp(0)
        return {"loss": (total, total.new_ones(()))}
