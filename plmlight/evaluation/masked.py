"""Pseudo-perplexity of masked language models."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding

from plmlight.decoding import MaskFiller
from plmlight.decoding.encoder import TextReader
from plmlight.evaluation.documents import Document, Units
from plmlight.evaluation.measurement import Advance, Measurement, cross_entropy, ratio


def measure_masked(
    model: MaskFiller,
    documents: Sequence[Document],
    context: int | None = None,
    batch_size: int = 32,
    advance: Advance = lambda done, total: None,
) -> tuple[Measurement, dict[str, int]]:
    """Hides each token in turn and asks for it (Salazar et al. 2020, arXiv:1910.14659).

    A document longer than the model reads is cut into pieces of equal room, each with its own special tokens.

    Args:
        model: the masked language model.
        documents: the text.
        context: the most tokens to read at once, special ones included; the model's length by default.
        batch_size: how many copies of a text, each with another token hidden, run together.
        advance: is told the tokens that are done.

    Returns:
        ``pseudo-perplexity`` a token, and the context that was used.

    Raises:
        ValueError: for settings that make no sense.
    """
    units = Units(documents)
    length, pieces, places = cut_pieces(model, documents, units, context, batch_size)
    losses, tokens = np.zeros(len(units)), np.zeros(len(units), np.int64)
    hidden = [np.flatnonzero(np.array(piece.special_tokens_mask) == 0) for piece in pieces]
    copies = [(number, place) for number in _longest_first(pieces) for place in range(len(hidden[number]))]
    reader = TextReader(model.tokenizer, model.model)
    advance(0, len(copies))
    for start in range(0, len(copies), batch_size):
        batch = copies[start : start + batch_size]
        rows = np.arange(len(batch))
        columns = np.array([hidden[number][place] for number, place in batch])
        inputs = reader.batch([pieces[number] for number, _ in batch])
        wanted = inputs["input_ids"][rows, columns]
        inputs["input_ids"][rows, columns] = model.mask_token_id
        where = [places[number][place] for number, place in batch]
        np.add.at(losses, where, cross_entropy(model.model.scores(inputs, rows, columns), wanted))
        np.add.at(tokens, where, 1)
        advance(len(batch), len(copies))
    facts = {"tokens": len(copies), "documents": len(documents)}
    measurement = Measurement({"pseudo-perplexity": ratio(losses, tokens)}, units.kind, len(units), facts)
    return measurement, {"context": length}


def cut_pieces(
    model: MaskFiller, documents: Sequence[Document], units: Units, context: int | None, batch_size: int
) -> tuple[int, list[Encoding], list[NDArray[np.int64]]]:
    """Documents as the model reads them.

    Args:
        model: the masked language model.
        documents: the text; what is longer than the model reads is cut, each piece with its own special tokens.
        units: of the documents.
        context: the most tokens of a piece, special ones included; the model's length by default.
        batch_size: only looked at.

    Returns:
        The most tokens of a piece, the pieces, and the unit of each token of them that is not special.

    Raises:
        ValueError: for settings that make no sense.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    special = model.tokenizer.num_special_tokens_to_add(False)
    length = model.model.max_length if context is None else context
    if not special + 1 <= length <= model.model.max_length:
        raise ValueError(f"context must lie between {special + 1} and {model.model.max_length}, not {length}")
    pieces: list[Encoding] = []
    places: list[NDArray[np.int64]] = []
    for number, document in enumerate(documents):
        for starts, piece in _pieces(model, document, length - special):
            pieces.append(piece)
            places.append(units.of(number, starts))
    return length, pieces, places


def _pieces(model: MaskFiller, document: Document, room: int) -> Iterator[tuple[list[int], Encoding]]:
    """A document as the model reads it: where its tokens begin, and these with special ones around."""
    plain = model.tokenizer.encode(document.text, add_special_tokens=False)
    if len(plain.ids) > room:
        plain.truncate(room)
    for piece in (plain, *plain.overflowing):
        yield [start for start, _ in piece.offsets], model.tokenizer.post_process(piece)


def _longest_first(pieces: Sequence[Encoding]) -> list[int]:
    return sorted(range(len(pieces)), key=lambda number: -len(pieces[number].ids))
