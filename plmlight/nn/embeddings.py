from __future__ import annotations

from torch import Tensor, nn

from plmlight.nn.dropout import Dropout
from plmlight.nn.positions import LearnedPositions


class Embeddings(nn.Module):
    """What goes into the first layer of an encoder: the sum of token, position and segment vectors, normalised.

    BERT (Devlin et al. 2019, arXiv:1810.04805, figure 2). With a ``d_embedding`` the sum is of that width and projected
    to D: ALBERT's factorised embedding (Lan et al. 2020, arXiv:1909.11942, section 3.1).

    Args:
        vocab_size: V.
        d_model: D.
        num_positions: rows of the position table.
        num_token_types: rows of the segment table; 0 for none.
        d_embedding: the width of the tables; D by default.
        norm_eps: what the norm adds to the variance.
        dropout: on the normalised sum.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        num_positions: int,
        *,
        num_token_types: int = 0,
        d_embedding: int | None = None,
        norm_eps: float = 1e-12,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        width = d_embedding if d_embedding is not None else d_model
        self.tokens = nn.Embedding(vocab_size, width)
        self.positions = LearnedPositions(num_positions, width)
        self.token_types = nn.Embedding(num_token_types, width) if num_token_types else None
        self.norm = nn.LayerNorm(width, eps=norm_eps)
        self.dropout = Dropout(dropout)
        self.projection = nn.Linear(width, d_model) if d_embedding is not None else None

    def forward(self, input_ids: Tensor, position_ids: Tensor, token_type_ids: Tensor | None = None) -> Tensor:
        """Ids [B, T], positions [B, T] or [1, T] and segments [B, T] (0 by default) to vectors [B, T, D].

        Where there is one segment vector only, all tokens get it, whatever their segment.
        """
        x = self.tokens(input_ids) + self.positions(position_ids)  # [B, T, E]
        if self.token_types is not None:
            alike = token_type_ids is None or self.token_types.num_embeddings == 1
            x = x + (self.token_types.weight[0] if alike else self.token_types(token_type_ids))
        x = self.dropout(self.norm(x))
        out: Tensor = x if self.projection is None else self.projection(x)
        return out
