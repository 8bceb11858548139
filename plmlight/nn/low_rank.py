"""Linear layers that learn a difference of low rank beside a matrix that stays as it is."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LowRank(nn.Module):
    """A difference B A of a matrix (Hu et al. 2021, arXiv:2106.09685, section 4.1): nothing at the start.

    Args:
        in_features: the matrix's columns.
        out_features: its rows.
        rank: r.
    """

    def __init__(self, in_features: int, out_features: int, rank: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.empty(rank, in_features))
        self.b = nn.Parameter(torch.zeros(out_features, rank))
        nn.init.normal_(self.a, std=in_features**-0.5)


class LowRankLinear(nn.Linear):
    """A linear layer, and differences of low rank for some of its rows.

    The layer's matrix and bias keep their names and are shared with the layer that it was.

    Args:
        linear: the layer.
        parts: which rows have a difference, by the name of what they are: first row, and one more than the last.
        rank: r, of each difference.
        scale: what the differences are multiplied with: alpha / r.
        dropout: on what comes into them.
    """

    def __init__(
        self, linear: nn.Linear, parts: Mapping[str, tuple[int, int]], rank: int, scale: float, dropout: float
    ) -> None:
        nn.Module.__init__(self)  # not nn.Linear's, which would draw a matrix
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        self.parts, self.scale = dict(parts), scale
        self.dropout = nn.Dropout(dropout)
        self.low_rank = nn.ModuleDict(
            {name: LowRank(self.in_features, stop - start, rank) for name, (start, stop) in parts.items()}
        ).to(linear.weight)

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] to [..., out]."""
        down, up = self._matrices()
        learned = F.linear(F.linear(self.dropout(input), down) * self.scale, up)  # [..., out]
        return F.linear(input, self.weight, self.bias) + learned

    def difference(self) -> Tensor:
        """What was learned, [out, in]."""
        down, up = self._matrices()
        return up @ down * self.scale

    def merged(self) -> nn.Linear:
        """A plain layer with matrices of its own that does the same outside training."""
        with torch.no_grad(), torch.device("meta"):
            plain = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None)
        with torch.no_grad():
            wide = torch.promote_types(self.weight.dtype, torch.float32)
            weight = self.weight.to(wide) + self.difference().to(wide)
            plain.weight = nn.Parameter(weight.to(self.weight.dtype))
            if self.bias is not None:
                plain.bias = nn.Parameter(self.bias.detach().clone())
        return plain.train(self.training)

    def _matrices(self) -> tuple[Tensor, Tensor]:
        """All differences as one, [k r, in] and [out, k r]: one product after the other, whatever the parts."""
        downs: list[Tensor] = []
        ups: list[Tensor] = []
        for name, (start, stop) in self.parts.items():
            piece = self.low_rank[name]
            assert isinstance(piece, LowRank)
            downs.append(piece.a)
            ups.append(F.pad(piece.b, (0, 0, start, self.out_features - stop)))
        down, up = torch.cat(downs), torch.cat(ups, 1)
        return down, up


def merge_low_rank(module: nn.Module) -> None:
    """Replaces every `LowRankLinear` by the plain layer that does the same.

    Args:
        module: changed in place; the layers that were replaced are not.
    """
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, LowRankLinear):
                setattr(parent, name, child.merged())
