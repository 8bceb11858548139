"""What the Transformer and what came of it have in common: a stack that reads, and one that writes."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from plmlight.nn.masks import Mask, bias_of, cross_mask, sees_causally, sees_document, triangle
from plmlight.nn.prompt import after_prompt, prompt_length
from plmlight.nn.roles import Cache, EncoderDecoder
from plmlight.nn.stack import Stack


class StackedEncoderDecoder(EncoderDecoder):
    """Two stacks of layers, of which the second attends to the first's output (arXiv:1706.03762, section 3.1).

    A subclass sets the modules below, and says how ids become vectors (`embed`) and, where positions are relative, what
    is added to the scores (`position_bias`).

    Attributes:
        encoder: the layers that read.
        encoder_norm: after the last of them.
        decoder: the layers that write.
        decoder_norm: after the last of them.
    """

    encoder: Stack
    encoder_norm: nn.Module
    decoder: Stack
    decoder_norm: nn.Module

    @abstractmethod
    def embed(self, input_ids: Tensor, visible: Tensor | None, past: int, *, target: bool) -> Tensor:
        """Vectors of tokens.

        Args:
            input_ids: [B, T].
            visible: [B, T, P+T], which earlier tokens of its document each token sees; None where that is all of them.
            past: P.
            target: whether these are tokens that are written.

        Returns:
            [B, T, D].
        """

    def writers(self) -> list[nn.Module]:
        """The decoder and its norm; see `EncoderDecoder.writers`."""
        return [self.decoder, self.decoder_norm]

    def position_bias(self, length: int, past: int, device: torch.device, *, target: bool) -> Tensor | None:
        """What relative positions add to the scores, [1, H, T, P+T]; None where there are none."""
        return None

    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Reads; see `EncoderDecoder.encode`. Of a prompt the memory has nothing but its influence."""
        input_ids, attention_mask, _ = after_prompt(self, input_ids, attention_mask)
        length = input_ids.shape[1]
        earlier = None if attention_mask is None else sees_causally(attention_mask, length)
        x = self.embed(input_ids, earlier, 0, target=False)  # [B, S, D]
        visible = None if attention_mask is None else sees_document(attention_mask, attention_mask)
        bias = self.position_bias(length, 0, input_ids.device, target=False)
        x, _ = self.encoder(x, [_mask(visible, bias, x.dtype)])
        hidden: Tensor = self.encoder_norm(x)
        prompt = prompt_length(self)
        return hidden[:, prompt:] if prompt else hidden

    def decode(
        self,
        decoder_input_ids: Tensor,
        memory: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Goes on writing; see `EncoderDecoder.decode`."""
        length, device = decoder_input_ids.shape[1], decoder_input_ids.device
        past = 0 if cache is None else cache[0].shape[2]
        earlier = None if decoder_attention_mask is None else sees_causally(decoder_attention_mask, length)
        x = self.embed(decoder_input_ids, earlier, past, target=True)  # [B, T, D]
        bias = self.position_bias(length, past, device, target=True)
        visible = earlier
        if visible is None and length > 1 and (past > 0 or bias is not None):
            visible = triangle(length, past + length, device)
        mask = Mask(causal=length > 1) if visible is None and bias is None else _mask(visible, bias, x.dtype)
        cross = None
        if attention_mask is not None:
            asking = None if decoder_attention_mask is None else decoder_attention_mask[:, past:]
            cross = cross_mask(attention_mask, decoder_input_ids.numel(), asking, x.dtype)
        x, cache = self.decoder(x, [mask], None, cache, memory, cross)
        return self.decoder_norm(x), cache

    def empty_cache(self, memory: Tensor) -> Cache:
        """Keys and values of no token, and those of the memory; see `Stack.empty_cache`."""
        return self.decoder.empty_cache(memory.shape[0], memory.dtype, memory.device, memory)

    def cache_names(self) -> list[str]:
        """``0.decoder.key``, ``0.decoder.value``, ``0.encoder.key``, ``0.encoder.value``, ..., ``state.coverage``."""
        return self.decoder.cache_names()


def _mask(visible: Tensor | None, bias: Tensor | None, dtype: torch.dtype) -> Mask:
    """Visibility [B, T, S] or [T, S], and a bias [1, H, T, S], as what is added to the scores."""
    if visible is None:
        return Mask(bias)
    hidden = bias_of(visible, dtype)
    return Mask(hidden if bias is None else hidden + bias)
