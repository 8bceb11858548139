import heapq

import numpy as np
import pytest
import torch

from plmlight import HierarchicalSoftmax, NegativeSampling, Word2Vec
from plmlight.objectives import KeyedRandom
from plmlight.objectives.hierarchical_softmax import huffman
from tests.objectives.windows import window_batch


def draw(objective: NegativeSampling, counts: torch.Tensor, rows: int, seed: int = 0) -> torch.Tensor:
    objective.use_counts(counts)
    batch = {"input_ids": torch.zeros(rows, 3)}
    rng = KeyedRandom(seed, torch.arange(rows), torch.tensor(0))
    drawn: torch.Tensor = objective.corrupt(batch, rng)["negative_ids"]
    return drawn


def test_negatives_follow_the_power_of_the_counts() -> None:
    counts = torch.tensor([0, 1000, 300, 100, 30, 10, 0, 3])
    drawn = draw(NegativeSampling(shared=50), counts, 4000)
    shares = torch.bincount(drawn.reshape(-1), minlength=8) / drawn.numel()
    expected = counts.double() ** 0.75 / (counts.double() ** 0.75).sum()
    assert (shares - expected).abs().max() < 0.003
    assert shares[0] == shares[6] == 0


def test_negatives_belong_to_their_row() -> None:
    objective, counts = NegativeSampling(shared=8), torch.arange(50)
    assert torch.equal(draw(objective, counts, 9)[:4], draw(objective, counts, 4))
    assert not torch.equal(draw(objective, counts, 9), draw(objective, counts, 9, seed=1))


def test_the_expected_gradient_does_not_depend_on_how_many_are_shared() -> None:
    torch.manual_seed(0)
    network = Word2Vec(10, d_model=4)
    torch.nn.init.normal_(network.output_table.weight)
    losses = []
    for shared in (1, 16):
        objective = NegativeSampling(shared=shared)
        objective.use_counts(torch.tensor([0, 9, 7, 7, 4, 3, 1, 1, 1, 2]))
        found = []
        for number in range(400):
            batch = window_batch()
            batch = objective.corrupt(batch, KeyedRandom(number, batch["sample_ids"], batch["epoch"]))
            ((loss, _),) = objective.loss(network, batch).values()
            found.append(loss.item())
        losses.append(np.mean(found))
    assert losses[0] == pytest.approx(losses[1], rel=0.015)


@pytest.mark.parametrize("size", [2, 3, 10, 257])
def test_probabilities_sum_to_one_over_the_tree(size: int) -> None:
    torch.manual_seed(size)
    objective = HierarchicalSoftmax()
    objective.use_counts(torch.randint(0, 100, (size,)))
    found = objective.log_probabilities(torch.randn(4, 6).double(), torch.randn(size, 6).double())
    assert torch.allclose(found.exp().sum(1), torch.ones(4).double(), atol=1e-9)


def test_the_tree_is_as_short_as_huffmans() -> None:
    counts = np.random.default_rng(0).zipf(1.3, 300).clip(1, 10**6).astype(np.int64)
    heap = counts.tolist()
    heapq.heapify(heap)
    least = 0
    while len(heap) > 1:
        both = heapq.heappop(heap) + heapq.heappop(heap)
        least += both
        heapq.heappush(heap, both)
    tree = huffman(counts)
    assert int((tree.inside.sum(1).numpy() * counts).sum()) == least
    ways = {tuple(c[: int(n)].tolist()) for c, n in zip(tree.codes, tree.inside.sum(1), strict=True)}
    assert len(ways) == 300
    assert int(tree.nodes.max()) == 298
    assert (tree.nodes[:, 0] == 298).all()


def test_a_tree_needs_two_words() -> None:
    with pytest.raises(ValueError, match="at least two words, the vocabulary has 1"):
        HierarchicalSoftmax().use_counts(torch.tensor([3]))


def test_small_steps_take_each_row_once_and_neighbours_apart() -> None:
    parts = list(NegativeSampling(sub_batch=4).parts_of(rows_of(torch.arange(10))))
    assert [len(part["input_ids"]) for part in parts] == [4, 3, 3]
    assert sorted(torch.cat([part["input_ids"] for part in parts])[:, 1].tolist()) == list(range(10))
    assert all((part["input_ids"][1:] - part["input_ids"][:-1] > 1).all() for part in parts)


def rows_of(words: torch.Tensor) -> dict[str, torch.Tensor]:
    """Rows of one word with a neighbour on each side."""
    ids = words[:, None].repeat(1, 3)
    return {"input_ids": ids, "segments": ids, "windows": torch.ones(len(words), 1), "epoch": torch.tensor(0)}


@pytest.mark.parametrize("arguments", [{"negatives": 0}, {"shared": 0}, {"sub_batch": 0}])
def test_numbers_out_of_range_are_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} 0"):
        NegativeSampling(**arguments)
