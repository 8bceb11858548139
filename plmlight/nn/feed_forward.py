"""What a layer does to each position alone."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.nn.dropout import Dropout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
}


def activation_function(name: str) -> Callable[[Tensor], Tensor]:
    """The activation of a name: exact GELU, its tanh form (GPT-1 and GPT-2), ReLU, SiLU.

    Raises:
        ValueError: for a name that is none of them.
    """
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is not known; expected one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]


class FeedForward(nn.Module):
    """Two matrices with an activation between (Vaswani et al. 2017, arXiv:1706.03762, section 3.3).

    Args:
        d_model: D.
        d_ff: the inner width.
        activation: gelu, gelu_tanh, relu or silu.
        gated: multiply the activation by a second projection of the input (Shazeer 2020, arXiv:2002.05202).
        dropout: on the inner width.
        bias: whether the matrices have one.
    """

    def __init__(
        self,
        d_model: int,
        d_ff: int,
        *,
        activation: str = "gelu",
        gated: bool = False,
        dropout: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.activation = activation_function(activation)
        self.up = nn.Linear(d_model, d_ff, bias=bias)
        self.gate = nn.Linear(d_model, d_ff, bias=bias) if gated else None
        self.down = nn.Linear(d_ff, d_model, bias=bias)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, D]."""
        inner = self.activation(self.up(x)) if self.gate is None else self.activation(self.gate(x)) * self.up(x)
        out: Tensor = self.down(self.dropout(inner))
        return out
