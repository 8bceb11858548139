import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from plmlight.data.sources import resolve
from plmlight.decoding import TextClassifier, TextEmbedder
from plmlight.evaluation import Columns, Settings, evaluate
from plmlight.evaluation.models import Opened
from plmlight.evaluation.retrieval import Retrieval, measure_retrieval, read_retrieval
from plmlight.text import train_tokenizer


class Letters(TextEmbedder):
    """Counts a few letters."""

    def __init__(self) -> None:
        self.tokenizer = train_tokenizer(["abcd"], "character", 20)

    def embed(
        self, texts: Sequence[str], batch_size: int = 32, *, token_type_id: int | None = None
    ) -> NDArray[np.float32]:
        return np.array([[text.count(letter) for letter in "abcd"] for text in texts], np.float32)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


QUERIES = [{"_id": "q1", "text": "a"}, {"_id": "q2", "text": "bc"}, {"_id": "q3", "text": "d"}]
CORPUS = [
    {"_id": "d1", "title": "a", "text": "b"},
    {"_id": "d2", "title": "", "text": "aa"},
    {"_id": 3, "text": "c"},
    {"_id": "d4", "text": "ad"},
]
RELEVANCE = ["query-id\tcorpus-id\tscore", "q1\td1\t1", "q1\td2\t0", "q2\t3\t2", "q2\td1\t1"]


