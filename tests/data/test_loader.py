import itertools
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import EvaluationLoader, TrainingLoader
from plmlight.data.packing import Blocks, TokenStream

Batch = dict[str, torch.Tensor]


def blocks(tokens: int = 1000, length: int = 9, **options: Any) -> Blocks:
    return Blocks(TokenStream(np.arange(tokens, dtype=np.uint16), np.array([0, tokens])), length, **options)


def take(loader: TrainingLoader, count: int) -> list[Batch]:
    """The next batches, over the ends of epochs, as a training loop would draw them."""
    endless = itertools.chain.from_iterable(loader for _ in itertools.count())
    return list(itertools.islice(endless, count))


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(left, right, strict=True)
    )


def test_an_epoch_has_its_length_and_no_sample_twice() -> None:
    loader = TrainingLoader(blocks(), 4)
    batches = list(loader)
    assert len(batches) == len(loader) == len(loader.blocks) // 4
    ids = torch.cat([batch["sample_ids"] for batch in batches])
    assert len(set(ids.tolist())) == len(ids)


def test_epochs_differ_in_order_and_windows() -> None:
    loader = TrainingLoader(blocks(), 4)
    first, second = list(loader), list(loader)
    assert [batch["epoch"].item() for batch in (first[0], second[0])] == [0, 1]
    assert not torch.equal(first[0]["sample_ids"], second[0]["sample_ids"])
    starts = [{int(batch["input_ids"][row, 0]) % 8 for batch in epoch for row in range(4)} for epoch in (first, second)]
    assert all(len(shift) == 1 for shift in starts)
    assert starts[0] != starts[1]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 17, 30, 31, 32, 70])
def test_restored_loader_gives_what_the_first_would_have_given(num_workers: int, done: int) -> None:
    whole = take(TrainingLoader(blocks(), 4, seed=3), 80)  # 30 batches an epoch
    loader = TrainingLoader(blocks(), 4, seed=3, num_workers=num_workers)
    iterator = iter(loader)
    for _ in range(done):
        batch = next(iterator, None)
        if batch is None:
            iterator = iter(loader)
            next(iterator)
    restored = TrainingLoader(blocks(), 4, seed=3, num_workers=num_workers)
    restored.load_state_dict(loader.state_dict())
    assert same(take(restored, 80 - done), whole[done:])


def test_state_is_plain_and_the_same_on_each_rank() -> None:
    loaders = [TrainingLoader(blocks(), 4, rank=rank, world_size=3) for rank in range(3)]
    for loader in loaders:
        take(loader, 5)
    states = [loader.state_dict() for loader in loaders]
    assert states[0] == states[1] == states[2]
    assert states[0]["consumed"] == 5 * 4 * 3


def test_ranks_share_the_batch_of_one_rank() -> None:
    alone = take(TrainingLoader(blocks(), 8), 20)
    ranks = [take(TrainingLoader(blocks(), 4, rank=rank, world_size=2), 20) for rank in range(2)]
    joined = [torch.cat([left["input_ids"], right["input_ids"]]) for left, right in zip(*ranks, strict=True)]
    assert all(torch.equal(a["input_ids"], b) for a, b in zip(alone, joined, strict=True))


@pytest.mark.parametrize(("before", "after"), [((4, 2), (8, 1)), ((8, 1), (2, 4)), ((2, 1), (3, 2))])
def test_other_number_of_ranks_goes_on_where_the_old_one_was(before: tuple[int, int], after: tuple[int, int]) -> None:
    old = TrainingLoader(blocks(), before[0], world_size=before[1])
    take(old, 7)
    consumed = 7 * before[0] * before[1]
    order = torch.cat([batch["sample_ids"] for batch in TrainingLoader(blocks(), 1)])
    ranks = [TrainingLoader(blocks(), after[0], rank=rank, world_size=after[1]) for rank in range(after[1])]
    for rank in ranks:
        rank.load_state_dict(old.state_dict())
    step = torch.cat([take(rank, 1)[0]["sample_ids"] for rank in ranks])
    assert torch.equal(step, order[consumed : consumed + len(step)])


def test_what_workers_read_ahead_does_not_count() -> None:
    loader = TrainingLoader(blocks(), 4, num_workers=2)
    iterator = iter(loader)
    for count in range(1, 4):
        next(iterator)
        assert loader.state_dict()["consumed"] == 4 * count


def test_workers_draw_nothing_from_the_global_generator() -> None:
    torch.manual_seed(0)
    take(TrainingLoader(blocks(), 4, num_workers=2), 3)
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(1))


def test_state_of_other_data_is_refused() -> None:
    state = TrainingLoader(blocks(), 4).state_dict()
    for other, key in (
        (TrainingLoader(blocks(900), 4), "blocks"),
        (TrainingLoader(blocks(), 4, seed=1), "seed"),
    ):
        with pytest.raises(ValueError, match=f"cannot be resumed on this data: its {key} was"):
            other.load_state_dict(state)


def test_less_than_a_batch_is_refused() -> None:
    with pytest.raises(ValueError, match="4 blocks of 9 tokens to train on, fewer than one batch of 8"):
        TrainingLoader(blocks(40), 4, world_size=2)
    with pytest.raises(ValueError, match="batch_size 0 must be at least 1"):
        TrainingLoader(blocks(), 0)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_evaluation_sees_each_token_once_in_equal_steps(world_size: int, num_workers: int) -> None:
    made = blocks(1000, cover=True)
    ranks = [list(EvaluationLoader(made, 4, num_workers, rank, world_size)) for rank in range(world_size)]
    assert {len(batches) for batches in ranks} == {len(EvaluationLoader(made, 4, world_size=world_size))}
    targets = [b["input_ids"][:, 1:][b["attention_mask"][:, 1:] == 1] for batches in ranks for b in batches]
    assert torch.cat(targets).sort().values.tolist() == list(range(1, 1000))


def test_evaluation_on_one_rank_has_no_rows_of_padding() -> None:
    last = list(EvaluationLoader(blocks(1000, cover=True), 4))[-1]
    assert len(last["sample_ids"]) == 125 % 4
