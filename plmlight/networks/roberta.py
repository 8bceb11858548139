from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from plmlight.interop import ROBERTA_FAMILY, XLM_ROBERTA_FAMILY, Family, Pretrained, load_network
from plmlight.nn import PostNormEncoder


class RoBERTa(Pretrained, PostNormEncoder):
    """The encoder of RoBERTa (Liu et al. 2019, arXiv:1907.11692).

    It is BERT's without segments, its positions counted over what is no padding, from ``pad_token_id + 1`` on, as in
    fairseq. XLM-R (Conneau et al. 2020, arXiv:1911.02116) is one with a larger vocabulary.

    Args:
        vocab_size: V.
        d_model: D.
        num_layers: the number of layers.
        num_heads: H.
        d_ff: the width of the feed-forward; 4 D by default.
        dropout: on embeddings, attention weights and sublayer outputs.
        max_length: the most tokens of a row; the position table has ``pad_token_id + 1`` rows more.
        pad_token_id: the id that fills up batches; positions skip it, whatever the mask says.
        num_token_types: how many segments are told apart; 0 for none, when one vector is added to all tokens, as in the
            published models.
        activation: gelu (the paper's), gelu_tanh, relu or silu.
        norm_eps: what the norms add to the variance.
        activation_checkpointing: trade time for memory while training.

    Raises:
        ValueError: when the heads do not divide the width.
    """

    families: ClassVar[tuple[Family, ...]] = (ROBERTA_FAMILY, XLM_ROBERTA_FAMILY)

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 768,
        num_layers: int = 12,
        num_heads: int = 12,
        d_ff: int | None = None,
        dropout: float = 0.1,
        max_length: int = 512,
        pad_token_id: int = 1,
        num_token_types: int = 0,
        activation: str = "gelu",
        norm_eps: float = 1e-5,
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
            max(num_token_types, 1),
            activation,
            norm_eps,
            activation_checkpointing,
            num_positions=max_length + pad_token_id + 1,
        )
        self.num_token_types = num_token_types

    @classmethod
    def from_pretrained(cls, folder: str, dropout: float | None = None) -> RoBERTa:
        """Starts from trained weights.

        Args:
            folder: a Hugging Face folder or hub id of the roberta or xlm-roberta family, or a checkpoint with one.
            dropout: replaces the one that is written there.

        Returns:
            The network.

        Raises:
            ValueError: when there is no such network, or its weights do not fit.
        """
        return load_network(cls, folder, dropout)

    def positions(self, input_ids: Tensor, position_ids: Tensor | None = None) -> Tensor:
        """The rows of the position table: those of padding are ``pad_token_id``, the others follow it.

        Args:
            input_ids: [B, T].
            position_ids: [B, T], positions from 0 where they are others.

        Returns:
            [B, T].

        Raises:
            ValueError: for rows of more than ``max_length``.
        """
        if position_ids is not None:
            return position_ids + self.pad_token_id + 1
        super().positions(input_ids)  # which checks the length
        real = (input_ids != self.pad_token_id).long()
        return real.cumsum(1) * real + self.pad_token_id
