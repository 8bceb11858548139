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

    origin: str | None = None
    """The folder, hub id or checkpoint that its weights came from, as it was named."""

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
    cls_last: ClassVar[bool] = False
    """Whether the token that stands for a whole text is its last (XLNet) and not its first."""
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


class PermutationEncoder(Encoder):
    """An encoder that can also read its tokens in any order, and remembers what it read before.

    What it remembers of the M tokens before, its memories, is a tuple of one tensor [B, M, D] a layer: what went into
    it. A subclass sets ``memory_length`` and ``reuse_length`` beside what every encoder sets.
    """

    memory_length: int | None
    """How many tokens are remembered from segment to segment; None for all of them."""
    reuse_length: int | None
    """How many tokens of a segment are remembered, its first ones; None for all of them."""

    @abstractmethod
    def two_stream(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        permutation_mask: Tensor | None = None,
        target_mapping: Tensor | None = None,
        memories: Cache | None = None,
    ) -> tuple[Tensor, Tensor | None, Cache]:
        """Reads tokens, each seeing those before it in an order of its own, and asks for some of them.

        Args:
            input_ids: [B, T], int64.
            attention_mask: [B, T], as in `Encoder.forward`, and then all tokens see all memories; or [B, M+T].
            token_type_ids: [B, T], as in `Encoder.forward`; memories are of segment 0.
            permutation_mask: [B, T, T], not 0 where a token, the first index, does not see another; whatever it says, a
                token sees itself, but the query for it does not where it says so.
            target_mapping: [B, K, T], 1 at the place of each of K tokens that are asked for and 0 elsewhere; None for
                none.
            memories: what this returned for the M tokens before, or `empty_memories`.

        Returns:
            The hidden states [B, T, D]; the query stream [B, K, D], which knows the place of each token that is asked
            for, but not the token (None without ``target_mapping``); and the memories for the tokens that follow,
            detached.
        """

    @abstractmethod
    def predict(
        self,
        input_ids: Tensor,
        hidden: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        memories: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """Reads tokens of which some are hidden, and asks for these, with one stream.

        It is `two_stream` where no token sees a hidden one: a hidden token's content is then read by nobody, so that
        the query for it can take its place.

        Args:
            input_ids: [B, T], int64; what stands where a token is hidden has no influence.
            hidden: [B, T], true where a token is hidden.
            attention_mask: as in `two_stream`.
            token_type_ids: as in `two_stream`.
            memories: as in `two_stream`.

        Returns:
            [B, T, D], the hidden states, and the query stream where tokens are hidden; and the memories.
        """

    @abstractmethod
    def empty_memories(
        self, batch_size: int, dtype: torch.dtype = torch.float32, device: torch.device | str = "cpu", length: int = 0
    ) -> Cache:
        """Memories of zeros, one tensor [B, M, D] a layer.

        Args:
            batch_size: B.
            dtype: of the tensors.
            device: where they lie.
            length: M.
        """

    @abstractmethod
    def memory_names(self) -> list[str]:
        """The memories' names, as `plmlight.nn.cache.past_name` takes them: ``mems.0``, ..."""


class Decoder(Network):
    """A network that reads left to right and can go on where it stopped."""

    memory_dim: int | None = None
    """The width of the memory that it attends to; None where it was built without."""

    @property
    def context_length(self) -> int | None:
        """The most tokens of a row that it can read; None where it has no limit, and ``max_length`` is the data's."""
        return self.max_length

    @property
    def output_dim(self) -> int:
        """The width of its hidden states, which a head takes: that of the token vectors, so that one can be tied."""
        return self.token_embedding.embedding_dim

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
            memory: [B, S, D_memory], an encoder's output to attend to, for networks built with cross-attention; a cache
                holds what is needed of it, and then it is not read.
            memory_mask: [B, S], 0 is padding.

        Returns:
            The hidden states [B, T, `output_dim`], and the cache of P+T tokens (None when ``cache`` is None).
        """

    @abstractmethod
    def empty_cache(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory: Tensor | None = None,
    ) -> Cache:
        """The cache of a network that has read nothing (P = 0), but knows the memory it attends to.

        States, whose names begin with ``state.``, are zeros: what drives an exported graph knows no other start.
        """

    @abstractmethod
    def cache_names(self) -> list[str]:
        """The cache tensors' names, as `plmlight.nn.cache.past_name` takes them: ``0.key``, ..."""


class EncoderDecoder(Network):
    """A network that reads one text and writes another, token by token.

    A subclass sets ``target_vocab_size``, ``target_max_length`` and ``decoder_start_token_id`` beside what every
    network sets.
    """

    target_vocab_size: int
    """V of what is written; that of what is read where both share a vocabulary."""
    target_max_length: int | None
    """The most tokens that are written, the start included; None where there is no limit."""
    decoder_start_token_id: int
    """What the decoder reads first."""
    head_scale: float = 1.0
    """The factor of hidden states before a projection that is tied to the token table (T5: one over the root of D)."""

    @abstractmethod
    def writers(self) -> list[nn.Module]:
        """The modules that only `decode` uses, and `encode` does not."""

    @property
    def target_embedding(self) -> nn.Embedding:
        """The table of the tokens that are written, to which a head may be tied; the source's where it is shared."""
        return self.token_embedding

    def forward(
        self,
        input_ids: Tensor,
        decoder_input_ids: Tensor,
        attention_mask: Tensor | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> Tensor:
        """Reads a text and what was written so far.

        Args:
            input_ids: [B, S], int64.
            decoder_input_ids: [B, T], int64.
            attention_mask: [B, S]: 0 is padding, k >= 1 the number of the document; None says that nothing is padded.
            decoder_attention_mask: [B, T], likewise; a document of the target sees the one of its number. Padding on
                the right needs no mask, as nothing sees what comes later.

        Returns:
            The decoder's hidden states [B, T, D].
        """
        memory = self.encode(input_ids, attention_mask)
        return self.decode(decoder_input_ids, memory, attention_mask, None, decoder_attention_mask)[0]

    @abstractmethod
    def encode(self, input_ids: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Reads.

        Args:
            input_ids: [B, S], int64.
            attention_mask: [B, S]: 0 is padding, k >= 1 the number of the document; None says that nothing is padded.

        Returns:
            The memory [B, S, D].
        """

    @abstractmethod
    def decode(
        self,
        decoder_input_ids: Tensor,
        memory: Tensor | None = None,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        decoder_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Goes on writing.

        Args:
            decoder_input_ids: [B, T], int64.
            memory: [B, S, D], what `encode` returned; a cache holds what is needed of it, and then it is not read.
            attention_mask: [B, S], of the memory. It and what the cache remembers of the memory may be of fewer rows
                than all else, of which theirs are a divisor: then the rows that go on from one memory, next to each
                other and as many for each, share it.
            cache: what this returned for the P tokens before, or `empty_cache`; None to keep no cache.
            decoder_attention_mask: [B, P+T]; see `forward`.

        Returns:
            The hidden states [B, T, D], and the cache of P+T tokens (None when ``cache`` is None).
        """

    @abstractmethod
    def empty_cache(self, memory: Tensor) -> Cache:
        """The cache of a decoder that has written nothing (P = 0).

        Args:
            memory: [B, S, D], what `encode` returned. What each step needs of it is computed here, once.

        Returns:
            Tensors whose first dimension is B, in the order of `cache_names`.
        """

    @abstractmethod
    def cache_names(self) -> list[str]:
        """The cache tensors' names, as `plmlight.nn.cache.past_name` takes them.

        ``0.decoder.key``, ``0.decoder.value``, ``0.encoder.key``, ... for attention, where those with ``encoder`` stay
        as they are from step to step; ``state.0.hidden``, ... for recurrent layers; and ``state.coverage`` [B, S]: how
        much attention each token of the source has had, as the mean over the heads of the last layer.
        """


class WordVectors(Network):
    """A table of vectors, one a word, that is learned together with a second one.

    Args:
        vocab_size: V.
        d_model: D, the width of the vectors.
    """

    averages: bool = False
    """Whether the mean of a window's vectors predicts its middle (CBOW), rather than each of them by itself."""
    input_bias: nn.Parameter | None
    """[V], of the input vectors, for networks that have it (GloVe)."""
    output_bias: nn.Parameter | None
    """[V], of the output vectors."""

    def __init__(self, vocab_size: int, d_model: int) -> None:
        super().__init__(vocab_size, d_model, max_length=1, pad_token_id=0)
        self.input_table = nn.Embedding(vocab_size, d_model)
        self.output_table = nn.Embedding(vocab_size, d_model)
        self.register_parameter("input_bias", None)
        self.register_parameter("output_bias", None)

    @property
    def token_embedding(self) -> nn.Embedding:
        """The table of the words as inputs [V, D]."""
        return self.input_table

    @abstractmethod
    def forward(self, word_ids: Tensor) -> Tensor:
        """The vectors of words.

        Args:
            word_ids: [B], int64.

        Returns:
            [B, D].
        """
