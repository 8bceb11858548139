"""Embedding texts: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding.encoder import EmbeddingModel, TextReader, by_length
from plmlight.decoding.retrieval import TextIndex


class TextEmbedder:
    """A model that embeds, with its tokenizer.

    Args:
        model: runs the network.
        tokenizer: turns text to tokens.
    """

    def __init__(self, model: EmbeddingModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer

    def embed(
        self, texts: Sequence[str], batch_size: int = 32, *, token_type_id: int | None = None
    ) -> NDArray[np.float32]:
        """Turns texts into vectors.

        Args:
            texts: the texts; what is longer than the model reads is cut, special tokens are kept.
            batch_size: how many run together, similar lengths beside each other.
            token_type_id: the segment, or XLM's language, of every token; by default what the tokenizer says.

        Returns:
            [N, D], in the order of the texts.

        Raises:
            ValueError: for a text without any token, or a batch size below 1.
        """
        reader = TextReader(self.tokenizer, self.model, token_type_id)
        encodings = reader.cut(texts)
        vectors = np.zeros((len(encodings), self.model.width), np.float32)
        for numbers in by_length(encodings, batch_size):
            vectors[numbers] = self.model.embed(reader.batch([encodings[number] for number in numbers]))
        return vectors

    def index(self, documents: Sequence[str | Mapping[str, Any]], batch_size: int = 32) -> TextIndex:
        """Documents that can be searched: ``model.index(texts).search("a question", top_k=3)``.

        Args:
            documents: texts, or records that have a ``text``.
            batch_size: how many are embedded together.

        Returns:
            The index.

        Raises:
            ValueError: for no documents, or one without a text.
        """
        return TextIndex(self, documents, batch_size=batch_size)
