import numpy as np
import pytest

from plmlight.metrics.relations import confusions, relation_measures, semeval_f1

LABELS = ["A(e1,e2)", "A(e2,e1)", "B(e1,e2)", "B(e2,e1)", "Other"]
# rows are the truth: 10 A (7 in one direction), 6 B, 4 others
CONFUSION = np.array([[
    [4, 2, 1, 0, 0],
    [1, 2, 0, 0, 0],
    [0, 0, 3, 0, 1],
    [0, 1, 0, 1, 0],
    [1, 0, 0, 1, 2],
]])  # fmt: skip


def test_semeval_counts_directions_and_leaves_out_other() -> None:
    # A: 6 right; said 4 + 2 + 1 + 2 + 1 + 1 = 11 times, there 10 times. B: 4 right; said 1 + 3 + 1 + 1 = 6, there 6.
    precision, recall = 6 / 11, 6 / 10
    a = 2 * precision * recall / (precision + recall)
    b = 4 / 6
    assert semeval_f1(CONFUSION, LABELS) == pytest.approx([100 * (a + b) / 2])


def test_semeval_leaves_out_relations_that_are_not_there() -> None:
    """As the official scorer, which divides by the number of relations in the key (``$distinctLabelsCnt``)."""
    labels = [*LABELS, "C(e1,e2)"]
    more = np.zeros((2, 6, 6), np.int64)
    more[:, :5, :5] = CONFUSION
    assert semeval_f1(more, labels) == pytest.approx(np.repeat(semeval_f1(CONFUSION, LABELS), 2))
    more[0, 4, 5] = 3  # said of texts without a relation
    more[1, 5, 4] = 3  # there, and not found
    assert semeval_f1(more, labels) == pytest.approx(semeval_f1(CONFUSION, LABELS) * [1, 2 / 3])
    assert semeval_f1(more * 0, labels).tolist() == [0, 0]


def test_measures() -> None:
    measures = {name: float(value[0]) for name, value in relation_measures(CONFUSION, LABELS).items()}
    f1 = [2 * 4 / (7 + 6), 2 * 2 / (3 + 5), 2 * 3 / (4 + 4), 2 * 1 / (2 + 2)]
    assert measures["accuracy"] == pytest.approx(100 * 12 / 20)
    assert measures["precision"] == pytest.approx(100 * 10 / 17)
    assert measures["recall"] == pytest.approx(100 * 10 / 16)
    assert measures["micro_f1"] == pytest.approx(100 * 2 * 10 / (17 + 16))
    assert measures["macro_f1"] == pytest.approx(100 * sum(f1) / 4)
    assert measures["semeval_f1"] == pytest.approx(float(semeval_f1(CONFUSION, LABELS)[0]))
    every = relation_measures(CONFUSION, LABELS, None)
    assert every["micro_f1"] == pytest.approx([100 * 12 / 20])
    assert "semeval_f1" not in relation_measures(CONFUSION, ["a", "b", "c", "d", "Other"])


def test_samples_are_counted_at_once() -> None:
    random = np.random.default_rng(0)
    gold, said = random.integers(0, 3, size=(2, 40))
    indices = random.integers(0, 40, size=(6, 40))
    found = confusions(gold, said, 3, indices)
    for drawn, counts in zip(indices, found, strict=True):
        wanted = np.zeros((3, 3), np.int64)
        for number in drawn:
            wanted[gold[number], said[number]] += 1
        assert np.array_equal(counts, wanted)
    labels = ["X(e1,e2)", "X(e2,e1)", "Other"]
    measures = relation_measures(found, labels)
    one = relation_measures(found[2:3], labels)
    assert all(values.shape == (6,) and values[2] == one[name][0] for name, values in measures.items())
    assert np.array_equal(confusions(gold, said, 3)[0], confusions(gold, said, 3, np.arange(40)[None])[0])
