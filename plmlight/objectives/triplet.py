from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.embedding import EmbeddingObjective, cosines


class TripletLoss(EmbeddingObjective):
    """A text must be nearer to its partner than to another text, by a margin.

    Schroff et al. 2015, arXiv:1503.03832, eq. 3; for sentences Reimers and Gurevych 2019, arXiv:1908.10084, section 3,
    whose distance and margin are the usual ones here. Further texts of an example are negatives too.

    Args:
        margin: by how much.
        distance: ``euclidean``, or ``cosine``: one less the cosine, from 0 to 2.

    Raises:
        ValueError: for a negative margin or another distance.
    """

    def __init__(self, margin: float = 1.0, distance: Literal["euclidean", "cosine"] = "euclidean") -> None:
        if margin < 0:
            raise ValueError(f"margin {margin} must be at least 0")
        if distance not in ("euclidean", "cosine"):
            raise ValueError(f"distance {distance!r} is not known: expected euclidean or cosine")
        self.margin, self.distance = margin, distance

    def loss(self, vectors: Sequence[Tensor], batch: Batch, group: ProcessGroup | None = None) -> Parts:
        """What is missing to the margin, a sum over the negatives of each example."""
        if len(vectors) < 3:
            raise ValueError(
                "TripletLoss learns from a text, its partner and another text, and the examples have "
                f"{len(vectors)}: name three in data.text_fields"
            )
        near = self._distances(vectors[0], vectors[1])
        missing = [(near - self._distances(vectors[0], other) + self.margin).relu() for other in vectors[2:]]
        total = torch.stack(missing).sum()
        return {"loss": (total, total.new_tensor(float(len(near) * len(missing))))}

    def _distances(self, first: Tensor, second: Tensor) -> Tensor:
        """[B]."""
        if self.distance == "cosine":
            return 1 - cosines(first, second)
        distances: Tensor = (first.float() - second.float()).norm(dim=-1)
        return distances
