"""Orders and what is predicted in them: statistics, purity, and who sees whom."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from plmlight.heads import LMHead
from plmlight.nn import build, config_of
from plmlight.objectives import Batch, KeyedRandom, Outputs, PermutationLanguageModelling
from tests.objectives.test_masked import SPECIAL, V, rows, wordpiece


def objective(**arguments: Any) -> PermutationLanguageModelling:
    made = PermutationLanguageModelling(**arguments)
    made.use_tokenizer(wordpiece())
    return made


def key(count: int = 400, epoch: int = 0, seed: int = 3) -> KeyedRandom:
    return KeyedRandom(seed, torch.arange(count), torch.tensor(epoch))


def ordinary(batch: Batch) -> Tensor:
    where: Tensor = batch["input_ids"] >= len(SPECIAL)
    return where


def spans(target: Tensor) -> Tensor:
    """The lengths of the runs of targets."""
    padded = torch.nn.functional.pad(target.long(), (1, 1))
    edges = padded.diff(dim=1)
    return (edges == -1).nonzero()[:, 1] - (edges == 1).nonzero()[:, 1]


@pytest.mark.parametrize("one_in", [6, 7])
def test_one_token_in_k_is_predicted(one_in: int) -> None:
    batch = rows()
    found = objective(one_in=one_in).corrupt(batch, key())
    share = (found["labels"] >= 0).sum() / ordinary(batch).sum()
    assert abs(float(share) - 1 / one_in) < 0.01


def test_spans_are_of_one_to_five_tokens_and_shorter_ones_more_often() -> None:
    made, length = PermutationLanguageModelling(), 6000
    target = made.targets({}, torch.ones(200, length, dtype=torch.bool), key(200))
    lengths = spans(target)  # neighbours that touch, at the edges of their contexts, count as one
    assert int(lengths.max()) <= 10
    share = torch.bincount(lengths, minlength=6)[1:6] / len(lengths)
    expected = 1 / torch.arange(1, 6) / (1 / torch.arange(1, 6)).sum()
    assert (share - expected).abs().max() < 0.02
    single = PermutationLanguageModelling(max_span=1)
    assert int(spans(single.targets({}, torch.ones(9, 60, dtype=torch.bool), key(9))).max()) <= 2


def test_targets_are_spread_evenly_over_the_row() -> None:
    target = PermutationLanguageModelling().targets({}, torch.ones(20000, 96, dtype=torch.bool), key(20000))
    assert (target.float().mean(0) - 1 / 6).abs().max() < 0.01


def test_labels_are_the_tokens_at_their_places_and_special_tokens_are_none() -> None:
    batch = rows(50, 64)
    found = objective().corrupt(batch, key(50))
    mapping, labels = found["target_mapping"], found["labels"]
    assert mapping.shape == (50, objective().most_targets(64), 64)
    assert torch.equal(mapping.sum(-1) > 0, labels >= 0)
    assert set(mapping.sum(-1).unique().tolist()) == {0, 1}
    places = mapping.long().argmax(-1)
    assert torch.equal(batch["input_ids"].gather(1, places)[labels >= 0], labels[labels >= 0])
    assert int(labels[labels >= 0].min()) >= len(SPECIAL)
    assert torch.equal(found["input_ids"], batch["input_ids"])


@pytest.mark.parametrize("length", [1, 2, 5, 6, 7, 29, 30, 31, 64, 113])
def test_no_target_is_lost(length: int) -> None:
    every = torch.ones(2000, length, dtype=torch.bool)
    made = PermutationLanguageModelling()
    count = made.targets({}, every, key(2000)).sum(1)
    assert int(count.max()) <= made.most_targets(length)
    ids = torch.arange(1, length + 1).expand(2000, -1)
    assert torch.equal((made.corrupt({"input_ids": ids}, key(2000))["labels"] > 0).sum(1), count)


def test_who_sees_whom() -> None:
    batch = rows(20, 48)
    found = objective().corrupt(batch, key(20))
    blind, target = found["permutation_mask"], found["target_mapping"].any(1)  # [B, T, T], [B, T]
    special = ~ordinary(batch)
    plain = ~target & ~special
    for row in range(20):
        hidden = blind[row]
        assert not hidden[:, plain[row]].any()  # all see what is only read
        assert hidden[plain[row]][:, ~plain[row]].all()  # which sees nothing that has a turn
        own = hidden.diagonal()
        assert own[target[row]].all()
        assert not own[special[row]].any()
        among = ~hidden[target[row]][:, target[row]]  # a strict order of the targets: each sees those before it
        assert torch.equal(among.sum(1).sort().values, torch.arange(len(among)))


def test_every_order_of_the_targets_is_as_likely() -> None:
    batch = {"input_ids": torch.full((3000, 30), 9)}
    found = objective().corrupt(batch, key(3000))
    target = found["target_mapping"].any(1)
    rank = ((~found["permutation_mask"]) & target[:, None, :]).sum(-1)  # how many targets came before
    seen = target.sum(1) > 1
    first = target.long().argmax(1)
    last = 29 - target.flip(1).long().argmax(1)
    each = torch.arange(3000)
    share = (rank[each, first] < rank[each, last])[seen].float().mean()
    assert abs(float(share) - 0.5) < 0.03


def test_a_sample_gets_the_same_wherever_it_stands() -> None:
    batch, made = rows(20, 64), objective()
    whole = made.corrupt(batch, key(20))
    part = {name: tensor[7:9] for name, tensor in batch.items()}
    found = made.corrupt(part, KeyedRandom(3, torch.tensor([7, 8]), torch.tensor(0)))
    for name in ("permutation_mask", "target_mapping", "labels"):
        assert torch.equal(found[name], whole[name][7:9])
    shorter = {name: tensor[:, :40] for name, tensor in batch.items()}
    cut = made.corrupt(shorter, key(20))["target_mapping"].any(1)
    assert torch.equal(cut, whole["target_mapping"].any(1)[:, :40])
    for other in (key(20, epoch=1), key(20, seed=4)):
        assert not torch.equal(made.corrupt(batch, other)["labels"], whole["labels"])


def test_without_a_tokenizer_nothing_is_special() -> None:
    found = PermutationLanguageModelling().corrupt({"input_ids": torch.zeros(50, 60, dtype=torch.int64)}, key(50))
    assert int((found["labels"] == 0).sum()) > 300


def test_the_loss_is_that_of_the_targets() -> None:
    batch = objective().corrupt(rows(5, 40), key(5))
    hidden, head = torch.randn(*batch["labels"].shape, 8), LMHead(8, V)
    total, count = objective().loss(Outputs(hidden, head), batch)["loss"]
    expected = torch.nn.functional.cross_entropy(head(hidden).flatten(0, 1), batch["labels"].flatten(), reduction="sum")
    torch.testing.assert_close(total, expected)
    assert int(count) == int((batch["labels"] >= 0).sum())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [({"one_in": 1}, "one_in 1: expected at least 2"), ({"max_span": 0}, "max_span 0: expected at least 1")],
)
def test_what_is_no_order_is_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PermutationLanguageModelling(**arguments)


def test_it_can_be_built_from_a_checkpoint() -> None:
    made = build(config_of(PermutationLanguageModelling(one_in=7)))
    assert (made.one_in, made.max_span) == (7, 5)
