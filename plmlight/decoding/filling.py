"""Filling masks: what the runtime, the command line and a server share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from plmlight.decoding.encoder import MaskedModel, TextReader, by_length
from plmlight.decoding.text import answer_text
from plmlight.text import special_token_ids


@dataclass(frozen=True)
class Filling:
    """A token in the place of a mask.

    Attributes:
        token: as the vocabulary writes it.
        token_id: its id.
        score: its probability.
        text: the whole text with it; where there are other masks, each with its likeliest token.
    """

    token: str
    token_id: int
    score: float
    text: str


class MaskFiller:
    """A masked language model with its tokenizer.

    Args:
        model: runs the network.
        tokenizer: turns text to tokens and back.

    Attributes:
        mask_token: what stands for a hidden token in a text: ``[MASK]``, ``<mask>``.

    Raises:
        ValueError: when the tokenizer has no mask token.
    """

    def __init__(self, model: MaskedModel, tokenizer: Tokenizer) -> None:
        self.model, self.tokenizer = model, tokenizer
        special = special_token_ids(tokenizer)
        if "mask" not in special:
            raise ValueError("the tokenizer has no mask token such as [MASK] or <mask>, so there is nothing to fill")
        self.mask_token_id: int = special["mask"]
        self.mask_token: str = tokenizer.id_to_token(self.mask_token_id) or ""

    def fill(
        self, texts: Sequence[str], top_k: int = 5, *, batch_size: int = 32, token_type_id: int | None = None
    ) -> list[list[list[Filling]]]:
        """Names the tokens that masks may stand for.

        Args:
            texts: each with one or more masks, written as `mask_token`.
            top_k: how many tokens a mask gets.
            batch_size: how many texts run together, similar lengths beside each other.
            token_type_id: the segment, or XLM's language, of every token; by default what the tokenizer says.

        Returns:
            For each text, for each of its masks: the likeliest tokens, best first.

        Raises:
            ValueError: for a text without a mask or with more tokens than the model reads, or a ``top_k`` below 1.
        """
        if top_k < 1:
            raise ValueError(f"top_k must be at least 1, not {top_k}")
        reader = TextReader(self.tokenizer, self.model, token_type_id)
        encodings = reader.read(texts)
        places = [self._places(number, encoding) for number, encoding in enumerate(encodings)]
        answers: list[list[list[Filling]]] = [[] for _ in texts]
        for numbers in by_length(encodings, batch_size):
            rows = np.repeat(np.arange(len(numbers)), [len(places[number]) for number in numbers])
            columns = np.concatenate([places[number] for number in numbers])
            scores = self.model.scores(reader.batch([encodings[number] for number in numbers]), rows, columns)
            for row, number in enumerate(numbers):
                best = likeliest(scores[rows == row], top_k)
                answers[number] = self._fillings(texts[number], encodings[number], places[number], *best)
        return answers

    def _places(self, number: int, encoding: Encoding) -> NDArray[np.int64]:
        if len(encoding.ids) > self.model.max_length:
            raise ValueError(
                f"text {number} has {len(encoding.ids)} tokens, but the model reads {self.model.max_length}: shorten it"
            )
        found = np.flatnonzero(np.array(encoding.ids) == self.mask_token_id)
        if not len(found):
            raise ValueError(f"text {number} has no mask: write {self.mask_token} where a token is to be found")
        return found

    def _fillings(
        self,
        text: str,
        encoding: Encoding,
        places: NDArray[np.int64],
        ids: NDArray[np.int64],
        probabilities: NDArray[np.float64],
    ) -> list[list[Filling]]:
        """The answers of one text; ``ids`` and ``probabilities`` are [masks, top_k]."""
        chosen = ids[:, 0].tolist()
        answers = []
        for mask in range(len(places)):
            found = []
            for token_id, score in zip(ids[mask].tolist(), probabilities[mask].tolist(), strict=True):
                tokens = [*chosen[:mask], token_id, *chosen[mask + 1 :]]
                filled = self._text(text, encoding, places, tokens)
                found.append(Filling(self.tokenizer.id_to_token(token_id) or "", token_id, score, filled))
            answers.append(found)
        return answers

    def _text(self, text: str, encoding: Encoding, places: NDArray[np.int64], tokens: Sequence[int]) -> str:
        """The text with tokens in the place of its masks.

        The rest stays as it was written, and so does the white space, except before a token that continues a word.
        """
        ids, filled, done = list(encoding.ids), "", 0
        for place, token in zip(places.tolist(), tokens, strict=True):
            start, end = encoding.offsets[place]
            start += len(text[start:end]) - len(text[start:end].lstrip())  # a mask may own the white space before it
            filled += text[done:start]
            piece = answer_text(self.tokenizer, ids[:place], [token])
            if not piece.startswith(" "):
                filled = filled.rstrip()
            filled += piece.lstrip()
            ids[place], done = token, end
        return filled + text[done:]


def likeliest(scores: NDArray[np.float32], top_k: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The best tokens of logits [N, V].

    Args:
        scores: the logits.
        top_k: how many; at most V.

    Returns:
        Ids and probabilities, both [N, top_k], best first; of equal ones the smaller id.
    """
    wide = scores.astype(np.float64)
    exponents = np.exp(wide - wide.max(-1, keepdims=True))
    best = np.argsort(-wide, axis=-1, kind="stable")[:, :top_k]
    return best, np.take_along_axis(exponents / exponents.sum(-1, keepdims=True), best, -1)
