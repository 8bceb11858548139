"""What ``infer`` finds with a model that embeds: the documents nearest to a text."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from plmlight.cli.infer_models import Answering
from plmlight.decoding import Match, TextClassifier, TextEmbedder, TextIndex

Record = dict[str, Any]
NAMED = ("documents", "rerank", "candidates")
"""The options that ask for a search."""


class Searching:
    """Texts get the documents nearest to them, in the order of a cross-encoder if there is one.

    Args:
        index: the documents.
        rerank: orders what is found.
        top_k: how many documents a text gets.
        candidates: how many are ordered; ``top_k`` by default.
    """

    batch_size = 32

    def __init__(self, index: TextIndex, rerank: TextClassifier | None, top_k: int, candidates: int | None) -> None:
        self.index, self.rerank, self.top_k, self.candidates = index, rerank, top_k, candidates

    def shows(self, texts: Sequence[str]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return len(texts) == 1

    def show(self, texts: Sequence[str], batch_size: int) -> None:
        """Prints a line a document: its score, and its text."""
        for match in self._found(texts, batch_size)[0]:
            print(f"{match.score:.4f}  {' '.join(match.document['text'].split())}")

    def records(self, texts: Sequence[str], batch_size: int) -> Iterator[Record]:
        """One a text."""
        for text, matches in zip(texts, self._found(texts, batch_size), strict=True):
            yield {"text": text, "matches": [dataclasses.asdict(match) for match in matches]}

    def _found(self, texts: Sequence[str], batch_size: int) -> list[list[Match]]:
        return self.index.search_all(texts, self.top_k, batch_size, self.rerank, self.candidates)


def searching(
    name: str, model: Answering, values: Mapping[str, Any], given: Mapping[str, Any], opened: Callable[[str], Answering]
) -> Searching:
    """What a search answers.

    Args:
        name: of the model, for messages.
        model: the model.
        values: ``documents``, ``rerank`` and ``candidates``.
        given: the other options that were given.
        opened: opens the cross-encoder.

    Returns:
        The answers.

    Raises:
        ValueError: for an option that a search has not, a model that does not embed, one that cannot order documents,
            or a file that holds none.
    """
    if values["documents"] is None:
        option = next(each for each in NAMED if values[each] is not None)
        raise ValueError(f"--{option} is for a search: name the --documents that are searched")
    if not isinstance(model, TextEmbedder):
        raise ValueError(f"--documents are searched by a model that embeds, and {name} is none")
    if foreign := [option for option in given if option != "top_k"]:
        raise ValueError(f"--{foreign[0]} is not for a search: its options are --top_k, --rerank and --candidates")
    rerank = None if values["rerank"] is None else opened(values["rerank"])
    if rerank is not None and not isinstance(rerank, TextClassifier):
        raise ValueError(f"{values['rerank']}: expected a TextClassification of pairs, which reads query and document")
    top_k = given.get("top_k", 10)
    if values["candidates"] is not None and (rerank is None or values["candidates"] < top_k):
        raise ValueError(
            f"--candidates {values['candidates']}: so many are re-ranked by --rerank, --top_k {top_k} shown"
        )
    batch_size = values["batch_size"] or Searching.batch_size
    return Searching(_index(Path(values["documents"]), model, batch_size), rerank, top_k, values["candidates"])


def _index(path: Path, model: TextEmbedder, batch_size: int) -> TextIndex:
    """The documents of a file, or of a folder that `TextIndex.save` wrote."""
    # from here, as what they need takes longer to import than all else
    from plmlight.data.lines import lines
    from plmlight.data.records import objects
    from plmlight.data.sources import Source

    if path.is_dir():
        return TextIndex.load(path, model)
    source = Source(str(path), "jsonl" if ".jsonl" in path.suffixes else "text")
    documents: list[str | Record] = (
        [_document(record, where) for where, record in objects(source, "text")]
        if source.kind == "jsonl"
        else [line.strip() for line in lines(source) if line.strip()]
    )
    if not documents:
        raise ValueError(f"{path}: holds no document")
    return TextIndex(model, documents, batch_size=batch_size)


def _document(record: Record, where: str) -> Record:
    if not isinstance(record.get("text"), str) or not record["text"].strip():
        raise ValueError(f'{where}: expected an object with the text of a document under "text"')
    return record
