from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr

from plmlight.decoding import TextEmbedder
from plmlight.evaluation.similarity import Columns, Pair, measure_similarity, read_pairs


class Letters(TextEmbedder):
    """Counts a few letters."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def embed(
        self, texts: Sequence[str], batch_size: int = 32, *, token_type_id: int | None = None
    ) -> NDArray[np.float32]:
        self.calls.append(len(texts))
        return np.array([[text.count(letter) for letter in "abcd"] for text in texts], np.float32)


def test_similarity_is_of_the_cosines_and_each_text_is_embedded_once() -> None:
    pairs = [Pair("ab", "ab", 5), Pair("ab", "cd", 0), Pair("aab", "ab", 4), Pair("abc", "ab", 3), Pair("z", "ab", 0)]
    model = Letters()
    measured = measure_similarity(model, pairs)
    cosines = [1, 0, 3 / np.sqrt(10), 2 / np.sqrt(6), 0]
    everything = np.arange(5)[None]
    gold = [pair.score for pair in pairs]
    assert measured.statistics["spearman"](everything)[0] == pytest.approx(spearmanr(cosines, gold).statistic)
    assert measured.statistics["pearson"](everything)[0] == pytest.approx(pearsonr(cosines, gold).statistic)
    assert (model.calls, measured.facts, measured.units) == ([5], {"pairs": 5, "texts": 5}, "pairs")


PAIRS = [Pair("a, b", 'say "x"', 5.0), Pair("c", "d", 1.5)]


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("a.csv", 'id,score,sentence1,sentence2\r\n1,5,"a, b","say ""x"""\r\n2,1.5,c,d\r\n', Columns()),
        ("a.csv", '"a, b","say ""x""",5.0\nc,d,1.5\n', Columns()),
        ("a.csv", '\ufeffone,two,gold\n"a, b","say ""x""",5.0\nc,d,1.5', Columns("one", "two", "gold")),
        ("a.tsv", 'x\t5\ta, b\tsay "x"\ny\t1.5\tc\td\n', Columns("3", "4", "2")),
        ("a.tsv", 'sentence1\tsentence2\tscore\na, b\tsay "x"\t5\n\nc\td\t1.5\n', Columns()),
        (
            "a.jsonl",
            '{"sentence1": "a, b", "sentence2": "say \\"x\\"", "score": 5}\n\n'
            '{"sentence1": "c", "sentence2": "d", "score": "1.5"}\n',
            Columns(),
        ),
    ],
)
def test_pairs_are_read_from_tables_and_lines(tmp_path: Path, name: str, content: str, columns: Columns) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    assert read_pairs(tmp_path / name, columns) == PAIRS


def test_only_so_many_pairs_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,1\nc,d,2\ne,f,3\n")
    assert len(read_pairs(tmp_path / "a.csv", limit=2)) == 2


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.txt", "", {}, "a.txt: pairs are read from .csv, .tsv, .jsonl files"),
        ("a.csv", "", {}, "a.csv: the file is empty"),
        ("a.csv", "sentence1,sentence2,gold\na,b,1\n", {}, "a.csv:1: there is no column 'score'; expected one of"),
        ("a.csv", "sentence1,sentence2,scores\na,b,1\n", {}, "no column 'score'; did you mean 'scores'"),
        ("a.csv", "a,b,1\nc,d,\n", {}, "a.csv:2: the score '' is not a number"),
        ("a.csv", "a,b,1\nc,d,nan\n", {}, "a.csv:2: the score 'nan' is not a number"),
        ("a.csv", "a,b,1\nc\n", {}, "a.csv:2: has 1 columns, expected at least 3"),
        ("a.csv", "a,b,1\nc,d,1\n", {}, "a.csv: at least two pairs with different scores"),
        ("a.csv", 'a,b,1\n"c,d,1\n', {}, "a.csv:2: not a row of CSV (its quote is never closed)"),
        ("a.csv", "a,b,1\n", {"score": "4"}, "no column 'sentence1'"),
        ("a.jsonl", "{\n", {}, "a.jsonl:1: not a line of JSON"),
        ("a.jsonl", "[]\n", {}, "a.jsonl:1: expected an object"),
        ("a.jsonl", '{"sentence1": "a", "sentense2": "b"}', {}, "no key 'sentence2'; did you mean 'sentense2'"),
    ],
)
def test_what_can_not_be_read_is_named(
    tmp_path: Path, name: str, content: str, columns: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is compared below, as it stands
        read_pairs(tmp_path / name, Columns(**columns))
    assert message in str(caught.value)


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"a,\xff,1\n")
    with pytest.raises(ValueError, match=r"a.csv: byte 0xff at offset 2 is not UTF-8"):
        read_pairs(tmp_path / "a.csv")
