from __future__ import annotations

from torch import Tensor, nn

from plmlight.nn import Dropout, Encoder


class BagOfVectors(Encoder):
    """Token vectors and nothing else: with ``mean`` pooling fastText's classifier (Joulin et al. 2017).

    The paper (arXiv:1607.01759, section 2) averages the vectors of a text's words into one, which a linear layer
    classifies; its hashed n-grams are not here. No token sees another, so neither order nor padding matters.

    Args:
        vocab_size: V.
        d_model: D, the width of the vectors.
        dropout: on the vectors; the paper has none.
        max_length: the most tokens of a row that the data gives.
        pad_token_id: the id that fills up batches.
    """

    num_token_types = 0
    activation = "tanh"
    norm_eps = 1e-12

    def __init__(
        self, vocab_size: int, d_model: int = 100, dropout: float = 0.0, max_length: int = 512, pad_token_id: int = 0
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        self.token_table = nn.Embedding(vocab_size, d_model)
        self.dropout = Dropout(dropout)
        nn.init.uniform_(self.token_table.weight, -1 / d_model, 1 / d_model)

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
        """The vector of each token, padding included; see `Encoder.forward`."""
        out: Tensor = self.dropout(self.token_table(input_ids))
        return out
