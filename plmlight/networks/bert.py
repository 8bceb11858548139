from __future__ import annotations

from typing import ClassVar

from plmlight.interop import BERT_FAMILY, Family, Pretrained, load_network
from plmlight.nn import PostNormEncoder


class BERT(Pretrained, PostNormEncoder):
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

    families: ClassVar[tuple[Family, ...]] = (BERT_FAMILY,)

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
        )

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> BERT:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the bert family, or a checkpoint with such a network.
            dropout: replaces the one that is written there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, or its weights do not fit.
        """
        return load_network(cls, folder, dropout)
