"""What the encoders since BERT have in common."""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from plmlight.nn.attention import SelfAttention
from plmlight.nn.embeddings import Embeddings
from plmlight.nn.feed_forward import FeedForward
from plmlight.nn.initialisation import initialise
from plmlight.nn.layer import TransformerLayer
from plmlight.nn.masks import Mask, square_mask
from plmlight.nn.prompt import after_prompt, prompt_length
from plmlight.nn.roles import Encoder
from plmlight.nn.stack import Stack


class PostNormEncoder(Encoder):
    """Summed embeddings and a stack of layers, each sublayer normalised after its residual (arXiv:1706.03762).

    A subclass gives the numbers, and what is its own: where positions count from, what tables hold.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: how often a layer is applied.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D where it is None.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the most tokens of a row.
        pad_token_id: the id that fills up batches.
        num_token_types: rows of the segment table; 0 for none.
        activation: of the feed-forward.
        norm_eps: what the norms add to the variance.
        activation_checkpointing: trade time for memory while training.
        num_positions: rows of the position table; ``max_length`` by default.
        d_embedding: the width of the tables, where they are projected to D.
        num_groups: how many layers have weights of their own; all of them by default.

    Raises:
        ValueError: when the heads do not divide the width, or the groups the layers.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_layers: int,
        num_heads: int,
        d_ff: int | None,
        dropout: float,
        max_length: int,
        pad_token_id: int,
        num_token_types: int,
        activation: str,
        norm_eps: float,
        activation_checkpointing: bool,
        *,
        num_positions: int | None = None,
        d_embedding: int | None = None,
        num_groups: int | None = None,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        self.num_layers, self.num_heads = num_layers, num_heads
        self.num_token_types, self.activation, self.norm_eps = num_token_types, activation, norm_eps
        self.embeddings = Embeddings(
            vocab_size,
            d_model,
            num_positions if num_positions is not None else max_length,
            num_token_types=num_token_types,
            d_embedding=d_embedding,
            norm_eps=norm_eps,
            dropout=dropout,
        )
        norm = partial(nn.LayerNorm, d_model, eps=norm_eps)
        layers = [
            TransformerLayer(
                SelfAttention(d_model, num_heads, dropout=dropout),
                FeedForward(d_model, d_ff if d_ff is not None else 4 * d_model, activation=activation),
                norm,
                norm_first=False,
                dropout=dropout,
            )
            for _ in range(num_groups if num_groups is not None else num_layers)
        ]
        self.stack = Stack(layers, num_layers, activation_checkpointing=activation_checkpointing)
        initialise(self)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, D], or [V, E] where it is projected to D."""
        return self.embeddings.tokens

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Reads tokens; see `Encoder.forward`.

        Raises:
            ValueError: for more tokens than there are positions; for positions, or several documents, after a prompt.
        """
        prompt = prompt_length(self)
        if prompt and position_ids is not None:
            raise ValueError("a prompt moves the positions: they cannot be given")
        input_ids, attention_mask, token_type_ids = after_prompt(self, input_ids, attention_mask, token_type_ids)
        positions = self.positions(input_ids, position_ids)
        x = self.embeddings(input_ids, positions, token_type_ids)  # [B, T, D]
        mask = Mask() if attention_mask is None else square_mask(attention_mask, x.dtype)
        hidden: Tensor
        hidden, _ = self.stack(x, [mask])
        return hidden[:, prompt:] if prompt else hidden

    def positions(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """The rows of the position table: counted from the start of the row, padding included.

        Args:
            input_ids: [B, T].
            position_ids: [B, T], positions from 0 where they are others.

        Returns:
            [B, T] or [1, T].

        Raises:
            ValueError: for more tokens than there are positions.
        """
        if position_ids is not None:
            return position_ids
        length, prompt = input_ids.shape[1], prompt_length(self)
        if length > self.max_length + prompt:
            raise ValueError(f"{length - prompt} tokens are more than max_length {self.max_length}")
        return torch.arange(length, device=input_ids.device)[None]  # [1, T]
