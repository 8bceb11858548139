"""Batches whose rows go on where the batch before stopped."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import StreamEvaluationLoader, StreamTrainingLoader, TextCorpus, TrainingLoader
from plmlight.data.packing import Blocks, TokenStream

Batch = dict[str, torch.Tensor]


def blocks(tokens: int = 1000, length: int = 9, **options: Any) -> Blocks:
    return Blocks(TokenStream(np.arange(tokens, dtype=np.uint16), np.array([0, tokens])), length, **options)


def take(loader: StreamTrainingLoader, count: int) -> list[Batch]:
    """The next batches, over the ends of epochs, as a training loop would draw them."""
    endless = itertools.chain.from_iterable(loader for _ in itertools.count())
    return list(itertools.islice(endless, count))


def same(left: list[Batch], right: list[Batch]) -> bool:
    return len(left) == len(right) and all(
        a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a) for a, b in zip(left, right, strict=True)
    )


def test_each_row_goes_on_where_it_stopped_and_begins_anew_with_the_epoch() -> None:
    loader = StreamTrainingLoader(blocks(), 4)
    batches = take(loader, 2 * len(loader))
    for before, after in itertools.pairwise(batches):
        anew = before["epoch"] != after["epoch"]
        assert after["continues"].tolist() == [0 if anew else 1] * 4
        if not anew:
            assert torch.equal(after["input_ids"][:, 0], before["input_ids"][:, -1])  # an overlap of one
    assert batches[0]["continues"].tolist() == [0] * 4
    seen = torch.cat([batch["sample_ids"] for batch in batches[: len(loader)]])
    assert sorted(seen.tolist()) == list(range(len(loader) * 4))
    assert batches[0]["input_ids"][0, 0] != batches[len(loader)]["input_ids"][0, 0]  # shifted windows


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 30, 31, 45])
def test_restored_loader_gives_what_the_first_would_have_given(num_workers: int, done: int) -> None:
    whole = take(StreamTrainingLoader(blocks(), 4, seed=3), 80)  # 31 batches an epoch
    loader = StreamTrainingLoader(blocks(), 4, seed=3, num_workers=num_workers)
    take(loader, done)
    restored = StreamTrainingLoader(blocks(), 4, seed=3, num_workers=num_workers)
    restored.load_state_dict(loader.state_dict())
    assert same(take(restored, 80 - done), whole[done:])


def test_ranks_read_the_rows_of_one_rank() -> None:
    alone = take(StreamTrainingLoader(blocks(), 8), 20)
    ranks = [take(StreamTrainingLoader(blocks(), 4, rank=rank, world_size=2), 20) for rank in range(2)]
    for name in ("input_ids", "continues"):
        joined = [torch.cat([left[name], right[name]]) for left, right in zip(*ranks, strict=True)]
        assert all(torch.equal(a[name], b) for a, b in zip(alone, joined, strict=True))


def test_another_number_of_ranks_goes_on_but_not_of_streams() -> None:
    old = StreamTrainingLoader(blocks(), 4, world_size=2)
    take(old, 7)
    alone = StreamTrainingLoader(blocks(), 8)
    alone.load_state_dict(old.state_dict())
    assert same(take(alone, 1), take(StreamTrainingLoader(blocks(), 8), 8)[7:])
    with pytest.raises(ValueError, match="its streams was 8, here it is 4"):
        StreamTrainingLoader(blocks(), 4).load_state_dict(old.state_dict())
    with pytest.raises(ValueError, match="its streams was None, here it is 8"):
        alone.load_state_dict(TrainingLoader(blocks(), 8).state_dict())
    with pytest.raises(ValueError, match="its blocks was None"):
        TrainingLoader(blocks(), 8).load_state_dict(alone.state_dict())


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("tokens", [1000, 50])
def test_evaluation_sees_each_token_once_in_order(world_size: int, tokens: int) -> None:
    made = blocks(tokens, cover=True)
    ranks = [list(StreamEvaluationLoader(made, 4, 0, rank, world_size)) for rank in range(world_size)]
    assert {len(batches) for batches in ranks} == {len(StreamEvaluationLoader(made, 4, world_size=world_size))}
    targets = [b["input_ids"][:, 1:][b["attention_mask"][:, 1:] == 1] for batches in ranks for b in batches]
    assert torch.cat(targets).sort().values.tolist() == list(range(1, tokens))
    for batches in ranks:
        assert not batches[0]["continues"].any()
        for before, after in itertools.pairwise(batches):
            goes_on = after["sample_ids"] >= 0
            assert torch.equal(after["continues"], goes_on.long())
            assert torch.equal(after["sample_ids"][goes_on], before["sample_ids"][goes_on] + 1)


def test_less_than_a_block_a_stream_is_refused() -> None:
    with pytest.raises(ValueError, match="4 blocks of 9 tokens to train on, fewer than one for each of 8 streams"):
        StreamTrainingLoader(blocks(40), 4, world_size=2)


def test_a_corpus_in_streams(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("".join(f"line {i} {i * 37 % 101}\n" for i in range(300)))
    options: dict[str, Any] = {
        "tokenizer_kind": "character",
        "block_length": 17,
        "batch_size": 4,
        "validation_fraction": 0.1,
        "cache_folder": str(tmp_path / "cache"),
    }
    made = TextCorpus(str(tmp_path / "text.txt"), order="streams", **options)
    validation = made.val_dataloader()
    assert not isinstance(validation, list)
    for loader in (made.train_dataloader(), validation):
        first, second = itertools.islice(loader, 2)
        assert (first["continues"].tolist(), second["continues"].tolist()) == ([0] * 4, [1] * 4)
        assert torch.equal(first["input_ids"][:, -1], second["input_ids"][:, 0])
    with pytest.raises(ValueError, match="order 'sorted' is not known; expected one of shuffled, streams"):
        TextCorpus(str(tmp_path / "text.txt"), order="sorted", **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="isolate_documents with order streams"):
        TextCorpus(str(tmp_path / "text.txt"), order="streams", isolate_documents=True, **options)
