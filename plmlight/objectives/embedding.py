"""What objectives of vectors of texts share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.nn import Configured
from plmlight.objectives.base import Batch, Parts


class EmbeddingObjective(Configured, ABC):
    """What vectors of texts learn of each other: which texts belong together, or how alike they are."""

    @abstractmethod
    def loss(self, vectors: Sequence[Tensor], batch: Batch, group: ProcessGroup | None = None) -> Parts:
        """The loss.

        Args:
            vectors: [B, D] each: those of the examples' first texts, of their second ones, and so on.
            batch: perhaps with ``scores`` [B] (how alike the first two texts are) and ``text_ids`` [B, n] (equal where
                the texts are).
            group: the ranks whose examples are compared with each other; this process alone by default.

        Returns:
            One part, a sum and its count.

        Raises:
            ValueError: when the examples lack what is learnt from.
        """

    def check_width(self, width: int) -> None:
        """Raises a ValueError where vectors of ``width`` numbers do not do. All do by default."""

    def scores(self, batch: Batch) -> Tensor:
        """The scores [B] of a batch, or a ValueError where there are none."""
        if "scores" not in batch:
            raise ValueError(f"{type(self).__name__} learns from scores, which the data has not: set data.score_field")
        return batch["scores"].float()  # type: ignore[no-any-return]


def cosines(first: Tensor, second: Tensor) -> Tensor:
    """The cosines [B] of pairs of vectors [B, D], in float32."""
    return F.cosine_similarity(first.float(), second.float(), dim=-1, eps=1e-12)


class _Gather(torch.autograd.Function):
    """Values of one shape of all ranks [R, ...]; each rank's gradient is the sum of what all ranks have for it."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, group: ProcessGroup) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(value) for _ in range(group.size())]
        torch.distributed.all_gather(parts, value.contiguous(), group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(gradient, group=ctx.group)
        return gradient[ctx.group.rank()], None


def gather(value: Tensor, group: ProcessGroup | None) -> tuple[Tensor, int]:
    """The rows of all ranks, through which gradients flow back to the rank that a row is of.

    Args:
        value: [B, ...]; ranks may have different B.
        group: the ranks; None for this process alone.

    Returns:
        [N, ...], and the place of this rank's first row.
    """
    if group is None or group.size() == 1:
        return value, 0
    own = torch.tensor([len(value)], device=value.device)
    parts = [torch.empty_like(own) for _ in range(group.size())]
    torch.distributed.all_gather(parts, own, group)
    counts = [int(part) for part in parts]
    filled = torch.cat([value, value.new_zeros(max(counts) - len(value), *value.shape[1:])])
    everything = _Gather.apply(filled, group)  # type: ignore[no-untyped-call]
    rows = torch.cat([part[:count] for part, count in zip(everything, counts, strict=True)])
    return rows, sum(counts[: group.rank()])
