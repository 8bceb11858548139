from __future__ import annotations

from typing import ClassVar

from plmlight.interop import ALBERT_FAMILY, Family, Pretrained, load_network
from plmlight.nn import PostNormEncoder


class ALBERT(Pretrained, PostNormEncoder):
    """The encoder of ALBERT (Lan et al. 2020, arXiv:1909.11942, section 3.1).

    It is BERT's with two changes: the tables are narrow and projected to D, and layers share their weights.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: how many layers are applied.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the number of positions.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        d_embedding: E, the width of the tables.
        num_groups: how many layers have weights of their own; neighbours share one, in groups of equal size.
        num_token_types: how many segments are told apart; 0 for none.
        activation: gelu_tanh (the published models'), gelu, relu or silu.
        norm_eps: what the norms add to the variance.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width, or the groups the layers.
    """

    families: ClassVar[tuple[Family, ...]] = (ALBERT_FAMILY,)

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        d_ff: int | None = None,
        dropout: float = 0.0,
        max_length: int = 512,
        pad_token_id: int = 0,
        d_embedding: int = 128,
        num_groups: int = 1,
        num_token_types: int = 2,
        activation: str = "gelu_tanh",
        norm_eps: float = 1e-12,
        activation_checkpointing: bool = False,
    ) -> None:
        super().__init__(
            vocab_size,
            d_model,
            num_layers,
            num_heads,
            d_ff,
            dropout,
            max_length,
            pad_token_id,
            num_token_types,
            activation,
            norm_eps,
            activation_checkpointing,
            d_embedding=d_embedding,
            num_groups=num_groups,
        )

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> ALBERT:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the albert family, or a checkpoint with such a network.
            dropout: replaces the one that is written there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, or its weights do not fit.
        """
        return load_network(cls, folder, dropout)
