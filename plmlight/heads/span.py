from __future__ import annotations

from torch import Tensor, nn

from plmlight.nn import initialise


class SpanHead(nn.Module):
    """Scores each token as the first and as the last of a span (Devlin et al. 2019, arXiv:1810.04805, section 4.2).

    Args:
        d_model: D, of the hidden states.
    """

    def __init__(self, d_model: int) -> None:
        super().__init__()
        self.spans = nn.Linear(d_model, 2)
        initialise(self.spans)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [B, T, D] to the logits of the first token [B, T] and of the last one [B, T]."""
        start, end = self.spans(hidden).unbind(-1)
        return start, end
