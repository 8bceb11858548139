from __future__ import annotations

import math
from functools import partial
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from plmlight.interop import BART_FAMILY, MARIAN_FAMILY, MBART_FAMILY, Family, Pretrained, load_network
from plmlight.nn import (
    CrossAttention,
    Dropout,
    FeedForward,
    LearnedPositions,
    SelfAttention,
    SinusoidalPositions,
    Stack,
    StackedEncoderDecoder,
    TransformerLayer,
    initialise_xavier,
    positions_of,
)


class Transformer(Pretrained, StackedEncoderDecoder):
    """The encoder-decoder of Vaswani et al. 2017, "Attention Is All You Need" (arXiv:1706.03762), section 3.

    The defaults are the paper's base model, where source, target and, by the task, the projection to the vocabulary
    share one table (section 3.4). ``norm_first`` normalises before each sublayer, and once at the end of each stack
    (Xiong et al. 2020, arXiv:2002.04745). The other arguments are what published descendants need: BART (Lewis et al.
    2020, arXiv:1910.13461) has learned positions and a norm after the embeddings, Marian (Junczys-Dowmunt et al. 2018,
    arXiv:1804.00344) sines in one half of the columns and cosines in the other.

    Args:
        vocab_size: V, of the source; of both where ``target_vocab_size`` is null.
        d_model: D.
        num_layers: the number of the encoder's layers.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the most tokens of a source, and of a target.
        pad_token_id: the id that fills up batches.
        target_vocab_size: of a vocabulary that only the target has; null shares one vocabulary and one table.
        num_decoder_layers: the number of the decoder's layers; ``num_layers`` by default.
        norm_first: normalise before each sublayer, and once at the end of each stack.
        activation: relu (the paper's), gelu, gelu_tanh or silu.
        norm_eps: what the norms add to the variance.
        positions: sinusoidal (the paper's), sinusoidal_halves or learned.
        scale_embedding: multiply token vectors by the root of D (section 3.4).
        norm_embedding: normalise the sum of token and position vectors.
        decoder_start_token_id: what the decoder reads first; ``pad_token_id`` by default.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    families: ClassVar[tuple[Family, ...]] = (MARIAN_FAMILY, BART_FAMILY, MBART_FAMILY)

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 512,
        num_layers: int = 6,
        num_heads: int = 8,
        d_ff: int | None = None,
        dropout: float = 0.1,
        max_length: int = 512,
        pad_token_id: int = 0,
        target_vocab_size: int | None = None,
        num_decoder_layers: int | None = None,
        norm_first: bool = False,
        activation: str = "relu",
        norm_eps: float = 1e-5,
        positions: Literal["sinusoidal", "sinusoidal_halves", "learned"] = "sinusoidal",
        scale_embedding: bool = True,
        norm_embedding: bool = False,
        decoder_start_token_id: int | None = None,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        self.num_layers, self.num_heads = num_layers, num_heads
        self.target_vocab_size = target_vocab_size if target_vocab_size is not None else vocab_size
        self.target_max_length = max_length
        self.decoder_start_token_id = decoder_start_token_id if decoder_start_token_id is not None else pad_token_id
        self.embedding_scale = math.sqrt(d_model) if scale_embedding else 1.0
        self.token_table = nn.Embedding(vocab_size, d_model)
        self.target_table = None if target_vocab_size is None else nn.Embedding(target_vocab_size, d_model)
        norm = partial(nn.LayerNorm, d_model, eps=norm_eps)

        def position_vectors() -> nn.Module:
            if positions == "learned":
                return LearnedPositions(max_length, d_model)
            return SinusoidalPositions(d_model, interleaved=positions == "sinusoidal")

        def stack(number: int, *, crosses: bool) -> Stack:
            layers = [
                TransformerLayer(
                    SelfAttention(d_model, num_heads, dropout=dropout),
                    FeedForward(d_model, d_ff if d_ff is not None else 4 * d_model, activation=activation),
                    norm,
                    norm_first=norm_first,
                    cross_attention=CrossAttention(d_model, num_heads, dropout=dropout) if crosses else None,
                    dropout=dropout,
                )
                for _ in range(number)
            ]
            return Stack(layers, activation_checkpointing=activation_checkpointing)

        self.encoder_positions, self.decoder_positions = position_vectors(), position_vectors()
        self.encoder_embedding_norm = norm() if norm_embedding else nn.Identity()
        self.decoder_embedding_norm = norm() if norm_embedding else nn.Identity()
        self.encoder = stack(num_layers, crosses=False)
        self.decoder = stack(num_decoder_layers if num_decoder_layers is not None else num_layers, crosses=True)
        self.encoder_norm = norm() if norm_first else nn.Identity()
        self.decoder_norm = norm() if norm_first else nn.Identity()
        self.dropout = Dropout(dropout)
        initialise_xavier(self, embedding_std=1 / self.embedding_scale if scale_embedding else 0.02)

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> Transformer:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the marian, bart or mbart family, or a checkpoint with a
                Transformer in it.
            dropout: replaces the one that is written there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, or its weights do not fit.
        """
        return load_network(cls, folder, dropout)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the source's tokens [V, D]."""
        return self.token_table

    @property
    def target_embedding(self) -> nn.Embedding:
        """The table of the target's tokens [V, D]."""
        return self.token_table if self.target_table is None else self.target_table

    def writers(self) -> list[nn.Module]:
        """Adds what makes vectors of the target's tokens."""
        tables = [] if self.target_table is None else [self.target_table]
        return [*super().writers(), *tables, self.decoder_positions, self.decoder_embedding_norm]

    def embed(self, input_ids: Tensor, visible: Tensor | None, past: int, *, target: bool) -> Tensor:
        """Scaled token vectors plus position vectors; see `StackedEncoderDecoder.embed`.

        Raises:
            ValueError: for a document of more tokens than there are positions.
        """
        total = past + input_ids.shape[1]
        table = self.target_embedding if target else self.token_table
        vectors = self.decoder_positions if target else self.encoder_positions
        norm = self.decoder_embedding_norm if target else self.encoder_embedding_norm
        if visible is None:
            positions = torch.arange(past, total, device=input_ids.device)[None]  # [1, T]
        else:
            positions = positions_of(visible)  # [B, T]
        if isinstance(vectors, LearnedPositions):
            vectors.check(total, None if visible is None else positions)
        x = table(input_ids) * self.embedding_scale
        out: Tensor = self.dropout(norm(x + vectors(positions).to(x.dtype)))
        return out
