"""Finding texts by their vectors: exact, and of one's own texts."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from plmlight.text import replace_file

if TYPE_CHECKING:
    from plmlight.decoding.classification import TextClassifier
    from plmlight.decoding.embedding import TextEmbedder

Record = dict[str, Any]
"""A document: ``text``, and whatever else one wants to know of it, as JSON has it."""

VECTORS, DOCUMENTS = "vectors.safetensors", "documents.jsonl"
_AT_ONCE = 1 << 24
"""Similarities that are held at once: 64 MB."""


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors [N, D] at length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    scaled: NDArray[np.float32] = (vectors / np.maximum(lengths, 1e-12)).astype(np.float32)
    return scaled


def most_similar(
    queries: NDArray[np.float32], vectors: NDArray[np.float32], top_k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The vectors with the highest cosines, by comparing with all of them.

    Args:
        queries: [Q, D].
        vectors: [N, D], of length 1, as `unit` makes them.
        top_k: how many.

    Returns:
        Their places [Q, K] and cosines [Q, K], the highest first, of equal ones the lowest places; K is ``top_k`` or N.

    Raises:
        ValueError: for a ``top_k`` below 1.
    """
    if top_k < 1:
        raise ValueError(f"top_k {top_k} must be at least 1")
    count = min(top_k, len(vectors))
    places, scores = np.zeros((len(queries), count), np.int64), np.zeros((len(queries), count), np.float32)
    directions, rows = unit(queries), max(1, _AT_ONCE // max(1, len(vectors)))
    for start in range(0, len(queries), rows):
        distances = -(directions[start : start + rows] @ vectors.T)
        cuts = np.partition(distances, count - 1, axis=1)[:, count - 1]
        for query, (row, cut) in enumerate(zip(distances, cuts, strict=True), start):
            near = np.flatnonzero(~(row > cut))  # with all that are equal at the cut, and those that are not a number
            places[query] = near[np.argsort(row[near], kind="stable")[:count]]
            scores[query] = -row[places[query]]
    return places, scores


def reranked(
    model: TextClassifier,
    queries: Sequence[str],
    documents: Sequence[str],
    places: NDArray[np.int64],
    batch_size: int = 32,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Orders documents that were found by what a model says that reads each together with its query.

    Args:
        model: a cross-encoder: see `TextClassifier.relevance`.
        queries: [Q], texts.
        documents: [N], texts.
        places: [Q, K], which documents were found.
        batch_size: pairs that run together.

    Returns:
        The same places of each query, the most relevant first, equal ones in their order; and the scores [Q, K].
    """
    pairs = [(query, documents[at]) for query, row in zip(queries, places.tolist(), strict=True) for at in row]
    scores = model.relevance(pairs, batch_size).reshape(places.shape)
    order = np.argsort(-scores, axis=1, kind="stable")
    return np.take_along_axis(places, order, 1), np.take_along_axis(scores, order, 1)


@dataclass(frozen=True)
class Match:
    """A document that was found.

    Attributes:
        document: the document.
        score: the cosine of its vector and the query's; where a cross-encoder has ordered the documents, its score.
        place: its number in the index.
    """

    document: Record
    score: float
    place: int


class TextIndex:
    """Documents that can be searched by what they mean.

    Args:
        embedder: turns texts into vectors: a bundle that embeds, or a `TextEmbedder`.
        documents: [N], each with ``text``; plain strings are such.
        vectors: [N, D], of the documents; None has them embedded.
        batch_size: texts that are embedded together.

    Raises:
        ValueError: for no documents, or not as many vectors, or a document without a text.
    """

    def __init__(
        self,
        embedder: TextEmbedder,
        documents: Sequence[str | Mapping[str, Any]],
        vectors: NDArray[np.float32] | None = None,
        batch_size: int = 32,
    ) -> None:
        if not documents or isinstance(documents, str):
            raise ValueError("a list of documents was expected, with at least one of them")
        self.embedder = embedder
        self.documents: list[Record] = [{"text": each} if isinstance(each, str) else dict(each) for each in documents]
        for number, document in enumerate(self.documents):
            if not isinstance(document.get("text"), str):
                raise ValueError(f"document {number} has no 'text', only {', '.join(map(str, document)) or 'nothing'}")
        if vectors is None:
            vectors = embedder.embed([document["text"] for document in self.documents], batch_size)
        if len(vectors) != len(self.documents):
            raise ValueError(f"there are {len(self.documents)} documents and {len(vectors)} vectors; expected as many")
        self.vectors = unit(vectors)

    def search(
        self, query: str, top_k: int = 10, rerank: TextClassifier | None = None, candidates: int | None = None
    ) -> list[Match]:
        """The documents nearest to a query.

        Args:
            query: a text.
            top_k: how many.
            rerank: a cross-encoder (`plmlight.runtime.load` of a classifier of pairs), which orders the nearest
                documents by what it says of each together with the query.
            candidates: how many of the nearest it reads; ``top_k`` by default.

        Returns:
            The best first.

        Raises:
            ValueError: for a ``top_k`` below 1, fewer candidates, or a query without tokens.
        """
        return self.search_all([query], top_k, rerank=rerank, candidates=candidates)[0]

    def search_all(
        self,
        queries: Sequence[str],
        top_k: int = 10,
        batch_size: int = 32,
        rerank: TextClassifier | None = None,
        candidates: int | None = None,
    ) -> list[list[Match]]:
        """As `search`, for many queries.

        Args:
            queries: texts.
            top_k: how many documents of each.
            batch_size: queries, or pairs of a query and a document, that run together.
            rerank: as in `search`.
            candidates: as in `search`.

        Returns:
            A list for each query.
        """
        if candidates is not None and (rerank is None or candidates < top_k):
            raise ValueError(
                f"candidates {candidates}: so many documents are re-ranked, of which top_k {top_k} are given"
            )
        nearest = candidates if candidates is not None else top_k
        places, scores = most_similar(self.embedder.embed(queries, batch_size), self.vectors, nearest)
        found = scores.astype(np.float64)
        if rerank is not None:
            texts = [document["text"] for document in self.documents]
            places, found = reranked(rerank, queries, texts, places, batch_size)
        return [
            [Match(self.documents[place], score, place) for place, score in zip(*row, strict=True)]
            for row in zip(places[:, :top_k].tolist(), found[:, :top_k].tolist(), strict=True)
        ]

    def save(self, folder: str | Path) -> None:
        """Writes documents and vectors, without what embeds; needs the package safetensors.

        Args:
            folder: made where there is none.
        """
        from safetensors.numpy import save

        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        with replace_file(target / VECTORS, "wb") as handle:
            handle.write(save({"vectors": self.vectors}))
        with replace_file(target / DOCUMENTS, "w") as handle:
            handle.writelines(json.dumps(document, ensure_ascii=False) + "\n" for document in self.documents)

    @classmethod
    def load(cls, folder: str | Path, embedder: TextEmbedder) -> TextIndex:
        """Opens what `save` wrote; needs the package safetensors.

        Args:
            folder: where.
            embedder: what the documents were embedded with.

        Returns:
            The index.

        Raises:
            ValueError: for a folder that holds no index, or one of vectors of another width.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import load

        source = Path(folder)
        try:
            vectors = load((source / VECTORS).read_bytes())["vectors"]
            documents = [json.loads(line) for line in (source / DOCUMENTS).read_text(encoding="utf-8").split("\n")[:-1]]
        except (OSError, KeyError, SafetensorError, json.JSONDecodeError) as error:
            raise ValueError(f"{folder}: holds no index ({str(error).splitlines()[0]})") from None
        if vectors.ndim != 2 or vectors.shape[1] != embedder.model.width:
            raise ValueError(
                f"{folder}: its vectors have {vectors.shape[-1]} numbers, but the model's have {embedder.model.width}"
            )
        index = cls(embedder, documents, vectors)
        index.vectors = vectors  # not scaled again, which would round them
        return index
