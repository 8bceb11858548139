from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.embedding import EmbeddingObjective, cosines


class CosineRegression(EmbeddingObjective):
    """The cosine of a pair is its score, by squared error (Reimers and Gurevych 2019, arXiv:1908.10084, section 3)."""

    def loss(self, vectors: Sequence[Tensor], batch: Batch, group: ProcessGroup | None = None) -> Parts:
        """The squared error, a sum over the pairs."""
        scores = self.scores(batch)
        total = (cosines(vectors[0], vectors[1]) - scores).square().sum()
        return {"loss": (total, total.new_tensor(float(len(scores))))}
