from __future__ import annotations

from plmlight.objectives.base import Batch, Outputs, Parts
from plmlight.objectives.causal import CausalLanguageModelling


class RegularisedLanguageModelling(CausalLanguageModelling):
    """Predicts each token, with hidden states that are small and change slowly (Merity et al. 2017, arXiv:1708.02182).

    Activation regularisation is the mean square of the hidden states, temporal activation regularisation that of their
    differences from one token to the next (section 4.6; Merity, McCann and Socher 2017, arXiv:1708.01009). Both are of
    what the head gets, after dropout: theirs takes the differences before it, which is the same with one mask for all
    steps but for the units that it leaves out. Each is a part of the loss of its own, averaged in each micro-batch.

    Args:
        activation: the factor of the one.
        slowness: the factor of the other.
    """

    def __init__(self, activation: float = 2.0, slowness: float = 1.0) -> None:
        self.activation, self.slowness = activation, slowness

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``loss`` of the cross entropies, ``activation`` and ``slowness``: of tokens that are no padding."""
        parts = super().loss(outputs, batch)
        hidden, mask = outputs.hidden.float(), batch.get("attention_mask")  # [B, T, D]
        valid = hidden.new_ones(hidden.shape[:2]) if mask is None else (mask > 0).to(hidden.dtype)  # [B, T]
        both = valid[:, 1:] * valid[:, :-1]
        squares = hidden.square().mean(-1)
        changes = (hidden[:, 1:] - hidden[:, :-1]).square().mean(-1)
        return parts | {
            "activation": (self.activation * (squares * valid).sum(), valid.sum()),
            "slowness": (self.slowness * (changes * both).sum(), both.sum()),
        }
