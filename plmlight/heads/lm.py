from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.heads.cross_entropy import IGNORED, chunked_cross_entropy


class LMHead(nn.Module):
    """Scores of every token of the vocabulary.

    Args:
        d_model: D.
        vocab_size: V.
        bias: whether each token has one.
        weight: the matrix [V, D] to share with the token embedding (Press and Wolf 2017, arXiv:1608.05859); a new one
            by default.
        scale: what the hidden states are multiplied with first.
    """

    def __init__(
        self, d_model: int, vocab_size: int, bias: bool = False, weight: Tensor | None = None, scale: float = 1.0
    ) -> None:
        super().__init__()
        if weight is None:
            weight = nn.Parameter(torch.empty(vocab_size, d_model))
            nn.init.normal_(weight, std=0.02)
        elif weight.shape != (vocab_size, d_model):
            raise ValueError(f"weight is {tuple(weight.shape)}, expected {(vocab_size, d_model)}")
        assert isinstance(weight, nn.Parameter)
        self.weight = weight
        self.bias = nn.Parameter(torch.zeros(vocab_size)) if bias else None
        self.scale = scale

    def forward(self, hidden: Tensor) -> Tensor:
        """The logits [..., V] of hidden states [..., D]."""
        return F.linear(self.before_projection(hidden), self.weight, self.bias)

    def before_projection(self, hidden: Tensor) -> Tensor:
        """What the matrix is multiplied with: the hidden states themselves, scaled."""
        return hidden if self.scale == 1 else hidden * self.scale

    def loss(
        self, hidden: Tensor, labels: Tensor, *, select: bool | None = None, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The cross entropy at the labelled positions, without keeping their logits.

        Args:
            hidden: [..., D].
            labels: [...], int64; -100 is no label.
            select: leave rows without label out before projecting, which on an accelerator waits for it once. None
                does so on the CPU, where waiting costs nothing; otherwise such rows are computed and count zero.
            label_smoothing: the share of each label's probability that is spread over all of the vocabulary.

        Returns:
            The sum over the labels and their count, both float32 scalars.
        """
        rows, flat = hidden.reshape(-1, hidden.shape[-1]), labels.reshape(-1)  # [N, D], [N]
        labelled = flat != IGNORED
        count = labelled.sum()
        if (select if select is not None else hidden.device.type == "cpu") and int(count) < len(flat):
            rows, flat = rows[labelled], flat[labelled]
        total = chunked_cross_entropy(self.before_projection(rows), self.weight, self.bias, flat, label_smoothing)
        return total, count.to(torch.float32)
