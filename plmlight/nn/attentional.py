"""The attention that came before the Transformer's, and the recurrent decoder that has it."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from plmlight.nn.attention import KeyValue
from plmlight.nn.dropout import Dropout
from plmlight.nn.recurrent import LSTM
from plmlight.nn.roles import Cache
from plmlight.nn.steps import run_steps


class GlobalAttention(nn.Module):
    """Attention of a recurrent decoder to all of a memory (Luong et al. 2015, arXiv:1508.04025, section 3.1).

    Args:
        d_model: D, the width of what asks.
        kind: how a query is compared with a place of the memory: ``dot``, their product; ``general``, with a matrix
            between; ``additive``, a small network (Bahdanau et al. 2015, arXiv:1409.0473, appendix A.1.2).
        memory_dim: the width of the memory; D by default.

    Raises:
        ValueError: for a kind that is none of them, or widths that have no product.
    """

    def __init__(
        self, d_model: int, kind: Literal["additive", "dot", "general"], memory_dim: int | None = None
    ) -> None:
        super().__init__()
        width = memory_dim if memory_dim is not None else d_model
        if kind not in ("additive", "dot", "general"):
            raise ValueError(f"attention {kind!r} is not known; expected one of additive, dot, general")
        if kind == "dot" and width != d_model:
            raise ValueError(f"attention 'dot' needs a memory as wide as d_model {d_model}, got {width}")
        self.key = nn.Identity() if kind == "dot" else nn.Linear(width, d_model, bias=False)
        self.query = nn.Linear(d_model, d_model) if kind == "additive" else nn.Identity()
        self.score = nn.Linear(d_model, 1, bias=False) if kind == "additive" else None

    def remember(self, memory: Tensor) -> KeyValue:
        """What a query is compared with, and what it gets, of a memory [B, S, D_memory]: the same at every step."""
        return self.key(memory), memory

    def forward(self, x: Tensor, remembered: KeyValue, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attends.

        Args:
            x: [B, T, D].
            remembered: what `remember` gave: [B, S, D] and [B, S, D_memory].
            bias: [B, 1, S], added to the scores.

        Returns:
            The context [B, T, D_memory], and the weights [B, T, S].
        """
        key, value = remembered
        if self.score is None:
            scores = self.query(x) @ key.mT  # [B, T, S]
        else:
            scores = self.score(torch.tanh(self.query(x)[:, :, None] + key[:, None])).squeeze(-1)  # [B, T, S]
        weights = torch.softmax(scores if bias is None else scores + bias, -1)
        return weights.to(value.dtype) @ value, weights


class AttentionalDecoder(nn.Module):
    """LSTM layers whose output and what it attends to become one vector (Luong et al. 2015, arXiv:1508.04025, eq. 5).

    Args:
        d_model: D.
        num_layers: how many layers of LSTM.
        kind: of the attention; see `GlobalAttention`.
        input_feeding: whether the layers read, with each token, the vector that came out for the one before (section
            3.3), so that they know what has been attended to; tokens are then read one after the other.
        dropout: between the layers, and on the vectors that come out.
    """

    def __init__(
        self,
        d_model: int,
        num_layers: int,
        kind: Literal["additive", "dot", "general"],
        *,
        input_feeding: bool,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.input_feeding = input_feeding
        self.lstm = LSTM(2 * d_model if input_feeding else d_model, d_model, num_layers, dropout=dropout)
        self.attention = GlobalAttention(d_model, kind)
        self.combine = nn.Linear(2 * d_model, d_model, bias=False)
        self.dropout = Dropout(dropout)

    def forward(
        self, x: Tensor, state: Cache, remembered: KeyValue, bias: Tensor | None, valid: Tensor | None
    ) -> tuple[Tensor, Cache]:
        """Reads tokens.

        Args:
            x: [B, T, D].
            state: of the LSTM, with input feeding the last vector [B, D] that came out, and the coverage [B, S].
            remembered: of the memory; see `GlobalAttention.remember`. Rows next to each other may share one.
            bias: [B, 1, S], added to the scores of the attention.
            valid: [B, T], true at tokens, false at padding, which changes no state; None where all are tokens.

        Returns:
            What comes out [B, T, D], and the state after the last token.
        """
        # a loop in a graph cannot be traced where its rows share a memory: each gets its own
        remembered = _each(remembered[0], x.shape[0]), _each(remembered[1], x.shape[0])
        bias = None if bias is None else _each(bias, x.shape[0])
        if self.input_feeding:
            return self._loop(x, state, remembered, bias, valid)
        inner, new = self.lstm(x, valid, state[:-1])
        out, weights = self._attend(inner, remembered, bias)
        if valid is not None:
            weights = weights * valid[..., None]
        return out, (*new, state[-1] + weights.sum(1))

    def _attend(self, x: Tensor, remembered: KeyValue, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        context, weights = self.attention(x, remembered, bias)
        out: Tensor = self.dropout(torch.tanh(self.combine(torch.cat([context, x], -1))))
        return out, weights

    def _loop(
        self, x: Tensor, state: Cache, remembered: KeyValue, bias: Tensor | None, valid: Tensor | None
    ) -> tuple[Tensor, Cache]:
        def step(state: Cache, at: tuple[Tensor, ...]) -> tuple[Cache, Tensor]:
            feed, coverage = state[-2:]
            inner, new = self.lstm.step(torch.cat([at[0], feed], -1), state[:-2])  # [B, D]
            out, weights = self._attend(inner[:, None], remembered, bias)
            out, coverage = out[:, 0], coverage + weights[:, 0]
            after: Cache = (*new, out, coverage)
            if valid is not None:
                after = tuple(torch.where(at[1], one, other) for one, other in zip(after, state, strict=True))
            return after, out

        sequences = (x,) if valid is None else (x, valid[..., None])
        after, out = run_steps(step, state, tuple(sequence.transpose(0, 1) for sequence in sequences))
        return out.transpose(0, 1), after


def _each(memory: Tensor, rows: int) -> Tensor:
    """[B, S, D] of memories as [R, S, D] of rows, of which those of one memory are next to each other."""
    return memory[:, None].expand(-1, rows // memory.shape[0], -1, -1).reshape(rows, *memory.shape[1:])