def written(queries: object = None, corpus: object = None, relevance: list[str] | None = None) -> str:
    """A folder as BEIR has it."""
    Path("beir/qrels").mkdir(parents=True)
    for name, lines in (("queries", queries or QUERIES), ("corpus", corpus or CORPUS)):
        assert isinstance(lines, list)
        Path(f"beir/{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Path("beir/qrels/test.tsv").write_text("".join(line + "\r\n" for line in relevance or RELEVANCE))
    Path("beir/qrels/train.tsv").write_text("query-id\tcorpus-id\tscore\n")
    return "beir"


@pytest.mark.parametrize("names", ["beir", ["beir/queries.jsonl", "beir/corpus.jsonl", "beir/qrels/test.tsv"]])
def test_judged_queries_are_searched_in_a_corpus(names: str | list[str]) -> None:
    written()
    asked = read_retrieval(resolve(names))
    assert asked.queries == ["a", "bc"]  # of the third nothing is known
    assert asked.documents == ["a b", "aa", "c", "ad"]
    assert asked.relevance == [{0: 1.0}, {2: 2.0, 0: 1.0}]
    measured = measure_retrieval(Letters(), asked)
    everything = np.arange(2)[None]
    # a: "aa" comes first, then "a b" (as near as "ad", which comes later); bc: "c", then "a b"
    assert measured.statistics["mrr@10"](everything) == pytest.approx([(50 + 100) / 2])
    assert measured.statistics["recall@1"](everything) == pytest.approx([(0 + 50) / 2])
    assert measured.statistics["ndcg@10"](everything) == pytest.approx([(100 / np.log2(3) + 100) / 2])
    assert (measured.units, measured.count, measured.facts) == ("queries", 2, {"queries": 2, "documents": 4})


def test_the_first_texts_of_pairs_look_for_their_second_ones() -> None:
    Path("x.csv").write_text("a,ab\na,aac\nb,ab\nc,ddc\n")
    asked = read_retrieval(resolve("x.csv"), Columns("1", "2", "3"))
    assert (asked.queries, asked.documents) == (["a", "b", "c"], ["ab", "aac", "ddc"])
    assert asked.relevance == [{0: 1.0, 1: 1.0}, {0: 1.0}, {2: 1.0}]
    assert len(read_retrieval(resolve("x.csv"), Columns("1", "2", "3"), limit=2).queries) == 2


def test_a_query_does_not_find_itself_unless_that_is_relevant() -> None:
    Path("x.csv").write_text("a,ab\nab,a\nb,b\nb,ab\n")
    asked = read_retrieval(resolve("x.csv"), Columns("1", "2", "3"))
    assert (asked.documents, asked.own) == (["ab", "a", "b"], [1, 0, -1])
    measured = measure_retrieval(Letters(), asked)
    assert measured.statistics["recall@1"](np.arange(3)[None]) == pytest.approx([(100 + 100 + 50) / 3])
    again = measure_retrieval(Letters(), asked, rerank=Short())  # though the cross-encoder likes "a" best
    assert again.statistics["mrr@10"](np.arange(3)[None]) == pytest.approx([(50 + 100 + 100) / 3])


def test_with_ids_the_document_of_the_same_id_is_the_query_itself() -> None:
    relevance = [RELEVANCE[0], "q1\td1\t1", "q2\tq2\t1"]
    written(
        corpus=[{"_id": "q2", "text": "bc"}, {"_id": "d1", "text": "a"}, {"_id": "q1", "title": "a", "text": "a"}],
        relevance=relevance,
    )
    asked = read_retrieval(resolve("beir"))
    assert (asked.relevance, asked.own) == ([{1: 1.0}, {0: 1.0}], [2, -1])


def test_as_many_documents_are_looked_at_where_the_query_is_among_them() -> None:
    asked = Retrieval(["a"], [*("a" * length for length in range(1, 101)), "ab"], [{100: 1.0}], [0])
    assert measure_retrieval(Letters(), asked).statistics["recall@100"](np.arange(1)[None]) == 100


def test_retrieval_is_evaluated_with_intervals_against_a_baseline() -> None:
    Path("x.jsonl").write_text(
        "".join(json.dumps({"sentence1": a, "sentence2": b}) + "\n" for a, b in [("a", "ab"), ("b", "b"), ("c", "abd")])
    )
    model = Opened("letters", "SentenceEmbedding", Letters().tokenizer, Letters())
    result = evaluate(model, "x.jsonl", Settings(metric="retrieval"), baseline=model)
    assert set(result["values"]) == {"ndcg@10", "mrr@10", "map@100", "recall@1", "recall@10", "recall@100"}
    assert result["values"]["recall@1"]["value"] == pytest.approx(200 / 3)
    assert result["values"]["recall@1"]["low"] < result["values"]["recall@1"]["high"] == 100
    assert result["comparison"]["ndcg@10"]["difference"]["value"] == 0
    assert result["counts"] == {"queries": 3, "documents": 3}


class Short(TextClassifier):
    """Finds short documents relevant, by two classes."""

    def __init__(self) -> None:
        self.labels, self.problem = ["irrelevant", "relevant"], "single-label"

    def _scores(self, given: Sequence[Any], batch_size: int) -> NDArray[np.float64]:
        found = np.array([1 / len(document) for _, document in given])
        return np.stack([1 - found, found], 1)


def reranker() -> Opened:
    return Opened("cross", "TextClassification", Letters().tokenizer, Short())


@pytest.mark.parametrize(("candidates", "mrr"), [(100, (100 / 3 + 100 + 100) / 3), (2, (50 + 100 + 100) / 3)])
def test_a_retrieval_that_is_reranked_is_told_beside_the_model_alone(candidates: int, mrr: float) -> None:
    pairs = [("a", "aab"), ("b", "bb"), ("aaaabb", "aa")]
    Path("x.jsonl").write_text("".join(json.dumps({"sentence1": a, "sentence2": b}) + "\n" for a, b in pairs))
    model = Opened("letters", "SentenceEmbedding", Letters().tokenizer, Letters())
    settings = Settings(metric="retrieval", candidates=candidates)
    alone = evaluate(model, "x.jsonl", settings)
    result = evaluate(model, "x.jsonl", settings, rerank=reranker())
    assert result["baseline"]["values"] == alone["values"]
    assert (result["rerank"], result["counts"]["pairs read"]) == ("cross", 3 * min(3, candidates))
    assert result["values"]["recall@100"]["value"] == alone["values"]["recall@100"]["value"] == 100
    assert result["values"]["mrr@10"]["value"] == pytest.approx(mrr)
    assert alone["values"]["mrr@10"]["value"] == pytest.approx((50 + 100 + 50) / 3)
    compared = result["comparison"]["mrr@10"]
    assert compared["difference"]["value"] == pytest.approx(mrr - (50 + 100 + 50) / 3)
    assert 0 < compared["p_value"] <= 1


@pytest.mark.parametrize(("candidates", "mrr"), [(130, 0), (131, 100)])
def test_more_documents_may_be_reranked_than_are_looked_at(candidates: int, mrr: float) -> None:
    asked = Retrieval(["a"], [*("a" * length for length in range(3, 133)), "ab"], [{130: 1.0}], [-1])
    measured = measure_retrieval(Letters(), asked, rerank=Short(), candidates=candidates)
    assert measured.facts["pairs read"] == candidates
    assert measured.statistics["mrr@10"](np.arange(1)[None]) == mrr


def test_what_cannot_be_reranked_is_told() -> None:
    Path("x.csv").write_text("a,ab,1\nb,b,2\n")
    model = Opened("letters", "SentenceEmbedding", Letters().tokenizer, Letters())
    with pytest.raises(ValueError, match="cross: re-ranks what a retrieval has found, and the metric is similarity"):
        evaluate(model, "x.csv", rerank=reranker())
    settings = Settings(metric="retrieval", columns=Columns("1", "2", "3"))
    with pytest.raises(ValueError, match="the model alone is the baseline: leave letters out"):
        evaluate(model, "x.csv", settings, model, rerank=reranker())
    with pytest.raises(ValueError, match="letters: is a SentenceEmbedding; pairs are ranked by a TextClassification"):
        evaluate(model, "x.csv", settings, rerank=model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"relevance": [RELEVANCE[0], "q1\td9\t1"]},
            r"test\.tsv:2: the document 'd9' is not in .*corpus\.jsonl; ",
        ),
        ({"relevance": [RELEVANCE[0], "q9\td1\t1"]}, r"test\.tsv:2: the query 'q9' is not in .*beir/queries\.jsonl; "),
        ({"relevance": [RELEVANCE[0], "q1\td1\tx"]}, r"test\.tsv:2: the score 'x' is not a number"),
        ({"relevance": ["query\tcorpus-id\tscore", "q1\td1\t1"]}, r"test\.tsv:1: there is no column 'query-id'"),
        ({"relevance": [RELEVANCE[0], "q1\td1\t0"]}, "there is no query that has a relevant document"),
        ({"corpus": [{"id": "d1", "text": "a"}]}, r"corpus\.jsonl:1: there is no text '_id'"),
        ({"corpus": [*CORPUS, CORPUS[0]]}, r"corpus\.jsonl:5: the _id 'd1' stands there twice"),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(changes: dict[str, list[str]], message: str) -> None:
    folder = written(**changes)
    with pytest.raises(ValueError, match=message):
        read_retrieval(resolve(folder))


def test_files_that_make_no_retrieval_are_told() -> None:
    written()
    with pytest.raises(ValueError, match="retrieval is measured on one file of pairs, or on queries"):
        read_retrieval(resolve(["beir/queries.jsonl", "beir/corpus.jsonl"]))
    Path("x.txt").write_text("a\n")
    with pytest.raises(ValueError, match=r"x\.txt: pairs are read from files with columns"):
        read_retrieval(resolve("x.txt"))
