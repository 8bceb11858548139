from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from plmlight.decoding import TextClassifier, TextEmbedder, TextIndex
from plmlight.decoding import retrieval as module
from plmlight.decoding.retrieval import most_similar, unit


class Letters(TextEmbedder):
    """Counts a few letters."""

    def __init__(self, letters: str = "abcd") -> None:
        self.letters = letters
        self.model: Any = SimpleNamespace(width=len(letters))

    def embed(
        self, texts: Sequence[str], batch_size: int = 32, *, token_type_id: int | None = None
    ) -> NDArray[np.float32]:
        return np.array([[text.count(letter) for letter in self.letters] for text in texts], np.float32)


@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_the_most_similar_vectors_are_those_of_a_full_sort(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    queries, vectors = (random.normal(size=(count, 6)).astype(np.float32) for count in (7, 30))
    cosines = unit(queries) @ unit(vectors).T
    places, scores = most_similar(queries, unit(vectors), 5)
    assert places.tolist() == np.argsort(-cosines, axis=1)[:, :5].tolist()
    assert np.allclose(scores, -np.sort(-cosines, axis=1)[:, :5], atol=1e-6)
    assert most_similar(queries, unit(vectors), 99)[0].shape == (7, 30)


def test_equal_vectors_come_in_their_order() -> None:
    places, _ = most_similar(np.ones((1, 2), np.float32), unit(np.ones((4, 2), np.float32)), 3)
    assert places.tolist() == [[0, 1, 2]]


def test_of_equal_vectors_at_the_cut_the_first_ones_are_found() -> None:
    vectors = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(0, 4, 1000)]
    queries = np.array([[4, 3, 2, 1], [0, 0, 0, 1], [-1, -1, -1, 0]], np.float32)
    places, _ = most_similar(queries, vectors, 300)
    cosines = unit(queries) @ vectors.T
    assert places.tolist() == np.argsort(-cosines, axis=1, kind="stable")[:, :300].tolist()


def test_an_index_finds_what_is_most_alike() -> None:
    index = TextIndex(Letters(), ["aab", {"text": "bb", "id": 7}, "cd"])
    best, second = index.search("b", top_k=2)
    assert (best.document, best.place) == ({"text": "bb", "id": 7}, 1)
    assert second.document == {"text": "aab"}
    assert [best.score, second.score] == pytest.approx([1, 1 / np.sqrt(5)])
    assert [[match.place for match in found] for found in index.search_all(["c", "a"], 1)] == [[2], [0]]


class Longest(TextClassifier):
    """Likes long documents that have the query's first letter."""

    def __init__(self, labels: Sequence[str] = ("score",)) -> None:
        self.labels, self.problem = list(labels), "regression"
        self.asked: list[tuple[str, str]] = []

    def _scores(self, given: Sequence[Any], batch_size: int) -> NDArray[np.float64]:
        self.asked += given
        return np.array([[len(document) + 10 * (query[0] in document)] for query, document in given], np.float64)


def test_a_cross_encoder_orders_what_was_found() -> None:
    index = TextIndex(Letters(), ["b", "bbcccc", "bbc", "dddddddddd"])
    rerank = Longest()
    found = index.search("b", 3, rerank)
    assert [(match.place, match.score) for match in found] == [(1, 16.0), (2, 13.0), (0, 11.0)]
    assert [match.place for match in index.search("b", 3)] == [0, 2, 1]
    assert sorted(rerank.asked) == [("b", "b"), ("b", "bbc"), ("b", "bbcccc")]  # the fourth was not among the nearest
    assert [match.place for match in index.search("b", 1, rerank, candidates=3)] == [1]
    assert [[m.place for m in row] for row in index.search_all(["b", "d"], 1, rerank=rerank, candidates=4)] == [
        [1],
        [3],
    ]


def test_what_cannot_be_ranked_is_told() -> None:
    index = TextIndex(Letters(), ["a", "b"])
    with pytest.raises(ValueError, match="candidates 1: so many documents are re-ranked, of which top_k 2 are given"):
        index.search("a", 2, Longest(), candidates=1)
    with pytest.raises(ValueError, match="not by the 3 labels x, y, z"):
        index.search("a", 2, Longest(["x", "y", "z"]))


def test_an_index_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    index = Letters().index(["aab\u2028c", {"text": "bb", "id": 7}, "天气"])
    index.save(tmp_path / "index")
    again = TextIndex.load(tmp_path / "index", Letters())
    assert again.documents == index.documents
    assert np.array_equal(again.vectors, index.vectors)
    assert again.search("b", 1) == index.search("b", 1)
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["documents.jsonl", "vectors.safetensors"]


def test_what_cannot_be_searched_is_told(tmp_path: Path) -> None:
    index = TextIndex(Letters(), ["a"])
    with pytest.raises(ValueError, match="top_k 0 must be at least 1"):
        index.search("a", 0)
    with pytest.raises(ValueError, match="a list of documents was expected"):
        TextIndex(Letters(), [])
    with pytest.raises(ValueError, match="document 1 has no 'text', only title"):
        TextIndex(Letters(), ["a", {"title": "b"}])
    with pytest.raises(ValueError, match="1 documents and 2 vectors"):
        TextIndex(Letters(), ["a"], np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match="holds no index"):
        TextIndex.load(tmp_path, Letters())
    index.save(tmp_path)
    with pytest.raises(ValueError, match="its vectors have 4 numbers, but the model's have 2"):
        TextIndex.load(tmp_path, Letters("ab"))
