"""What a network is to a task: the abstract bases that annotations and the command line resolve against.

Shapes, here and everywhere: ``B`` batch, ``T`` own length, ``S`` source length, ``P`` past length, ``H`` heads,
``D`` width, ``V`` vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from plmlight.nn.configured import Configured

Cache = tuple[Tensor, ...]
"""A decoder's memory of what it has read: a flat tuple of tensors, in the order of the exported graph's inputs."""


class Network(Configured, nn.Module, ABC):
    """A backbone without a head: it turns token ids into vectors.

    A subclass takes ``vocab_size`` (required) and names its other arguments as everything here does: ``d_model``,
    ``num_layers``, ``num_heads``, ``d_ff``, ``dropout``, ``max_length``, ``pad_token_id``.
    """

    vocab_size: int
    d_model: int
    max_length: int
    pad_token_id: int

    @property
    @abstractmethod
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, D], to which a language-model head may be tied."""


class Decoder(Network):
    """A network that reads left to right and can go on where it stopped."""

    @abstractmethod
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Reads tokens.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, P+T], int64: 0 is padding, k >= 1 the number of the document, and only equal numbers
                see each other. None says that nothing is padded and each row is one document, which is faster.
            cache: what the network returned for the P tokens before, or `empty_cache`; None to keep no cache.
            memory: [B, S, D_memory], an encoder's output to attend to, for networks built with cross-attention.
            memory_mask: [B, S], 0 is padding.

        Returns:
            The hidden states [B, T, D], and the cache of P+T tokens (None when ``cache`` is None).
        """

    @abstractmethod
    def empty_cache(
        self, batch_size: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu"
    ) -> Cache:
        """The cache of a network that has read nothing (P = 0)."""

    @abstractmethod
    def cache_names(self) -> list[str]:
        """The cache tensors' names in the exported graph, without the ``past_key_values.`` prefix: ``0.key``, ..."""
