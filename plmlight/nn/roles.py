"""What a network is to a task: the abstract bases that annotations and the command line resolve against.

Shapes, here and everywhere: ``B`` batch, ``T`` own length, ``S`` source length, ``P`` past length, ``H`` heads,
``D`` width, ``V`` vocabulary.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor, nn

from plmlight.nn.configured import Configured

Cache = tuple[Tensor, ...]
"""A decoder's memory of what it has read: a flat tuple of tensors, in the order of the exported graph's inputs."""


class Network(Configured, nn.Module, ABC):
    """A backbone without a head: it turns token ids into vectors.

    A subclass takes ``vocab_size`` (required) and names its other arguments as everything here does: ``d_model``,
    ``num_layers``, ``num_heads``, ``d_ff``, ``dropout``, ``max_length``, ``pad_token_id``.

    Args:
        vocab_size: V.
        d_model: D, the width of the hidden states.
        max_length: the most tokens of a row.
        pad_token_id: the id that fills up batches.
    """

    def __init__(self, vocab_size: int, d_model: int, max_length: int, pad_token_id: int) -> None:
        super().__init__()
        self.vocab_size, self.d_model = vocab_size, d_model
        self.max_length, self.pad_token_id = max_length, pad_token_id

    @property
    @abstractmethod
    def token_embedding(self) -> nn.Embedding:
        """The table of the tokens [V, D], to which a language-model head may be tied."""


class Encoder(Network):
    """A network in which each position sees all others of its document.

    A subclass sets ``num_token_types``, ``activation`` and ``norm_eps`` beside what every network sets.
    """

    head_transform: ClassVar[bool] = True
    """Whether masked-language-model heads of this family have a layer of their own before the vocabulary."""
    num_token_types: int
    """How many kinds of segments, or languages, ``token_type_ids`` tells apart; 0 where the network takes none."""
    activation: str
    norm_eps: float

    @abstractmethod
    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> Tensor:
        """Reads tokens.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], int64: 0 is padding, k >= 1 the number of the document, and only equal numbers see
                each other. None says that nothing is padded and each row is one document, which is faster.
            token_type_ids: [B, T], int64: the segment (BERT) or the language (XLM) of each token; 0 by default.
            position_ids: [B, T], int64, counted from 0, where they are not the reference's: when a row holds several
                documents.

        Returns:
            The hidden states [B, T, D].
        """


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
