"""Text to score: documents, their tokens, and the units that are drawn to tell how sure a number is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.data.readers import DocumentUnit, read
from plmlight.data.sources import Source

BLOCK = 1024
"""Characters of a block: of few documents not they are drawn but their blocks."""

FEWEST = 30
"""Documents from which on it is they that are drawn."""


@dataclass(frozen=True)
class Document:
    """A text and its tokens.

    Attributes:
        text: the text.
        ids: its tokens, without special ones.
        starts: the character at which each begins.
    """

    text: str
    ids: list[int]
    starts: list[int]


def read_documents(
    sources: Sequence[Source], tokenizer: Tokenizer, text_field: str, document: DocumentUnit, limit: int | None
) -> list[Document]:
    """Reads and tokenises text.

    Args:
        sources: what `plmlight.data.sources.resolve` found.
        tokenizer: who cuts it.
        text_field: as in `plmlight.data.readers.read`.
        document: as there.
        limit: take only so many documents.

    Returns:
        The documents that have a token.

    Raises:
        ValueError: when none has.
    """
    found = []
    for pieces in islice(_grouped(sources, text_field, document), limit):
        ids: list[int] = []
        starts: list[int] = []
        before = 0
        for piece in pieces:
            encoding = tokenizer.encode(piece, add_special_tokens=False)
            ids += encoding.ids
            starts += [before + start for start, _ in encoding.offsets]
            before += len(piece)
        if ids:
            found.append(Document("".join(pieces), ids, starts))
    if not found:
        raise ValueError(f"{sources[0].name}: there is no token to score")
    return found


def _grouped(sources: Sequence[Source], text_field: str, document: DocumentUnit) -> Iterator[list[str]]:
    pieces: list[str] = []
    for piece in read(sources, text_field, document):
        pieces.append(piece.text)
        if piece.last:
            yield pieces
            pieces = []


class Units:
    """What a sample is drawn from: the documents, or where they are few the blocks of their text.

    Units depend on the text alone, so that two models have the same ones whatever their tokens.

    Args:
        documents: the text.

    Attributes:
        kind: ``"documents"`` or ``"blocks"``.
        bytes: of the text of each, [N] of int64.
    """

    def __init__(self, documents: Sequence[Document]) -> None:
        self.kind = "documents" if len(documents) >= FEWEST else "blocks"
        counts = [1 if self.kind == "documents" else -(-len(each.text) // BLOCK) for each in documents]
        self._first = np.cumsum([0, *counts])
        self.bytes = np.array([len(part.encode()) for each in documents for part in self._parts(each.text)], np.int64)

    def __len__(self) -> int:
        return int(self._first[-1])

    def of(self, number: int, starts: Sequence[int]) -> NDArray[np.int64]:
        """The units of tokens.

        Args:
            number: the document's.
            starts: the character of it at which each token begins.

        Returns:
            The number of each one's unit.
        """
        places = np.array(starts, np.int64)
        return np.asarray(self._first[number] + (places // BLOCK if self.kind == "blocks" else np.zeros_like(places)))

    def _parts(self, text: str) -> list[str]:
        return [text] if self.kind == "documents" else [text[at : at + BLOCK] for at in range(0, len(text), BLOCK)]
