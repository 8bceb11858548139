"""How early what was looked for comes, when a model's vectors are searched."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from plmlight.data.records import objects, records
from plmlight.data.sources import Source
from plmlight.decoding import TextClassifier, TextEmbedder
from plmlight.decoding.retrieval import most_similar, reranked
from plmlight.evaluation.measurement import Advance, Measurement
from plmlight.evaluation.similarity import Columns, embedded
from plmlight.metrics.ranking import DEPTH, judged, means, own_last, own_places, retrieval_measures
from plmlight.text import nearest

RELEVANCE = ("query-id", "corpus-id", "score")


@dataclass(frozen=True)
class Retrieval:
    """What is searched, and what should be found.

    Attributes:
        queries: [Q].
        documents: [N].
        relevance: of each query: the places of the relevant documents, and how relevant they are.
        own: [Q], the place of the document that is the query itself; -1 where there is none, or where it is relevant.
    """

    queries: list[str]
    documents: list[str]
    relevance: list[dict[int, float]]
    own: list[int]


def read_retrieval(sources: Sequence[Source], columns: Columns | None = None, limit: int | None = None) -> Retrieval:
    """Reads what is searched.

    A query that stands among the documents does not find itself, unless that is relevant: in pairs the same text, with
    ids the same id, as BEIR leaves it out.

    Args:
        sources: one file of pairs, of which each first text should find its own second ones among those of the file; or
            queries and corpus (.jsonl, ``_id``, ``text`` and perhaps ``title``) and their relevance (.tsv: query-id,
            corpus-id, score), as BEIR has them (Thakur et al. 2021, arXiv:2104.08663). Of several relevances that in
            test.tsv counts.
        columns: where a pair's texts are.
        limit: search for so many queries only.

    Returns:
        The queries that have a relevant document, all documents, and what is relevant.

    Raises:
        ValueError: for files that are not such ones, naming file and line.
    """
    found = _pairs(sources[0], columns or Columns()) if len(sources) == 1 else _judged_corpus(sources)
    asked = [query for query, relevant in enumerate(found.relevance) if relevant][:limit]
    if not asked:
        raise ValueError(f"{sources[0].name}: there is no query that has a relevant document")
    return Retrieval(
        queries=[found.queries[i] for i in asked],
        documents=found.documents,
        relevance=[found.relevance[i] for i in asked],
        own=[found.own[i] for i in asked],
    )


def _pairs(source: Source, columns: Columns) -> Retrieval:
    if source.kind == "text":
        raise ValueError(f"{source.name}: pairs are read from files with columns or fields: .csv, .tsv, .jsonl")
    queries: dict[str, dict[int, float]] = {}
    documents: dict[str, int] = {}
    for _, (first, second) in records(source, (columns.sentence1, columns.sentence2)):
        queries.setdefault(first, {})[documents.setdefault(second, len(documents))] = 1.0
    relevance = list(queries.values())
    return Retrieval(list(queries), list(documents), relevance, own_places(queries, documents, relevance))


def _judged_corpus(sources: Sequence[Source]) -> Retrieval:
    texts = [source for source in sources if source.kind == "jsonl"]
    tables = [source for source in sources if source.kind == "tsv"]
    if len(tables) > 1:
        tables = [source for source in tables if PurePosixPath(source.name).stem == "test"]
    if len(texts) != 2 or len(tables) != 1:
        named = " ".join(source.name for source in sources[:4])
        raise ValueError(
            "retrieval is measured on one file of pairs, or on queries (.jsonl), corpus (.jsonl) and their relevance "
            f"(.tsv), not on {named}"
        )
    if PurePosixPath(texts[0].name).name.startswith("corpus"):  # as a folder is read
        texts.reverse()
    (query_places, queries), (document_places, documents) = (_texts(source) for source in texts)
    relevance: list[dict[int, float]] = [{} for _ in queries]
    for where, (query, document, score) in records(tables[0], RELEVANCE):
        query_place = _place(where, "query", query, query_places, texts[0].name)
        document_place = _place(where, "document", document, document_places, texts[1].name)
        if (value := _number(where, score)) > 0:
            relevance[query_place][document_place] = value
    return Retrieval(queries, documents, relevance, own_places(query_places, document_places, relevance))


def _texts(source: Source) -> tuple[dict[str, int], list[str]]:
    places: dict[str, int] = {}
    texts = []
    for where, entry in objects(source, "_id"):
        for name in ("_id", "text"):
            if not isinstance(entry.get(name), str | int):
                raise ValueError(f"{where}: there is no text {name!r}{nearest(name, map(str, entry))}")
        if (key := str(entry["_id"])) in places:
            raise ValueError(f"{where}: the _id {key!r} stands there twice")
        places[key] = len(places)
        texts.append(f"{entry.get('title') or ''} {entry['text']}".strip())
    return places, texts


def _place(where: str, what: str, key: str, places: Mapping[str, int], name: str) -> int:
    if key not in places:
        raise ValueError(f"{where}: the {what} {key!r} is not in {name}{nearest(key, places)}")
    return places[key]


def _number(where: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{where}: the score {text!r} is not a number")
    return value


def measure_retrieval(
    model: TextEmbedder,
    asked: Retrieval,
    batch_size: int = 32,
    advance: Advance = lambda done, total: None,
    rerank: TextClassifier | None = None,
    candidates: int = DEPTH,
) -> Measurement:
    """Searches all documents by the cosine with each query.

    Args:
        model: embeds texts.
        asked: what is searched, and what should be found.
        batch_size: texts that run together.
        advance: is told the texts that are done.
        rerank: a cross-encoder, which orders the first documents of each query anew.
        candidates: how many of them.

    Returns:
        ``ndcg@10``, ``mrr@10``, ``map@100``, ``recall@1``, ``recall@10`` and ``recall@100``, from 0 to 100.
    """
    vectors, place = embedded(model, {*asked.queries, *asked.documents}, batch_size, advance)
    queries, documents = ([place[text] for text in texts] for texts in (asked.queries, asked.documents))
    depth = DEPTH if rerank is None else max(DEPTH, candidates)
    places, _ = most_similar(vectors[queries], vectors[documents], depth + 1)
    places = own_last(places, asked.own)
    facts = {"queries": len(queries), "documents": len(documents)}
    if rerank is not None:
        first = places[:, :candidates]
        advance(0, len(queries))
        for start in range(0, len(queries), batch_size):
            some = slice(start, start + batch_size)
            found, _ = reranked(rerank, asked.queries[some], asked.documents, first[some], batch_size)
            first[some] = own_last(found, asked.own[some])
            advance(len(first[some]), len(queries))
        facts["pairs read"] = first.size
    measures = retrieval_measures(*judged(places[:, :DEPTH], asked.relevance))
    return Measurement(means(measures), "queries", len(queries), facts)
