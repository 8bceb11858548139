"""The losses of vectors of texts, against a few lines of numpy."""

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plmlight.nn import build, config_of
from plmlight.objectives import (
    CoSENT,
    CosineRegression,
    EmbeddingObjective,
    InBatchNegatives,
    Matryoshka,
    TripletLoss,
)

RANDOM = np.random.default_rng(0)
VECTORS = RANDOM.normal(size=(3, 5, 8)).astype(np.float32)
SCORES = np.array([1.0, 0.2, 0.2, 0.7, 0.0], dtype=np.float32)


def unit(values: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(values / np.linalg.norm(values, axis=-1, keepdims=True))


def entropies(logits: NDArray[Any]) -> NDArray[Any]:
    """Of row i, whose answer is i."""
    return np.array([np.log(np.exp(row).sum()) - row[i] for i, row in enumerate(logits)])


def value(objective: EmbeddingObjective, texts: int, **batch: NDArray[Any]) -> tuple[float, float]:
    vectors = [torch.from_numpy(each) for each in VECTORS[:texts]]
    ((total, count),) = objective.loss(vectors, {name: torch.from_numpy(v) for name, v in batch.items()}).values()
    return float(total), float(count)


def test_in_batch_negatives_are_the_cross_entropy_of_the_cosines() -> None:
    a, b, _ = unit(VECTORS)
    total, count = value(InBatchNegatives(0.1), 2)
    assert (total, count) == pytest.approx((entropies(a @ b.T / 0.1).sum(), 5), rel=1e-5)


def test_third_texts_are_negatives_of_all_examples() -> None:
    a, b, c = unit(VECTORS)
    total, _ = value(InBatchNegatives(0.1), 3)
    assert total == pytest.approx(entropies(np.concatenate([a @ b.T, a @ c.T], 1) / 0.1).sum(), rel=1e-5)


def test_the_symmetric_loss_is_the_mean_of_both_directions() -> None:
    a, b, _ = unit(VECTORS)
    logits = a @ b.T / 0.05
    total, _ = value(InBatchNegatives(symmetric=True), 2)
    assert total == pytest.approx((entropies(logits).sum() + entropies(logits.T).sum()) / 2, rel=1e-5)


def expected_entropy(ids: NDArray[Any], asked: int, places: list[int]) -> float:
    """The loss of one direction, where no partner of an equal text is a negative, row by row."""
    directions = unit(VECTORS)
    logits = directions[asked] @ np.concatenate(directions[places]).T / 0.1
    answers = ids[:, places].T.flatten().tolist()
    for row, question in enumerate(ids[:, asked].tolist()):
        positive = {question, *ids[ids[:, asked] == question, places[0]].tolist()}
        for column, answer in enumerate(answers):
            if answer in positive and column != row:
                logits[row, column] = -np.inf
    return float(entropies(logits).sum())


IDS = np.array(
    [
        [0, 10, 11],  # 11, a partner of the same text below, is no negative here
        [0, 11, 20],
        [1, 11, 21],  # nor is this 11 one of the two rows above
        [2, 12, 10],  # nor this 10
        [12, 13, 0],  # a text is no negative of itself: 12 above
    ]
)


@pytest.mark.parametrize("texts", [2, 3])
@pytest.mark.parametrize("symmetric", [False, True])
def test_equal_texts_and_their_partners_are_no_negatives_wherever_they_stand(texts: int, symmetric: bool) -> None:
    expected = expected_entropy(IDS, 0, list(range(1, texts)))
    if symmetric:
        expected = (expected + expected_entropy(IDS, 1, [0])) / 2
    total, _ = value(InBatchNegatives(0.1, symmetric), texts, text_ids=IDS[:, :texts])
    assert total == pytest.approx(expected, rel=1e-5)


def test_in_batch_negatives_need_pairs() -> None:
    with pytest.raises(ValueError, match="learns from pairs of texts"):
        value(InBatchNegatives(), 1)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_the_triplet_loss_is_what_is_missing_to_the_margin(distance: Any) -> None:
    def apart(x: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
        if distance == "euclidean":
            return np.asarray(np.linalg.norm(x - y, axis=-1))
        return np.asarray(1 - (unit(x) * unit(y)).sum(-1))

    a, c, b = VECTORS
    missing = np.maximum(0, apart(a, b) - apart(a, c) + 0.3)
    assert 0 < (missing > 0).sum() < 5
    total, count = TripletLoss(0.3, distance).loss([torch.from_numpy(each) for each in (a, b, c)], {})["loss"]
    assert (float(total), float(count)) == pytest.approx((missing.sum(), 5), rel=1e-4)


def test_the_triplet_loss_needs_three_texts() -> None:
    with pytest.raises(ValueError, match=r"the examples have 2: name three in data\.text_fields"):
        value(TripletLoss(), 2)


def test_cosent_compares_all_pairs_of_different_scores() -> None:
    a, b, _ = unit(VECTORS)
    found = (a * b).sum(-1)
    wrong = [
        np.exp(20 * (found[low] - found[high])) for low in range(5) for high in range(5) if SCORES[low] < SCORES[high]
    ]
    assert len(wrong) == 9
    total, count = value(CoSENT(), 2, scores=SCORES)
    assert (total, count) == pytest.approx((np.log1p(sum(wrong)), 1), rel=1e-5)


def test_cosent_has_nothing_to_learn_of_equal_scores() -> None:
    assert value(CoSENT(), 2, scores=np.ones(5, np.float32))[0] == 0


def test_cosine_regression_is_the_squared_error() -> None:
    a, b, _ = unit(VECTORS)
    expected = (((a * b).sum(-1) - SCORES) ** 2).sum()
    assert value(CosineRegression(), 2, scores=SCORES) == pytest.approx((expected, 5), rel=1e-5)


@pytest.mark.parametrize("objective", [CoSENT(), CosineRegression()])
def test_scores_are_asked_for_by_their_setting(objective: EmbeddingObjective) -> None:
    with pytest.raises(ValueError, match=f"{type(objective).__name__} learns from scores.*set data.score_field"):
        value(objective, 2)


@pytest.mark.parametrize("inner", [InBatchNegatives(), CosineRegression(), CoSENT(), TripletLoss()])
def test_matryoshka_adds_up_the_losses_of_the_first_numbers(inner: EmbeddingObjective) -> None:
    vectors, batch = [torch.from_numpy(each) for each in VECTORS], {"scores": torch.from_numpy(SCORES)}
    expected = sum(
        weight * float(inner.loss([each[:, :dim] for each in vectors], batch)["loss"][0])
        for dim, weight in ((8, 1.0), (3, 0.5))
    )
    total, count = Matryoshka(inner, [8, 3], [1.0, 0.5]).loss(vectors, batch)["loss"]
    assert float(total) == pytest.approx(expected, rel=1e-5)
    assert count == inner.loss(vectors, batch)["loss"][1]


OTHER: Any = "manhattan"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: InBatchNegatives(0), "temperature 0 must be more than 0"),
        (lambda: CoSENT(-1), "scale -1 must be more than 0"),
        (lambda: TripletLoss(-1), "margin -1 must be at least 0"),
        (lambda: TripletLoss(1, OTHER), "distance 'manhattan' is not known: expected euclidean or cosine"),
        (lambda: Matryoshka(CoSENT(), []), "expected at least one"),
        (lambda: Matryoshka(CoSENT(), [8, 4], [1]), "expected 2, one for each of dims"),
        (lambda: Matryoshka(CoSENT(), [8, 4]).check_width(6), r"dims \[8, 4\]: the vectors have 6 numbers only"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_an_objective_is_built_again_from_its_description() -> None:
    again = build(config_of(Matryoshka(InBatchNegatives(0.2, symmetric=True), [8, 4])))
    assert (again.dims, again.inner.temperature, again.inner.symmetric) == ([8, 4], 0.2, True)


OBJECTIVES = [InBatchNegatives(symmetric=True), CoSENT(), Matryoshka(InBatchNegatives(), [8, 4])]
SPLIT = 3  # rows of the first rank; the other has two


def differentiated(objective: EmbeddingObjective, rows: slice, group: Any) -> tuple[float, float, torch.Tensor]:
    vectors = torch.from_numpy(VECTORS[:, rows]).requires_grad_()
    batch = {
        "scores": torch.from_numpy(SCORES[rows]),
        "text_ids": torch.from_numpy(IDS[[0, 2, 3, 1, 4]])[rows],  # equal questions on both ranks
    }
    ((total, count),) = objective.loss(list(vectors), batch, group).values()
    total.backward()
    assert vectors.grad is not None
    return float(total.detach()), float(count), vectors.grad


def run_rank(rank: int, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{folder}/meet", rank=rank, world_size=2)
    rows = slice(0, SPLIT) if rank == 0 else slice(SPLIT, None)
    found = [differentiated(objective, rows, torch.distributed.group.WORLD) for objective in OBJECTIVES]
    torch.save(found, f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_ranks_learn_what_one_learns_of_the_whole_batch(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=run_rank, args=(rank, str(tmp_path))) for rank in range(2)]
    for process in ranks:
        process.start()
    for process in ranks:
        process.join()
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for objective, first, second in zip(OBJECTIVES, *found, strict=True):
        total, count, gradient = differentiated(objective, slice(None), None)
        assert (first[0] + second[0]) / (first[1] + second[1]) == pytest.approx(total / count, rel=1e-5)
        both = torch.cat([first[2], second[2]], dim=1) / (first[1] + second[1])
        assert torch.allclose(both, gradient / count, atol=1e-6)
