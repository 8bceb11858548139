from __future__ import annotations

from typing import ClassVar, Literal

import torch
from torch import Tensor

from plmlight.interop import XLM_FAMILY, Family, Pretrained, load_network
from plmlight.nn import PostNormEncoder, SinusoidalPositions


class XLM(Pretrained, PostNormEncoder):
    """The encoder of XLM (Conneau and Lample 2019, "Cross-lingual Language Model Pretraining", arXiv:1901.07291).

    It is BERT's with languages in the place of segments: ``token_type_ids`` holds each token's language. Its head is a
    plain projection, and its hidden states are 0 at padding. Where no languages are given all tokens are of language
    0; the reference then adds no language at all.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: the number of layers.
        num_heads: H.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the number of positions.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        num_token_types: how many languages are told apart; 0 for none.
        positions: learned, or sinusoidal: a table that is not trained.
        activation: gelu (the paper's), gelu_tanh, relu or silu.
        norm_eps: what the norms add to the variance.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    families: ClassVar[tuple[Family, ...]] = (XLM_FAMILY,)
    head_transform: ClassVar[bool] = False

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 1024,
        num_layers: int = 12,
        num_heads: int = 8,
        dropout: float = 0.1,
        max_length: int = 512,
        pad_token_id: int = 2,
        num_token_types: int = 0,
        positions: Literal["learned", "sinusoidal"] = "learned",
        activation: str = "gelu",
        norm_eps: float = 1e-12,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            vocab_size,
            d_model,
            num_layers,
            num_heads,
            None,
            dropout,
            max_length,
            pad_token_id,
            num_token_types,
            activation,
            norm_eps,
            activation_checkpointing,
        )
        if positions == "sinusoidal":
            table = self.embeddings.positions.weight.requires_grad_(False)
            table.copy_(SinusoidalPositions(d_model)(torch.arange(max_length)))

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> XLM:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the xlm family, or a checkpoint with such a network.
            dropout: replaces the one that is written there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, or its weights do not fit.
        """
        return load_network(cls, folder, dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Reads tokens; see `Encoder.forward`.

        Raises:
            ValueError: for more tokens than there are positions.
        """
        hidden = super().forward(input_ids, attention_mask, token_type_ids, position_ids)
        return hidden if attention_mask is None else hidden * (attention_mask != 0)[..., None]
