from __future__ import annotations

import torch
from torch import Tensor, nn

from plmlight.nn import LSTM, Dropout, Encoder, initialise_uniform

_MULTIPLIER = 1_000_003  # a prime, so that pairs spread over the buckets


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
        d_bigram: the width of a vector of each token and the next one beside it, 0 for none (for Chinese characters:
            Zhang and Yang 2018, arXiv:1805.02023, section 3.1).
        bigram_buckets: how many vectors there are for them; a hash says which one is whose (as for the n-grams of
            Joulin et al. 2016, arXiv:1607.01759).

    Raises:
        ValueError: when the width is odd, or there is no bucket.
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
        d_bigram: int = 0,
        bigram_buckets: int = 2**16,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        if d_model % 2:
            raise ValueError(f"d_model {d_model}: expected an even width, half of it for each direction")
        if d_bigram and bigram_buckets < 1:
            raise ValueError(f"bigram_buckets {bigram_buckets}: expected at least 1")
        self.token_table = nn.Embedding(vocab_size, d_embedding)
        self.bigram_buckets = bigram_buckets
        self.bigram_table = nn.Embedding(bigram_buckets, d_bigram) if d_bigram else None
        self.lstm = LSTM(d_embedding + d_bigram, d_model // 2, num_layers, bidirectional=True, dropout=dropout)
        self.dropout = Dropout(dropout)
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
        vectors = self.token_table(input_ids)
        if self.bigram_table is not None:
            vectors = torch.cat([vectors, self.bigram_table(self._bigrams(input_ids))], -1)
        hidden, _ = self.lstm(self.dropout(vectors), attention_mask)
        out: Tensor = self.dropout(hidden)
        return out

    def _bigrams(self, input_ids: Tensor) -> Tensor:
        """The bucket of each token and the next one [B, T]; padding comes after the last."""
        following = nn.functional.pad(input_ids[:, 1:], (0, 1), value=self.pad_token_id)
        return (input_ids * _MULTIPLIER + following) % self.bigram_buckets
