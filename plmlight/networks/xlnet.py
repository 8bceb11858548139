from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import dropout as dropped
from torch.utils.checkpoint import checkpoint

from plmlight.interop import XLNET_FAMILY, Family, Pretrained, load_network
from plmlight.nn import (
    Cache,
    FeedForward,
    Mask,
    PermutationEncoder,
    Relation,
    RelativeAttention,
    SinusoidalPositions,
    TwoStreamLayer,
    bias_of,
    initialise,
    sees_document,
    triangle,
)


class XLNet(Pretrained, PermutationEncoder):
    """XLNet (Yang et al. 2019, "Generalized Autoregressive Pretraining for Language Understanding", arXiv:1906.08237).

    Transformer-XL's relative attention and segment memories (Dai et al. 2019, arXiv:1901.02860) with a second stream of
    queries, which predict tokens in any order (section 2.3), and relative segments (section 2.5). There are no absolute
    positions, so that padding on either side changes nothing and rows have no limit. Where a query sees nothing it gets
    nothing; the reference then gives it the mean of all tokens, the hidden ones included. While training, dropout of
    the distances' vectors is the same in all rows of a batch.

    Args:
        vocab_size: V.
        d_model: D, even.
        num_layers: the number of layers.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        dropout: on embeddings, distances, attention weights, inner widths, sublayer outputs and what comes out.
        max_length: the most tokens of a row that data and texts are cut at; the network itself has no limit.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        activation: gelu, gelu_tanh, relu or silu.
        norm_eps: what the norms add to the variance.
        memory_length: how many tokens are remembered from segment to segment; all of them by default.
        reuse_length: how many tokens of a segment are remembered, its first ones; all of them by default.
        clamp_length: from where on all distances are the same; nowhere by default.
        causal: whether no token sees a later one.
        same_length: with ``causal``, whether each token sees as many tokens as there are memories before it.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width, or a length is less than 1.
    """

    families: ClassVar[tuple[Family, ...]] = (XLNET_FAMILY,)
    head_transform = False
    cls_last = True
    num_token_types = 3  # of a text, of a second one, and of <cls>; only equal or not counts

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        d_ff: int | None = None,
        dropout: float = 0.1,
        max_length: int = 512,
        pad_token_id: int = 5,
        activation: str = "gelu",
        norm_eps: float = 1e-12,
        memory_length: int | None = None,
        reuse_length: int | None = None,
        clamp_length: int | None = None,
        causal: bool = False,
        same_length: bool = False,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        lengths = {"memory_length": memory_length, "reuse_length": reuse_length, "clamp_length": clamp_length}
        for name, value in lengths.items():
            if value is not None and value < 1:
                raise ValueError(f"{name} {value}: expected at least 1, or null")
        self.num_layers, self.num_heads = num_layers, num_heads
        self.activation, self.norm_eps, self.dropout = activation, norm_eps, dropout
        self.memory_length, self.reuse_length, self.clamp_length = memory_length, reuse_length, clamp_length
        self.causal, self.same_length = causal, same_length
        self.activation_checkpointing = activation_checkpointing
        self.token_table = nn.Embedding(vocab_size, d_model)
        self.query_embedding = nn.Parameter(torch.empty(1, 1, d_model))
        self.sinusoids = SinusoidalPositions(d_model, interleaved=False)
        inner = d_ff if d_ff is not None else 4 * d_model
        self.layers = nn.ModuleList(
            TwoStreamLayer(
                RelativeAttention(d_model, num_heads, dropout=dropout),
                FeedForward(d_model, inner, activation=activation, dropout=dropout),
                d_model,
                norm_eps,
                dropout,
            )
            for _ in range(num_layers)
        )
        initialise(self)
        for name, parameter in self.named_parameters():
            if name.rpartition(".")[2] in (
                "query_embedding",
                "content_bias",
                "distance_bias",
                "segment_bias",
                "segments",
            ):
                nn.init.normal_(parameter, std=0.02)

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> XLNet:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the xlnet family, or a checkpoint with such a network.
            dropout: replaces the one that is written there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, or its weights do not fit.
        """
        return load_network(cls, folder, dropout)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, D]."""
        return self.token_table

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Reads tokens; see `Encoder.forward`. Positions have no influence: only distances within a row count."""
        return self.two_stream(input_ids, attention_mask, token_type_ids)[0]

    def two_stream(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        permutation_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        memories: Cache | None = None,
    ) -> tuple[Tensor, Tensor | None, Cache]:
        """Reads tokens in an order of its own; see `PermutationEncoder.two_stream`.

        Raises:
            ValueError: for memories that do not fit.
        """
        own = None if target_mapping is None else (target_mapping != 0).long().argmax(-1)  # [B, K]
        mapped = None if target_mapping is None else (target_mapping != 0).any(-1, keepdim=True)  # [B, K, 1]
        past = self._past(memories, input_ids)
        visible = self._visible(input_ids, attention_mask, permutation_mask, past)
        base = self._relation(input_ids, token_type_ids, past)
        x = self.token_table(input_ids)  # [B, T, D]
        query = asking = None
        if own is not None:
            query = self.query_embedding.expand(len(own), own.shape[1], -1)  # [B, K, D]
            asking = _picked(base._replace(mask=Mask(), seeing=mapped), visible, own, x.dtype)
        elif self.training:
            x = x + 0 * self.query_embedding  # every parameter has a gradient: data parallelism waits for all of them
        if visible is not None:
            base = base._replace(mask=Mask(bias_of(visible | self._diagonal(input_ids, past), x.dtype)))
        return self._read(x, query, base, asking, memories)

    def predict(
        self,
        input_ids: Tensor,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        memories: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """Reads tokens of which some are hidden; see `PermutationEncoder.predict`.

        Raises:
            ValueError: for memories that do not fit.
        """
        past = self._past(memories, input_ids)
        visible = self._visible(input_ids, attention_mask, hidden[:, None, :], past)
        assert visible is not None
        visible = visible | (self._diagonal(input_ids, past) & ~hidden[:, :, None])  # [B, T, S]
        relation = self._relation(input_ids, token_type_ids, past)
        x = torch.where(hidden[..., None], self.query_embedding, self.token_table(input_ids))
        mask = Mask(bias_of(visible, x.dtype))
        out, _, kept = self._read(
            x, None, relation._replace(mask=mask, seeing=visible.any(-1, keepdim=True)), None, memories
        )
        return out, kept

    def empty_memories(
        self, batch_size: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", length: int = 0
    ) -> Cache:
        """Memories of zeros; see `PermutationEncoder.empty_memories`."""
        shape = (batch_size, length, self.d_model)
        return tuple(torch.zeros(shape, dtype=dtype, device=device) for _ in range(self.num_layers))

    def memory_names(self) -> list[str]:
        """``mems.0``, ``mems.1``, ..."""
        return [f"mems.{i}" for i in range(self.num_layers)]

    def _read(
        self, x: Tensor, query: Tensor | None, relation: Relation, asking: Relation | None, memories: Cache | None
    ) -> tuple[Tensor, Tensor | None, Cache]:
        """Applies the layers, to [B, T, D] and perhaps [B, K, D]."""
        x = self._dropped(x)
        query = None if query is None else self._dropped(query)
        kept: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            memory = None if memories is None else memories[i]
            kept.append(self._kept(x, memory))
            arguments = (x, query, memory, relation, asking)
            if self.activation_checkpointing and self.training:
                x, query = checkpoint(layer, *arguments, use_reentrant=False)
            else:
                x, query = layer(*arguments)
        return self._dropped(x), None if query is None else self._dropped(query), tuple(kept)

    def _kept(self, x: Tensor, memory: Tensor | None) -> Tensor:
        """What a layer remembers: [B, M', D]."""
        kept = (x if self.reuse_length is None else x[:, : self.reuse_length]).detach()
        if memory is not None:
            kept = torch.cat([memory.to(kept.dtype), kept], 1)
        return kept if self.memory_length is None else kept[:, -self.memory_length :]

    def _past(self, memories: Cache | None, input_ids: Tensor) -> int:
        """M, of memories that fit.

        Raises:
            ValueError: when there are not as many as layers, or one is not [B, M, D].
        """
        if memories is None:
            return 0
        if len(memories) != self.num_layers:
            raise ValueError(f"{len(memories)} memories, expected {self.num_layers}: one a layer")
        past: int = memories[0].shape[1] if memories[0].dim() > 1 else 0
        expected = (input_ids.shape[0], past, self.d_model)
        for i, memory in enumerate(memories):
            if memory.dim() != 3 or tuple(memory.shape) != expected:
                told = f"[{expected[0]}, {past if i else 'any length'}, {self.d_model}]"
                raise ValueError(f"the memory mems.{i} is {list(memory.shape)}, expected {told}")
        return past

    def _visible(
        self, input_ids: Tensor, attention_mask: Tensor | None, permutation_mask: Tensor | None, past: int
    ) -> Tensor | None:
        """What queries see: [B, T, S] or [1, T, S]; None where they see everything.

        Raises:
            ValueError: for an attention mask of another length.
        """
        length, device = input_ids.shape[1], input_ids.device
        found: list[Tensor] = []
        if self.causal:
            earlier = triangle(length, past + length, device)
            if self.same_length:
                places = torch.arange(past + length, device=device)
                earlier = earlier & (places[None, :] >= places[:length, None])
            found.append(earlier[None])
        if attention_mask is not None:
            columns = attention_mask.shape[1]
            if columns not in (length, past + length):
                raise ValueError(
                    f"attention_mask has {columns} columns, expected {length}, or {past + length} with memories"
                )
            own = attention_mask[:, -length:]
            seen = sees_document(own, attention_mask)
            found.append(seen if columns == past + length else _with_memories(seen, past))
        if permutation_mask is not None:
            found.append(_with_memories(permutation_mask == 0, past))
        if not found:
            return None
        visible = found[0]
        for other in found[1:]:
            visible = visible & other
        return visible

    def _diagonal(self, input_ids: Tensor, past: int) -> Tensor:
        """[T, S], true where query and key are the same token."""
        places = torch.arange(past + input_ids.shape[1], device=input_ids.device)
        return places[past:, None] == places[None, :]

    def _relation(self, input_ids: Tensor, token_type_ids: Tensor | None, past: int) -> Relation:
        """Distances and segments, without a mask."""
        length, device = input_ids.shape[1], input_ids.device
        distances = past + length - torch.arange(past + 2 * length, device=device)  # S down to 1-T
        if self.clamp_length is not None:
            distances = distances.clamp(-self.clamp_length, self.clamp_length)
        vectors = self._dropped(self.sinusoids(distances).to(self.token_table.weight.dtype))  # [T+S, D]
        apart = None
        if token_type_ids is not None:
            before = token_type_ids.new_zeros(input_ids.shape[0], past)
            apart = token_type_ids[:, :, None] != torch.cat([before, token_type_ids], 1)[:, None, :]  # [B, T, S]
        return Relation(vectors, Mask(), apart)

    def _dropped(self, x: Tensor) -> Tensor:
        return dropped(x, self.dropout, self.training)


def _with_memories(visible: Tensor, past: int) -> Tensor:
    """[B, T, T], or [B, 1, T], with memories that all see: [B, T, S] or [B, 1, S]."""
    return torch.cat([visible.new_ones(*visible.shape[:2], past), visible], 2)


def _picked(relation: Relation, visible: Tensor | None, places: Tensor, dtype: torch.dtype) -> Relation:
    """The relation of queries at some places [B, K] to all keys."""
    rows = places[..., None]  # [B, K, 1]
    apart, seeing = relation.apart, relation.seeing
    assert seeing is not None
    if apart is not None:
        apart = apart.gather(1, rows.expand(-1, -1, apart.shape[2]))
    if visible is None:
        return relation._replace(places=places, apart=apart)
    seen = visible.expand(len(places), -1, -1).gather(1, rows.expand(-1, -1, visible.shape[2]))  # [B, K, S]
    mask = Mask(bias_of(seen, dtype))
    return relation._replace(places=places, apart=apart, mask=mask, seeing=seeing & seen.any(-1, keepdim=True))
