"""One layer: attention, perhaps attention to a memory, feed-forward, each with its residual and its norm."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from plmlight.nn.attention import CrossAttention, KeyValue, SelfAttention
from plmlight.nn.dropout import Dropout
from plmlight.nn.masks import Mask
from plmlight.nn.roles import Cache


class TransformerLayer(nn.Module):
    """Attention and feed-forward with residuals.

    Args:
        attention: to the sequence itself.
        feed_forward: any module from [B, T, D] to [B, T, D].
        norm: makes a normalisation of width D; called once a sublayer.
        norm_first: normalise what goes into a sublayer (GPT-2, arXiv:2002.04745) instead of the sum that comes out
            (the Transformer, GPT-1, BERT).
        cross_attention: to a memory, between the two.
        dropout: on each sublayer's output.
    """

    def __init__(
        self,
        attention: SelfAttention,
        feed_forward: nn.Module,
        norm: Callable[[], nn.Module],
        *,
        norm_first: bool,
        cross_attention: CrossAttention | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.attention = attention
        self.attention_norm = norm()
        self.cross_attention = cross_attention
        self.cross_attention_norm = norm() if cross_attention is not None else None
        self.feed_forward = feed_forward
        self.feed_forward_norm = norm()
        self.dropout = Dropout(dropout)

    def forward(
        self,
        x: Tensor,
        mask: Mask,
        positions: Tensor | None = None,
        past: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Mask | None = None,
        remembered: KeyValue | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Applies the layer.

        Args:
            x: [B, T, D].
            mask: of the attention to itself.
            positions: [B, T] or [1, T], for rotary positions.
            past: keys and values of the tokens before; a third tensor [B, S] is the coverage: how much attention each
                place of the memory has had so far, as the mean over the heads.
            memory: [B, S, D_memory].
            memory_mask: of the attention to the memory.
            remembered: the memory's keys and values, where they are known already; then ``memory`` is not read. Rows
                of ``x`` may share them; see `CrossAttention.forward`.

        Returns:
            [B, T, D], and ``past`` with the present in it; None where there was no ``past``.
        """
        before = None if past is None else (past[0], past[1])
        inner, present = self.attention(self._before(x, self.attention_norm), mask, positions, before)
        x = self._after(x, inner, self.attention_norm)
        coverage: Cache = () if past is None else past[2:]
        if self.cross_attention is not None and (memory is not None or remembered is not None):
            assert self.cross_attention_norm is not None
            inner = self._before(x, self.cross_attention_norm)
            if remembered is None:
                assert memory is not None
                remembered = self.cross_attention.remember(memory)
            if coverage:
                weights = self.cross_attention.weights(inner, remembered[0], memory_mask or Mask())
                coverage = (coverage[0] + weights.sum(1),)  # [B, T, S] to [B, S]
            inner = self.cross_attention(inner, remembered, memory_mask or Mask())
            x = self._after(x, inner, self.cross_attention_norm)
        inner = self.feed_forward(self._before(x, self.feed_forward_norm))
        return self._after(x, inner, self.feed_forward_norm), None if past is None else (*present, *coverage)

    def _before(self, x: Tensor, norm: nn.Module) -> Tensor:
        y: Tensor = norm(x) if self.norm_first else x
        return y

    def _after(self, x: Tensor, inner: Tensor, norm: nn.Module) -> Tensor:
        y: Tensor = x + self.dropout(inner)
        return y if self.norm_first else norm(y)
