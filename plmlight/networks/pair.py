from __future__ import annotations

from torch import Tensor, nn

from plmlight.nn import Cache, Decoder, Encoder, EncoderDecoder


class EncoderDecoderPair(EncoderDecoder):
    """An encoder and a decoder that were trained apart (Rothe et al. 2020, arXiv:1907.12461, section 3.2: BERT2GPT).

    The decoder attends to the encoder's output by matrices that are new; all else may be pretrained:
    ``encoder: {class_path: plmlight.BERT.from_pretrained, ...}``, ``decoder: {class_path: plmlight.GPT.from_pretrained,
    init_args: {folder: ..., memory_dim: 768}}``. Each keeps its own vocabulary and positions.

    Args:
        encoder: reads; its vocabulary is the source's.
        decoder: writes; built with a ``memory_dim`` that is the encoder's ``d_model``.
        decoder_start_token_id: what the decoder reads first; its ``pad_token_id`` by default.

    Raises:
        ValueError: when the decoder does not attend to vectors of the encoder's width, or has no such start token.
    """

    def __init__(self, encoder: Encoder, decoder: Decoder, decoder_start_token_id: int | None = None) -> None:
        super().__init__(encoder.vocab_size, decoder.d_model, encoder.max_length, encoder.pad_token_id)
        width = encoder.d_model
        if decoder.memory_dim != width:
            attends = "to nothing" if decoder.memory_dim is None else f"to vectors {decoder.memory_dim} wide"
            raise ValueError(f"the decoder attends {attends}, but the encoder's are {width} wide: memory_dim {width}")
        start = decoder_start_token_id if decoder_start_token_id is not None else decoder.pad_token_id
        if not 0 <= start < decoder.vocab_size:
            raise ValueError(f"decoder_start_token_id {start}: the decoder's tokens are 0 to {decoder.vocab_size - 1}")
        self.decoder_start_token_id = start
        self.target_vocab_size, self.target_max_length = decoder.vocab_size, decoder.max_length
        self.encoder, self.decoder = encoder, decoder

    @property
    def token_embedding(self) -> nn.Embedding:
        """The encoder's table of tokens."""
        return self.encoder.token_embedding

    @property
    def target_embedding(self) -> nn.Embedding:
        """The decoder's table of tokens."""
        return self.decoder.token_embedding

    def writers(self) -> list[nn.Module]:
        """The decoder."""
        return [self.decoder]

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Reads; see `EncoderDecoder.encode`."""
        memory: Tensor = self.encoder(input_ids, attention_mask)
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
        hidden: Tensor
        hidden, cache = self.decoder(decoder_input_ids, decoder_attention_mask, cache, memory, attention_mask)
        return hidden, cache

    def empty_cache(self, memory: Tensor) -> Cache:
        """The decoder's; see `EncoderDecoder.empty_cache`."""
        return self.decoder.empty_cache(memory.shape[0], memory.dtype, memory.device, memory)

    def cache_names(self) -> list[str]:
        """The decoder's."""
        return self.decoder.cache_names()
