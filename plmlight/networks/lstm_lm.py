from __future__ import annotations

import itertools

import torch
from torch import Tensor, nn

from plmlight.nn import (
    LSTM,
    Cache,
    Decoder,
    Dropout,
    EmbeddingDropout,
    LockedDropout,
    TokensFirst,
    initialise_uniform,
)


class LSTMLM(Decoder):
    """The recurrent language model: layers of LSTM over token vectors (Zaremba et al. 2014, arXiv:1409.2329).

    The defaults are the paper's medium size. With ``locked_dropout``, ``weight_dropout`` and a dropout of its own in
    each place it is the AWD-LSTM (Merity et al. 2017, arXiv:1708.02182), whose weights start as they do there where
    ``initial_range`` is null. The last layer is as wide as the token vectors, so that the head can be theirs. The cache
    is the state of the layers, which padding leaves as it is; a row is one document.

    Args:
        vocab_size: V.
        d_model: the width of all layers but the last.
        num_layers: the number of layers.
        dropout: on what the last layer gives.
        max_length: tokens of a row that the data gives, through which a step back-propagates; the state has no limit.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.
        d_embedding: the width of the token vectors, and of the last layer; ``d_model`` by default.
        input_dropout: on token vectors; ``dropout`` by default.
        hidden_dropout: between the layers; ``dropout`` by default.
        embedding_dropout: the share of the words that a batch does without.
        weight_dropout: on the matrices from state to state.
        locked_dropout: one mask for all steps of a row.
        initial_range: every weight is drawn uniformly up to this; null draws token vectors up to 0.1 and the rest up to
            one over the root of the state's width.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 650,
        num_layers: int = 2,
        dropout: float = 0.5,
        max_length: int = 35,
        pad_token_id: int = 0,
        d_embedding: int | None = None,
        input_dropout: float | None = None,
        hidden_dropout: float | None = None,
        embedding_dropout: float = 0.0,
        weight_dropout: float = 0.0,
        locked_dropout: bool = False,
        initial_range: float | None = 0.05,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        width = d_embedding if d_embedding is not None else d_model
        widths = [width, *[d_model] * (num_layers - 1), width]
        self.token_table = nn.Embedding(vocab_size, width)
        self.layers = nn.ModuleList(
            LSTM(before, after, weight_dropout=weight_dropout) for before, after in itertools.pairwise(widths)
        )
        drop = LockedDropout if locked_dropout else Dropout
        self.word_dropout = EmbeddingDropout(vocab_size, embedding_dropout)
        self.input_dropout = drop(input_dropout if input_dropout is not None else dropout)
        between = hidden_dropout if hidden_dropout is not None else dropout
        self.dropouts = nn.ModuleList(drop(between if i < num_layers - 1 else dropout) for i in range(num_layers))
        if initial_range is not None:
            initialise_uniform(self, initial_range)
        else:
            nn.init.uniform_(self.token_table.weight, -0.1, 0.1)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, E]."""
        return self.token_table

    @property
    def context_length(self) -> None:
        """There is no limit."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Reads tokens; see `Decoder.forward`. The hidden states are zero at padding."""
        x = self.input_dropout(self.word_dropout(self.token_table(input_ids), input_ids))  # [B, T, E]
        state = cache if cache is not None else self.empty_cache(input_ids.shape[0], x.dtype, x.device)
        tokens = None if attention_mask is None else TokensFirst(attention_mask[:, -input_ids.shape[1] :])
        if tokens is not None:
            x = tokens.front(x)
        counts = None if tokens is None else tokens.counts
        after: list[Tensor] = []
        for i, (layer, dropout) in enumerate(zip(self._lstms(), self.dropouts, strict=True)):
            x, new = layer.read(x, counts, state[2 * i : 2 * i + 2])
            x = dropout(x)
            after += new
        return x if tokens is None else tokens.back(x), None if cache is None else tuple(after)

    def empty_cache(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory: Tensor | None = None,
    ) -> Cache:
        """The state of layers that have read nothing, two tensors [B, H] a layer."""
        states = (layer.empty_state(batch_size, dtype, device) for layer in self._lstms())
        return tuple(part for state in states for part in state)

    def _lstms(self) -> list[LSTM]:
        return [layer for layer in self.layers if isinstance(layer, LSTM)]

    def cache_names(self) -> list[str]:
        """``state.0.hidden``, ``state.0.cell``, ``state.1.hidden``, ..."""
        return [f"state.{i}.{kind}" for i in range(len(self.layers)) for kind in ("hidden", "cell")]
