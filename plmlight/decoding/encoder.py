"""What filling and embedding ask of an encoder, whatever runs it, and how texts become its input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

Inputs = dict[str, NDArray[Any]]
"""``input_ids``, ``attention_mask`` and ``token_type_ids``, each [B, T], int64; a model takes those that it knows. With
memories ``mems.0``, ..., each [B, M, D], the mask is [B, M+T]."""


class Tokens(Protocol):
    """A row of tokens: an `Encoding`, or what was put together otherwise."""

    @property
    def ids(self) -> list[int]:
        """T of them."""

    @property
    def type_ids(self) -> list[int]:
        """Their segments."""


class EncoderModel(Protocol):
    """An encoder as its texts need to know it."""

    max_length: int
    """The most tokens of a row."""
    pad_token_id: int
    """Fills up short rows."""
    num_token_types: int
    """How many segments, or languages, are told apart."""


class MaskedModel(EncoderModel, Protocol):
    """A masked language model."""

    def scores(self, inputs: Inputs, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """Scores every token of the vocabulary at some positions.

        Args:
            inputs: a batch.
            rows: [N].
            columns: [N].

        Returns:
            Logits [N, V].
        """


class EmbeddingModel(EncoderModel, Protocol):
    """A model that turns a text into a vector."""

    width: int
    """Of the vector, D."""

    def embed(self, inputs: Inputs) -> NDArray[np.float32]:
        """The vectors [B, D] of a batch."""


class TextReader:
    """Turns texts into an encoder's batches.

    Args:
        tokenizer: cuts the texts, and adds the special tokens that its template names.
        model: the encoder.
        token_type_id: the segment, or language, of every token; by default what the tokenizer says.

    Raises:
        ValueError: for a token type that the model has not.
    """

    def __init__(self, tokenizer: Tokenizer, model: EncoderModel, token_type_id: int | None = None) -> None:
        if token_type_id is not None and not 0 <= token_type_id < max(1, model.num_token_types):
            raise ValueError(f"token_type_id {token_type_id}: the model tells {model.num_token_types} types apart")
        self.tokenizer, self.model, self.token_type_id = tokenizer, model, token_type_id

    def read(self, texts: Sequence[str]) -> list[Encoding]:
        """The tokens of texts, at full length."""
        if isinstance(texts, str):
            raise ValueError("a list of texts was expected: put brackets around the one text")
        found: list[Encoding] = self.tokenizer.encode_batch(list(texts))
        for number, encoding in enumerate(found):
            if not encoding.ids:
                raise ValueError(f"text {number} has no tokens")
        return found

    def cut(self, texts: Sequence[str]) -> list[Encoding]:
        """The tokens of texts, cut at the model's length; the special tokens at the end stay."""
        found = self.read(texts)
        room = max(0, self.model.max_length - self.tokenizer.num_special_tokens_to_add(False))
        for number, encoding in enumerate(found):
            if len(encoding.ids) > self.model.max_length:
                plain = self.tokenizer.encode(texts[number], add_special_tokens=False)
                plain.truncate(room)
                found[number] = self.tokenizer.post_process(plain)
        return found

    def batch(self, encodings: Sequence[Tokens]) -> Inputs:
        """Texts as one batch, padded on the right."""
        shape = len(encodings), max(len(encoding.ids) for encoding in encodings)
        ids = np.full(shape, self.model.pad_token_id, np.int64)
        mask, types = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            ids[row, :length], mask[row, :length] = encoding.ids, 1
            types[row, :length] = encoding.type_ids if self.token_type_id is None else self.token_type_id
        return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


def by_length(encodings: Sequence[Tokens], batch_size: int) -> list[list[int]]:
    """The numbers of texts in batches of similar lengths, the longest first.

    Args:
        encodings: the texts.
        batch_size: how many run together.

    Raises:
        ValueError: for a batch size below 1.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = sorted(range(len(encodings)), key=lambda place: -len(encodings[place].ids))
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]
