from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from plmlight.interop import MT5_FAMILY, T5_FAMILY, Family, Pretrained, load_network
from plmlight.nn import (
    Cache,
    CrossAttention,
    Dropout,
    FeedForward,
    RelativePositionBias,
    SelfAttention,
    Stack,
    StackedEncoderDecoder,
    TransformerLayer,
    initialise,
)


class T5(Pretrained, StackedEncoderDecoder):
    """The encoder-decoder of Raffel et al. 2020, "Exploring the Limits of Transfer Learning" (arXiv:1910.10683).

    Section 2.1: a Transformer that normalises before each sublayer with a scale but no mean and no bias (Zhang and
    Sennrich 2019, arXiv:1910.07467), whose scores are not divided by a root but get a number for the distance of the
    two tokens, the same in all layers of a stack. The defaults are version 1.0; version 1.1 (Shazeer 2020,
    arXiv:2002.05202) has ``gated`` and ``activation: gelu_tanh``, and a task whose head is not tied. The weights start
    as in the authors' code, where a matrix's deviation follows from its number of inputs.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: the number of the encoder's layers.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        head_dim: the width of a head; D/H by default.
        dropout: on embeddings, attention weights, inner widths, sublayer outputs and what comes out.
        max_length: the most tokens of a source that the data gives; distances have no limit.
        pad_token_id: the id that fills up batches.
        num_decoder_layers: the number of the decoder's layers; ``num_layers`` by default.
        activation: relu (1.0), gelu_tanh (1.1), gelu or silu.
        gated: multiply the activation by a second projection (1.1).
        norm_eps: what the norms add to the mean square.
        num_buckets: into how many buckets distances are divided.
        max_distance: from where on all distances are the same.
        decoder_start_token_id: what the decoder reads first; ``pad_token_id`` by default.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when there is no ``head_dim`` and the heads do not divide the width.
    """

    families: ClassVar[tuple[Family, ...]] = (T5_FAMILY, MT5_FAMILY)
    target_max_length = None

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        d_ff: int | None = None,
        head_dim: int | None = None,
        dropout: float = 0.1,
        max_length: int = 512,
        pad_token_id: int = 0,
        num_decoder_layers: int | None = None,
        activation: str = "relu",
        gated: bool = False,
        norm_eps: float = 1e-6,
        num_buckets: int = 32,
        max_distance: int = 128,
        decoder_start_token_id: int | None = None,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        self.num_layers, self.num_heads = num_layers, num_heads
        self.target_vocab_size = vocab_size
        self.decoder_start_token_id = decoder_start_token_id if decoder_start_token_id is not None else pad_token_id
        self.head_scale = d_model**-0.5
        self.token_table = nn.Embedding(vocab_size, d_model)
        norm = partial(nn.RMSNorm, d_model, eps=norm_eps)
        inner = d_ff if d_ff is not None else 4 * d_model

        def stack(number: int, *, crosses: bool) -> Stack:
            plain: dict[str, Any] = {"head_dim": head_dim, "dropout": dropout, "bias": False, "scale": 1.0}
            layers = [
                TransformerLayer(
                    SelfAttention(d_model, num_heads, **plain),
                    FeedForward(d_model, inner, activation=activation, gated=gated, dropout=dropout, bias=False),
                    norm,
                    norm_first=True,
                    cross_attention=CrossAttention(d_model, num_heads, **plain) if crosses else None,
                    dropout=dropout,
                )
                for _ in range(number)
            ]
            return Stack(layers, activation_checkpointing=activation_checkpointing)

        bias = partial(RelativePositionBias, num_heads, num_buckets=num_buckets, max_distance=max_distance)
        self.encoder_bias, self.decoder_bias = bias(bidirectional=True), bias(bidirectional=False)
        self.encoder = stack(num_layers, crosses=False)
        self.decoder = stack(num_decoder_layers if num_decoder_layers is not None else num_layers, crosses=True)
        self.encoder_norm, self.decoder_norm = norm(), norm()
        self.dropout = Dropout(dropout)
        self._initialise()

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> T5:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the t5 or mt5 family (T5, FLAN-T5, mT5), or a checkpoint with a
                T5 in it, such as one that learned to fill spans.
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

    def writers(self) -> list[nn.Module]:
        """Adds the decoder's bias."""
        return [*super().writers(), self.decoder_bias]

    def embed(self, input_ids: Tensor, visible: Tensor | None, past: int, *, target: bool) -> Tensor:
        """Token vectors, without positions; see `StackedEncoderDecoder.embed`."""
        out: Tensor = self.dropout(self.token_table(input_ids))
        return out

    def position_bias(self, length: int, past: int, device: torch.device, *, target: bool) -> Tensor:
        """What distances add to the scores; see `StackedEncoderDecoder.position_bias`."""
        bias: Tensor = (self.decoder_bias if target else self.encoder_bias)(length, past + length, device)
        return bias

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Reads; see `EncoderDecoder.encode`."""
        out: Tensor = self.dropout(super().encode(input_ids, attention_mask))
        return out

    def decode(
        self,
        decoder_input_ids: Tensor,
        memory: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Goes on writing; see `EncoderDecoder.decode`."""
        hidden, cache = super().decode(decoder_input_ids, memory, attention_mask, cache, decoder_attention_mask)
        return self.dropout(hidden), cache

    def _initialise(self) -> None:
        initialise(self, self.d_model**-0.5)
        nn.init.normal_(self.token_table.weight)
        for module in self.modules():
            if isinstance(module, SelfAttention):
                query = module.qkv.weight[: module.num_heads * module.head_dim]
                nn.init.normal_(query, std=(self.d_model * module.head_dim) ** -0.5)  # it has no scale: this has it
            elif isinstance(module, CrossAttention):
                nn.init.normal_(module.query.weight, std=(self.d_model * module.head_dim) ** -0.5)
            if isinstance(module, SelfAttention | CrossAttention):
                nn.init.normal_(module.out.weight, std=module.out.in_features**-0.5)
            elif isinstance(module, FeedForward):
                nn.init.normal_(module.down.weight, std=module.down.in_features**-0.5)
