from __future__ import annotations

from torch import Tensor, nn

from plmlight.nn import Dropout, initialise


class ClassificationHead(nn.Module):
    """Scores of classes: dropout, and a linear layer over a vector.

    Args:
        d_model: D, of the vector.
        num_labels: L.
        dropout: on the vector.
        bias: whether each class has one.
    """

    def __init__(self, d_model: int, num_labels: int, dropout: float = 0.1, *, bias: bool = True) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.classifier = nn.Linear(d_model, num_labels, bias=bias)
        initialise(self.classifier)

    def forward(self, hidden: Tensor) -> Tensor:
        """Vectors [..., D] to logits [..., L]."""
        logits: Tensor = self.classifier(self.dropout(hidden))
        return logits
