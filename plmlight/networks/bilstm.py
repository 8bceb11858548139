from __future__ import annotations

from torch import Tensor, nn

from plmlight.nn import LSTM, Dropout, Encoder, LockedDropout, initialise_uniform


class BiLSTM(Encoder):
    """Layers of LSTM that read in both directions (Schuster and Paliwal 1997; for tagging Huang et al. 2015).

    What was used before the Transformer to tag (arXiv:1508.01991) and, pooled over the tokens, to embed and classify
    (Conneau et al. 2017, arXiv:1705.02364). Padding on either side is not read; a row is one document. There are
    neither segments nor positions.

    Args:
        vocab_size: V.
        d_model: D, the width of both directions together; even.
        num_layers: the number of layers.
        dropout: on token vectors, between layers, and on the output.
        max_length: the most tokens of a row.
        pad_token_id: the id that fills up batches.
        d_embedding: the width of the token vectors.
        locked_dropout: one mask for all tokens of a row, on token vectors and output (for tagging Reimers and Gurevych
            2017, arXiv:1707.06799, section 5.6).

    Raises:
        ValueError: when the width is odd.
    """

    num_token_types = 0
    activation = "tanh"
    norm_eps = 1e-12

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 512,
        num_layers: int = 1,
        dropout: float = 0.5,
        max_length: int = 512,
        pad_token_id: int = 0,
        d_embedding: int = 300,
        locked_dropout: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        if d_model % 2:
            raise ValueError(f"d_model {d_model}: expected an even width, half of it for each direction")
        self.token_table = nn.Embedding(vocab_size, d_embedding)
        self.lstm = LSTM(d_embedding, d_model // 2, num_layers, bidirectional=True, dropout=dropout)
        self.dropout = LockedDropout(dropout) if locked_dropout else Dropout(dropout)
        initialise_uniform(self, 0.1)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, E]."""
        return self.token_table

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Reads tokens; see `Encoder.forward`. The hidden states are zero at padding."""
        hidden, _ = self.lstm(self.dropout(self.token_table(input_ids)), attention_mask)
        out: Tensor = self.dropout(hidden)
        return out
