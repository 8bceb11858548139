import itertools
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import BucketedEvaluationLoader, BucketedTrainingLoader
from plmlight.data.sampling import Indices, uniform

Batch = dict[str, torch.Tensor]


class Varied:
    """Samples of 1 to 64 tokens, most of them short, with other lengths in each epoch."""

    max_length = 64

    def __init__(self, size: int = 5000) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    @property
    def identity(self) -> dict[str, Any]:
        return {"samples": self._size}

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        lengths: Indices = 1 + (uniform(sample_ids, 1, 0, epoch)[0] ** 2 * 64).astype(np.int64)
        return lengths

    def batch(self, sample_ids: Indices, epoch: int) -> Batch:
        lengths = np.where(sample_ids < 0, 0, self.lengths(sample_ids, epoch))
        mask = np.arange(max(1, lengths.max())) < lengths[:, None]
        return {
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
            "sample_ids": torch.from_numpy(sample_ids),
            "epoch": torch.tensor(epoch),
        }


def training(**options: Any) -> BucketedTrainingLoader:
    return BucketedTrainingLoader(Varied(options.pop("size", 5000)), **{"max_tokens": 256, **options})


def take(loader: BucketedTrainingLoader, count: int) -> list[Batch]:
    endless = itertools.chain.from_iterable(loader for _ in itertools.count())
    return list(itertools.islice(endless, count))


def ids(batches: list[Batch]) -> list[int]:
    return [int(id_) for batch in batches for id_ in batch["sample_ids"]]


def padding(batches: list[Batch]) -> float:
    cells = sum(batch["attention_mask"].numel() for batch in batches)
    return 1 - sum(int(batch["attention_mask"].sum()) for batch in batches) / cells


@pytest.mark.parametrize("max_tokens", [None, 64, 256, 10**6])
@pytest.mark.parametrize("size", [1000, 5000])
def test_each_epoch_has_its_length_and_nearly_all_samples_once(size: int, max_tokens: int | None) -> None:
    loader = training(size=size, max_tokens=max_tokens, batch_size=8)
    for epoch in range(3):
        batches = list(loader)
        assert len(batches) == len(loader)
        assert {int(batch["epoch"]) for batch in batches} == {epoch}
        assert len(set(ids(batches))) == len(ids(batches)) > 0.97 * size
        if max_tokens is not None:
            assert max(batch["attention_mask"].numel() for batch in batches) <= max_tokens
        else:
            assert {len(batch["sample_ids"]) for batch in batches} == {8}


def test_what_is_left_out_differs_from_epoch_to_epoch() -> None:
    loader = training()
    seen = [set(ids(list(loader))) for _ in range(4)]
    assert set.union(*seen) == set(range(5000))


def test_padding_is_small_where_random_batches_waste_much() -> None:
    assert padding(take(training(), len(training()))) < 0.05
    rows = np.random.default_rng(0).permutation(5000)[:4992].reshape(-1, 12)
    assert padding([Varied().batch(row, 0) for row in rows]) > 0.25


def test_long_and_short_batches_come_mixed_and_each_epoch_in_another_order() -> None:
    loader = training()
    first, second = list(loader), list(loader)
    widths = np.array([batch["attention_mask"].shape[1] for batch in first])
    assert abs(np.corrcoef(widths[:-1], widths[1:])[0, 1]) < 0.15
    assert ids(first) != ids(second)


