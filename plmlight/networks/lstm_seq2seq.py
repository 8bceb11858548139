from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from plmlight.nn import LSTM, AttentionalDecoder, Cache, Dropout, EncoderDecoder, bias_of, initialise_uniform


class LSTMSeq2Seq(EncoderDecoder):
    """The recurrent encoder-decoder with attention (Bahdanau et al. 2015, arXiv:1409.0473; Luong et al. 2015).

    The decoder and its attention are Luong et al.'s (arXiv:1508.04025, sections 3.1 and 3.3), whose sizes the defaults
    are; ``attention: additive`` scores as Bahdanau et al. do. The encoder reads in both directions, as theirs does,
    each D/2 wide. The decoder's state starts from the mean of what the encoder gave, by one matrix (Xu et al. 2015,
    arXiv:1502.03044, section 3.1.2), so it is the same with padding on either side. All weights are drawn uniformly
    from -0.1 to 0.1 (Luong et al., section 4.1).

    Args:
        vocab_size: V, of the source; of both where ``target_vocab_size`` is null.
        d_model: D, the width of the token vectors, the states and the memory; even.
        num_layers: the number of the encoder's layers.
        dropout: on token vectors, between layers, and on the decoder's output.
        max_length: the most tokens of a source that the data gives; the state has no limit.
        pad_token_id: the id that fills up batches.
        target_vocab_size: of a vocabulary that only the target has; null shares one vocabulary and one table.
        num_decoder_layers: the number of the decoder's layers; ``num_layers`` by default.
        attention: general, dot or additive: how a state is compared with a place of the source.
        input_feeding: read, with each token, the vector that came out for the one before.
        decoder_start_token_id: what the decoder reads first; ``pad_token_id`` by default.

    Raises:
        ValueError: when the width is odd, or there is no such attention.
    """

    target_max_length = None

    def __init__(
        self,
        vocab_size: int,
        d_model: int = 1000,
        num_layers: int = 4,
        dropout: float = 0.2,
        max_length: int = 512,
        pad_token_id: int = 0,
        target_vocab_size: int | None = None,
        num_decoder_layers: int | None = None,
        attention: Literal["additive", "dot", "general"] = "general",
        input_feeding: bool = True,
        decoder_start_token_id: int | None = None,
    ) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        if d_model % 2:
            raise ValueError(f"d_model {d_model}: expected an even width, half of it for each direction")
        self.num_layers = num_layers
        self.num_decoder_layers = num_decoder_layers if num_decoder_layers is not None else num_layers
        self.target_vocab_size = target_vocab_size if target_vocab_size is not None else vocab_size
        self.decoder_start_token_id = decoder_start_token_id if decoder_start_token_id is not None else pad_token_id
        self.token_table = nn.Embedding(vocab_size, d_model)
        self.target_table = None if target_vocab_size is None else nn.Embedding(target_vocab_size, d_model)
        self.encoder = LSTM(d_model, d_model // 2, num_layers, bidirectional=True, dropout=dropout)
        self.bridge = nn.Linear(d_model, 2 * self.num_decoder_layers * d_model)
        self.decoder = AttentionalDecoder(
            d_model, self.num_decoder_layers, attention, input_feeding=input_feeding, dropout=dropout
        )
        self.dropout = Dropout(dropout)
        initialise_uniform(self, 0.1)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the source's tokens [V, D]."""
        return self.token_table

    @property
    def target_embedding(self) -> nn.Embedding:
        """The table of the target's tokens [V, D]."""
        return self.token_table if self.target_table is None else self.target_table

    def writers(self) -> list[nn.Module]:
        """The decoder, what its state starts from, and a table of its own; see `EncoderDecoder.writers`."""
        tables = [] if self.target_table is None else [self.target_table]
        return [self.decoder, self.bridge, *tables]

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Reads; see `EncoderDecoder.encode`. The memory is zero at padding and nowhere else; a row is one document."""
        memory: Tensor = self.encoder(self.dropout(self.token_table(input_ids)), attention_mask)[0]
        return memory

    def decode(
        self,
        decoder_input_ids: Tensor,
        memory: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Goes on writing; see `EncoderDecoder.decode`."""
        assert cache is not None or memory is not None, "no memory to attend to"
        before = cache if cache is not None else self.empty_cache(memory)  # type: ignore[arg-type]
        remembered, state = (before[0], before[1]), before[2:]
        bias = None if attention_mask is None else bias_of((attention_mask > 0)[:, None], remembered[0].dtype)[:, 0]
        valid = None
        if decoder_attention_mask is not None:
            valid = decoder_attention_mask[:, -decoder_input_ids.shape[1] :] > 0
        x = self.dropout(self.target_embedding(decoder_input_ids))  # [B, T, D]
        hidden, state = self.decoder(x, state, remembered, bias, valid)
        return hidden, None if cache is None else (*remembered, *state)

    def empty_cache(self, memory: Tensor) -> Cache:
        """What the attention needs of the memory, and the state before the first token; see `cache_names`."""
        tokens = (memory != 0).any(-1).sum(1).clamp(min=1)  # [B]
        state = torch.tanh(self.bridge(memory.sum(1) / tokens[:, None])).chunk(2 * self.num_decoder_layers, -1)
        feed = (memory.new_zeros(memory.shape[0], self.d_model),) if self.decoder.input_feeding else ()
        return (*self.decoder.attention.remember(memory), *state, *feed, memory.new_zeros(memory.shape[:2]))

    def cache_names(self) -> list[str]:
        """``0.encoder.key``, ``0.encoder.value``, ``state.0.hidden``, ``state.0.cell``, ..., ``state.coverage``.

        With input feeding ``state.feed`` [B, D] is before the coverage.
        """
        states = [f"state.{i}.{kind}" for i in range(self.num_decoder_layers) for kind in ("hidden", "cell")]
        feed = ["state.feed"] if self.decoder.input_feeding else []
        return ["0.encoder.key", "0.encoder.value", *states, *feed, "state.coverage"]
