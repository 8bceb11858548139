"""Attention by relative positions and segments, whose terms are the bias of the one attention core."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from plmlight.nn.attention import KeyValue, attend, divided
from plmlight.nn.dropout import dropped
from plmlight.nn.masks import Mask


class Relation(NamedTuple):
    """How queries stand to keys.

    Attributes:
        distances: [T+S, D], a vector for each distance from S down to 1-T, of T queries that are the last of S keys.
        mask: who sees whom.
        apart: [B, T, S], true where query and key are of different segments; None where all are of one.
        places: [B, K], where among the T own tokens each of K queries stands; None where there is one for each, in
            order.
        seeing: [B, T, 1], true where a query sees anything; None where all do.
    """

    distances: Tensor
    mask: Mask
    apart: Tensor | None = None
    places: Tensor | None = None
    seeing: Tensor | None = None


class RelativeAttention(nn.Module):
    """Attention to content, distance and segment (Dai et al. 2019, arXiv:1901.02860, section 3.3).

    The score of a query for a key is the sum of four terms of theirs: content and distance, each also by a learned
    vector that stands for any query; and of one for the segment (Yang et al. 2019, arXiv:1906.08237, section 2.5), of
    which only the difference between another segment and the same is counted, as softmax is blind to the rest. The
    terms of distance and segment are the additive bias of `attend`.

    Args:
        d_model: D.
        num_heads: H.
        dropout: on the attention weights, while training.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    def __init__(self, d_model: int, num_heads: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, divided(d_model, num_heads)
        self.dropout = dropout
        self.query = nn.Linear(d_model, d_model, bias=False)
        self.key_value = nn.Linear(d_model, 2 * d_model, bias=False)
        self.distance = nn.Linear(d_model, d_model, bias=False)
        self.out = nn.Linear(d_model, d_model, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(num_heads, self.head_dim))
        self.distance_bias = nn.Parameter(torch.zeros(num_heads, self.head_dim))
        self.segment_bias = nn.Parameter(torch.zeros(num_heads, self.head_dim))
        self.segments = nn.Parameter(torch.zeros(2, num_heads, self.head_dim))  # the same, another

    def remember(self, source: Tensor) -> KeyValue:
        """Keys and values [B, H, S, D/H] of hidden states [B, S, D]: both streams attend to the same."""
        both = self.key_value(source).unflatten(-1, (2, self.num_heads, self.head_dim))  # [B, S, 2, H, D/H]
        key, value = both.permute(2, 0, 3, 1, 4).unbind(0)
        return key, value

    def forward(self, x: Tensor, remembered: KeyValue, relation: Relation) -> Tensor:
        """Attends.

        Args:
            x: [B, T, D], or [B, K, D] where the relation names places.
            remembered: what `remember` gave.
            relation: of the queries to the keys.

        Returns:
            As ``x``; 0 before the projection where a query sees nothing.
        """
        key, value = remembered
        query = self.query(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)  # [B, H, T, D/H]
        bias = self.scores(query, relation, key.shape[2])
        if relation.mask.bias is not None:
            bias = bias + relation.mask.bias.to(bias.dtype)
        own = query + self._content_bias(relation)[:, None]
        found = attend(own.to(key.dtype), key, value, Mask(bias.to(key.dtype)), None, self._dropout())  # [B, T, D]
        if relation.seeing is not None:
            found = found * relation.seeing
        out: Tensor = self.out(found)
        return out

    def scores(self, query: Tensor, relation: Relation, total: int) -> Tensor:
        """What distance and segment add to the scores.

        Args:
            query: [B, H, T, D/H].
            relation: of the queries to the keys.
            total: S.

        Returns:
            [B, H, T, S].
        """
        scale = self.head_dim**-0.5
        keys = self.distance(relation.distances).unflatten(-1, (self.num_heads, self.head_dim))  # [T+S, H, D/H]
        rows = ((query + self.distance_bias[:, None]) * scale).transpose(0, 1).flatten(1, 2)  # [H, B*T, D/H]
        by_distance = (rows @ keys.permute(1, 2, 0)).unflatten(1, (query.shape[0], query.shape[2])).transpose(0, 1)
        if relation.places is None:
            bias = relative_shift(by_distance, total)
        else:
            bias = relative_pick(by_distance, relation.places, total)
        if relation.apart is not None:
            other = (self.segments[1] - self.segments[0])[..., None]  # [H, D/H, 1]
            by_segment = ((query + self.segment_bias[:, None]) * scale) @ other  # [B, H, T, 1]
            bias = bias + by_segment * relation.apart[:, None]
        return bias

    def _content_bias(self, relation: Relation) -> Tensor:
        if relation.apart is None and self.training:
            # every parameter has a gradient, be it 0: data parallelism waits for all of them
            return self.content_bias + 0 * (self.segment_bias + self.segments.sum(0))
        return self.content_bias

    def _dropout(self) -> float:
        return self.dropout if self.training else 0.0


def relative_shift(by_distance: Tensor, total: int) -> Tensor:
    """Moves each query's scores to the keys that stand at their distances, without a copy.

    Row i needs the columns from T - i on. Laid out one after the other and without the first T numbers, rows that are
    one number shorter begin just there (Dai et al. 2019, arXiv:1901.02860, appendix B).

    Args:
        by_distance: [B, H, T, T+S], the scores of the distances from S down to 1-T.
        total: S.

    Returns:
        [B, H, T, S], in row i and column j the score of the distance S - T + i - j.
    """
    batch, heads, length, width = by_distance.shape
    turned = by_distance.reshape(batch, heads, width, length)[:, :, 1:]  # without the first T numbers
    return turned.reshape(batch, heads, length, width - 1)[..., :total]


def relative_pick(by_distance: Tensor, places: Tensor, total: int) -> Tensor:
    """The same for queries at any places.

    Args:
        by_distance: [B, H, K, T+S], the scores of the distances from S down to 1-T.
        places: [B, K], where among the last T keys each query stands.
        total: S.

    Returns:
        [B, H, K, S], in row i and column j the score of the distance S - T + places[i] - j.
    """
    length = by_distance.shape[-1] - total
    columns = torch.arange(total, device=places.device) - places[..., None] + length  # [B, K, S]
    return by_distance.gather(3, columns[:, None].expand(-1, by_distance.shape[1], -1, -1))


class TwoStreamLayer(nn.Module):
    """Relative attention and a feed-forward for one stream or two, each normalised after its residual.

    The content stream h reads itself; the query stream g, which knows its place but not its token, reads h with the
    same weights (Yang et al. 2019, arXiv:1906.08237, section 2.3).

    Args:
        attention: of both streams.
        feed_forward: of both streams.
        d_model: D.
        norm_eps: what the norms add to the variance.
        dropout: on each sublayer's output.
    """

    def __init__(
        self, attention: RelativeAttention, feed_forward: nn.Module, d_model: int, norm_eps: float, dropout: float
    ) -> None:
        super().__init__()
        self.attention, self.feed_forward = attention, feed_forward
        self.attention_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.feed_forward_norm = nn.LayerNorm(d_model, eps=norm_eps)
        self.dropout = dropout

    def forward(
        self,
        content: Tensor,
        query: Tensor | None,
        memory: Tensor | None,
        relation: Relation,
        query_relation: Relation | None,
    ) -> tuple[Tensor, Tensor | None]:
        """Applies the layer.

        Args:
            content: h, [B, T, D].
            query: g, [B, K, D], or None.
            memory: [B, M, D], what went into this layer for the M tokens before.
            relation: of h to memory and h.
            query_relation: of g to memory and h.

        Returns:
            The same two.
        """
        source = content if memory is None else torch.cat([memory.to(content.dtype), content], 1)  # [B, S, D]
        remembered = self.attention.remember(source)
        if query is not None:
            assert query_relation is not None
            query = self._step(query, remembered, query_relation)
        return self._step(content, remembered, relation), query

    def _step(self, x: Tensor, remembered: KeyValue, relation: Relation) -> Tensor:
        x = self.attention_norm(x + self._dropped(self.attention(x, remembered, relation)))
        out: Tensor = self.feed_forward_norm(x + self._dropped(self.feed_forward(x)))
        return out

    def _dropped(self, x: Tensor) -> Tensor:
        return dropped(x, self.dropout) if self.training and self.dropout else x
