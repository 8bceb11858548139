from __future__ import annotations

import torch
from torch import Tensor, nn

from plmlight.nn import Dropout, initialise


def pool(hidden: Tensor, attention_mask: Tensor | None, how: str, *, last: bool = False) -> Tensor:
    """A sequence's hidden states as one vector.

    Args:
        hidden: [B, T, D].
        attention_mask: [B, T], 0 is padding; None where nothing is.
        how: ``mean``, ``max`` or ``cls`` (the first token that is no padding).
        last: whether ``cls`` is the last such token.

    Returns:
        [B, D].

    Raises:
        ValueError: for another way.
    """
    if how not in ("mean", "max", "cls"):
        raise ValueError(f"pooling {how!r} is not known: expected mean, max or cls")
    if attention_mask is None:
        attention_mask = torch.ones(hidden.shape[:2], dtype=torch.int64, device=hidden.device)
    real = (attention_mask != 0)[..., None]  # [B, T, 1]
    if how == "mean":
        return (hidden * real).sum(1) / real.sum(1).clamp_min(1)
    if how == "max":
        return hidden.masked_fill(~real, torch.finfo(hidden.dtype).min).amax(1)
    counted = real.to(torch.int64)
    place = (counted.cumsum(1) if last else counted).argmax(1, keepdim=True)  # [B, 1, 1], the first of the largest
    return hidden.gather(1, place.expand(-1, -1, hidden.shape[-1]))[:, 0]


class Pooler(nn.Module):
    """A sequence as one vector: a matrix and tanh over the first token's (BERT, arXiv:1810.04805, section 3.1).

    Args:
        d_model: D.
        last: take the last token that is no padding (XLNet) in place of what stands in the first column.
    """

    def __init__(self, d_model: int, *, last: bool = False) -> None:
        super().__init__()
        self.last = last
        self.dense = nn.Linear(d_model, d_model)
        initialise(self.dense)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, D], with a mask [B, T] or without padding, to [B, D]."""
        token = pool(hidden, attention_mask, "cls", last=True) if self.last else hidden[:, 0]
        return torch.tanh(self.dense(token))


class PairHead(nn.Module):
    """Scores of two classes of a pair of segments: next or not (BERT), in order or swapped (ALBERT).

    Args:
        d_model: D.
        dropout: on the pooled vector.
        last: as in `Pooler`.
    """

    def __init__(self, d_model: int, dropout: float = 0.0, *, last: bool = False) -> None:
        super().__init__()
        self.pooler = Pooler(d_model, last=last)
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(d_model, 2)
        initialise(self.classifier)

    def forward(self, hidden: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, D] to logits [B, 2]; class 0 is the true pair, as in Hugging Face's models."""
        out: Tensor = self.classifier(self.dropout(self.pooler(hidden, attention_mask)))
        return out
