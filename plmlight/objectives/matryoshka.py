from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.embedding import EmbeddingObjective


class Matryoshka(EmbeddingObjective):
    """Vectors whose first numbers are vectors themselves (Kusupati et al. 2022, arXiv:2205.13147, eq. 1).

    Another objective is asked for the first ``dims`` numbers of the vectors, each time as if there were no others, and
    the losses are added up. Who uses the vectors may then cut them at these places.

    Args:
        inner: the other objective.
        dims: how many numbers; the longest is usually the whole vector.
        weights: of the losses; 1 each by default.

    Raises:
        ValueError: for no dims or such that are not positive, and for weights that are not as many.
    """

    def __init__(self, inner: EmbeddingObjective, dims: list[int], weights: list[float] | None = None) -> None:
        if not dims or min(dims) < 1:
            raise ValueError(f"dims {dims}: expected at least one, each at least 1")
        if weights is not None and len(weights) != len(dims):
            raise ValueError(f"weights {weights}: expected {len(dims)}, one for each of dims {dims}")
        self.inner, self.dims, self.weights = inner, dims, weights or [1.0] * len(dims)

    def check_width(self, width: int) -> None:
        """Refuses to cut vectors where they have ended."""
        if max(self.dims) > width:
            raise ValueError(f"dims {self.dims}: the vectors have {width} numbers only")
        for dim in self.dims:
            self.inner.check_width(dim)

    def loss(self, vectors: Sequence[Tensor], batch: Batch, group: ProcessGroup | None = None) -> Parts:
        """The weighted sum of the inner losses, with their count."""
        found = [self.inner.loss([each[:, :dim] for each in vectors], batch, group)["loss"] for dim in self.dims]
        (first, count), *others = found
        total = first * self.weights[0]
        for (part, _), weight in zip(others, self.weights[1:], strict=True):
            total = total + part * weight
        return {"loss": (total, count)}
