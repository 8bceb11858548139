from __future__ import annotations

import torch
from torch import Tensor, nn

from plmlight.nn import Cache, Decoder, Dropout, TokensFirst


class NNLM(Decoder):
    """The neural probabilistic language model (Bengio et al. 2003, JMLR 3, section 2).

    The vectors of the last ``order - 1`` words, side by side, go through one layer of tanh. The head is the softmax,
    whose bias the paper has too; with ``direct_connections`` it sees the vectors beside the layer's units, which is the
    paper's matrix W. Before the first word the vectors are zeros. The cache is the window of words.

    Args:
        vocab_size: V.
        d_model: h, the number of hidden units.
        order: n: a word is predicted from the n - 1 before it.
        dropout: on the hidden units; the paper has none.
        max_length: tokens of a row that the data gives; there is no limit.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        d_embedding: m, the width of the word vectors.
        direct_connections: from the vectors to the head.

    Raises:
        ValueError: for an order that leaves nothing to predict from.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 100,
        order: int = 5,
        dropout: float = 0.0,
        max_length: int = 128,
        pad_token_id: int = 0,
        d_embedding: int = 30,
        direct_connections: bool = False,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        if order < 2:
            raise ValueError(f"order {order}: expected at least 2, one word to predict the next one from")
        self.order, self.direct_connections = order, direct_connections
        self.token_table = nn.Embedding(vocab_size, d_embedding)
        self.hidden = nn.Linear((order - 1) * d_embedding, d_model)
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.token_table.weight, std=0.1)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the words [V, m]."""
        return self.token_table

    @property
    def context_length(self) -> None:
        """There is no limit."""

    @property
    def output_dim(self) -> int:
        """h, and with direct connections (n - 1) m more."""
        return self.d_model + (self.hidden.in_features if self.direct_connections else 0)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Reads tokens; see `Decoder.forward`."""
        (window,) = cache if cache is not None else self.empty_cache(input_ids.shape[0], device=input_ids.device)
        length, reach = input_ids.shape[1], torch.arange(self.order - 1, device=input_ids.device)
        words = input_ids + 1  # 0 is no word
        if attention_mask is None:
            row = torch.cat([window, words], 1)  # [B, n-1+T]
            seen = row[:, 1 + torch.arange(length, device=row.device)[:, None] + reach]  # [B, T, n-1]
            after = row[:, length:]
        else:
            mask = attention_mask[:, -length:]
            tokens = TokensFirst(mask)
            row = torch.cat([window, words.gather(1, tokens.order)], 1)
            places = (tokens.place[..., None] + reach).flatten(1)  # [B, T (n-1)]
            # of another document nothing is seen; what the window holds belongs to the row's
            numbers = torch.cat([torch.zeros_like(window), mask.gather(1, tokens.order)], 1).gather(1, places)
            strange = (numbers.unflatten(1, (-1, self.order - 1)) != mask[..., None]) & (
                places.unflatten(1, (-1, self.order - 1)) >= self.order - 1
            )
            seen = row.gather(1, places).unflatten(1, (-1, self.order - 1)).masked_fill(strange, 0)
            after = row.gather(1, tokens.counts[:, None] + reach)
        vectors = self.token_table((seen - 1).clamp(min=0)).masked_fill((seen == 0)[..., None], 0)  # [B, T, n-1, m]
        x = vectors.flatten(2)
        hidden: Tensor = self.dropout(torch.tanh(self.hidden(x)))
        if self.direct_connections:
            hidden = torch.cat([hidden, x.to(hidden.dtype)], -1)
        return hidden, None if cache is None else (after,)

    def empty_cache(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory: Tensor | None = None,
    ) -> Cache:
        """The window before the first word [B, n-1], int64: ids plus one, and 0 where there is none."""
        return (torch.zeros(batch_size, self.order - 1, dtype=torch.int64, device=device),)

    def cache_names(self) -> list[str]:
        """``state.window``."""
        return ["state.window"]