@pytest.mark.parametrize("max_tokens", [None, 256])
@pytest.mark.parametrize("num_workers", [0, 2])
def test_restored_loader_gives_what_the_first_would_have_given(num_workers: int, max_tokens: int | None) -> None:
    options: dict[str, Any] = {"size": 800, "max_tokens": max_tokens, "batch_size": 16}
    steps = len(training(**options))
    whole = take(training(**options), 2 * steps)
    for done in (1, steps // 2, steps - 1, steps, steps + 3):
        loader = training(**options, num_workers=num_workers)
        iterator = iter(loader)
        for _ in range(done):
            if next(iterator, None) is None:
                iterator = iter(loader)
                next(iterator)
        restored = training(**options, num_workers=num_workers)
        restored.load_state_dict(loader.state_dict())
        left = take(restored, 10)
        assert all(torch.equal(a[key], b[key]) for a, b in zip(left, whole[done : done + 10], strict=True) for key in a)


def test_a_resume_computes_one_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = training()
    state = {**loader.state_dict(), "consumed": len(loader) * 3 // 4}
    asked: list[int] = []
    plain = Varied.lengths

    def counted(self: Varied, sample_ids: Indices, epoch: int) -> Indices:
        asked.append(len(sample_ids))
        return plain(self, sample_ids, epoch)

    monkeypatch.setattr(Varied, "lengths", counted)
    loader.load_state_dict(state)
    list(itertools.islice(loader._plan(0, state["consumed"]), 2))
    assert sum(asked) < 2000


@pytest.mark.parametrize("num_workers", [0, 2])
def test_ranks_share_the_batches_of_one_rank_in_equal_steps(num_workers: int) -> None:
    alone = list(training(size=900))
    ranks = [list(training(size=900, num_workers=num_workers, rank=rank, world_size=2)) for rank in range(2)]
    assert len(ranks[0]) == len(ranks[1]) == len(alone) // 2
    joined = list(itertools.chain.from_iterable(zip(*ranks, strict=True)))
    assert [batch["sample_ids"].tolist() for batch in joined] == [
        batch["sample_ids"].tolist() for batch in alone[: len(joined)]
    ]
    assert not set(ids(ranks[0])) & set(ids(ranks[1]))


def test_other_number_of_ranks_goes_on_where_the_old_one_was() -> None:
    old = training(world_size=2)
    take(old, 20)
    alone = take(training(), 60)
    ranks = [training(rank=rank, world_size=3) for rank in range(3)]
    for rank in ranks:
        rank.load_state_dict(old.state_dict())
    assert [ids(take(rank, 1)) for rank in ranks] == [ids([batch]) for batch in alone[40:43]]


def test_state_is_the_same_on_each_rank_and_of_this_data() -> None:
    loaders = [training(rank=rank, world_size=2) for rank in range(2)]
    for loader in loaders:
        take(loader, 5)
    assert loaders[0].state_dict() == loaders[1].state_dict()
    for other, key in ((training(size=4000), "samples"), (training(seed=1), "seed"), (training(max_tokens=99), "max")):
        with pytest.raises(ValueError, match=f"cannot be resumed on this data: its {key}"):
            other.load_state_dict(loaders[0].state_dict())


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("max_tokens", [None, 256])
def test_evaluation_sees_each_sample_once_in_equal_steps(world_size: int, max_tokens: int | None) -> None:
    ranks = [
        list(BucketedEvaluationLoader(Varied(700), 8, max_tokens, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    assert len({len(batches) for batches in ranks}) == 1
    seen = [id_ for batches in ranks for id_ in ids(batches)]
    assert sorted(id_ for id_ in seen if id_ >= 0) == list(range(700))
    assert world_size > 1 or -1 not in seen
    tokens = sum(int(batch["attention_mask"].sum()) for batches in ranks for batch in batches)
    assert tokens == Varied().lengths(np.arange(700), 0).sum()


def test_too_few_samples_and_too_small_a_budget_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^7 samples to train on, fewer than one batch \(batch_size 8\)"):
        training(size=7, max_tokens=None, batch_size=8)
    with pytest.raises(ValueError, match=r"^3 samples to train on, .* each of 9 ranks \(max_tokens 256\)"):
        training(size=3, world_size=9)
    with pytest.raises(ValueError, match=r"max_tokens 63: a batch must hold one sample, .* max_length 64"):
        training(max_tokens=63)
    with pytest.raises(ValueError, match="batch_size 0 must be at least 1"):
        training(max_tokens=None, batch_size=0)
