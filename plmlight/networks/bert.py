from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from plmlight.nn import (
    Embeddings,
    Encoder,
    FeedForward,
    Mask,
    SelfAttention,
    Stack,
    TransformerLayer,
    initialise,
    square_mask,
)


class BERT(Encoder):
    """The encoder of BERT (Devlin et al. 2019, arXiv:1810.04805, section 3); mBERT is one with a larger vocabulary.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: the number of layers.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the number of positions.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        num_token_types: how many segments are told apart; 0 for none.
        activation: gelu (the paper's), gelu_tanh, relu or silu.
        norm_eps: what the norms add to the variance.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        d_ff: int | None = None,
        dropout: float = 0.1,
        max_length: int = 512,
        pad_token_id: int = 0,
        num_token_types: int = 2,
        activation: str = "gelu",
        norm_eps: float = 1e-12,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        self.num_token_types, self.activation, self.norm_eps = num_token_types, activation, norm_eps
        self.embeddings = Embeddings(
            vocab_size, d_model, max_length, num_token_types=num_token_types, norm_eps=norm_eps, dropout=dropout
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
            for _ in range(num_layers)
        ]
        self.stack = Stack(layers, activation_checkpointing=activation_checkpointing)
        initialise(self)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, D]."""
        return self.embeddings.tokens

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Reads tokens; see `Encoder.forward`. Positions count from the start of the row, padding included.

        Raises:
            ValueError: for more tokens than there are positions.
        """
        length = input_ids.shape[1]
        if position_ids is None:
            if length > self.max_length:
                raise ValueError(f"{length} tokens are more than max_length {self.max_length}")
            position_ids = torch.arange(length, device=input_ids.device)[None]  # [1, T]
        x = self.embeddings(input_ids, position_ids, token_type_ids)  # [B, T, D]
        mask = Mask() if attention_mask is None else square_mask(attention_mask, x.dtype)
        hidden: Tensor
        hidden, _ = self.stack(x, [mask])
        return hidden
