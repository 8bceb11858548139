"""XLNet against transformers' XLNet: both streams, memories, orders, padding on either side."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from plmlight import XLNet
from plmlight.nn.relative import relative_pick, relative_shift
from tests.networks.encoders import LENGTH, D, EncoderParity, V, assert_close, opened, padding_mask, reference


def memories(past: int, rows: int = 3) -> tuple[Tensor, ...]:
    return tuple(torch.randn(rows, past, D) for _ in range(3))


def theirs_of(memories: tuple[Tensor, ...]) -> list[Tensor]:
    return [memory.transpose(0, 1) for memory in memories]


def orders(rows: int, length: int, asked: int) -> tuple[Tensor, Tensor]:
    """Random orders in which the last ``asked`` tokens are asked for: who does not see whom, and where they are."""
    turn = torch.rand(rows, length).argsort(-1).argsort(-1)  # [B, T]
    permutation_mask = turn[:, :, None] <= turn[:, None, :]
    places = turn.argsort(-1)[:, -asked:]
    return permutation_mask.float(), torch.nn.functional.one_hot(places, length).float()


class TestXLNet(EncoderParity):
    masked, backbone = "XLNetLMHeadModel", "XLNetModel"
    num_types, pad = 3, 5
    settings: ClassVar[tuple[dict[str, Any], ...]] = (
        {"ff_activation": "relu"},
        {"layer_norm_eps": 0.1},
        {"clamp_len": 3},
        {"attn_type": "uni"},
        {"attn_type": "uni", "same_length": True},
        {"tie_word_embeddings": False},
    )

    @torch.no_grad()
    def test_the_hidden_state_of_every_layer(self, tmp_path: Path) -> None:
        theirs = reference(self.masked)
        network, ids = opened(theirs, tmp_path).network, torch.randint(0, V, (2, 9))
        expected = theirs(ids, use_mems=True, output_hidden_states=True).hidden_states
        kept = network.two_stream(ids)[2]
        assert len(kept) == network.num_layers == len(expected) - 1
        for found, other in zip((*kept, network(ids)), expected, strict=True):
            assert_close(found, other)

    def test_more_tokens_than_positions_are_refused(self, tmp_path: Path) -> None:
        with torch.no_grad():  # as there are no positions, there is nothing to refuse
            assert self.network(tmp_path)(torch.ones(1, 700, dtype=torch.int64)).shape == (1, 700, D)

    def test_gradients_reach_every_parameter(self, tmp_path: Path) -> None:
        network = self.network(tmp_path).train()
        ids = torch.randint(0, V, (2, LENGTH))
        _, query, _ = network.two_stream(ids, None, torch.randint(2, ids.shape), *orders(2, LENGTH, 5))  # type: ignore[operator]
        query.square().sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []

    def test_no_parameter_is_without_a_gradient(self, tmp_path: Path) -> None:
        network = self.network(tmp_path).train()
        network(torch.randint(0, V, (2, 9))).square().sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None] == []

    @torch.no_grad()
    def test_padding_on_the_left_changes_nothing(self, tmp_path: Path) -> None:
        network, ids = self.network(tmp_path), torch.randint(0, V, (2, 11))
        more, ones = torch.full((2, 6), self.pad), torch.ones_like(ids)
        padded = network(torch.cat([more, ids], 1), torch.cat([torch.zeros_like(more), ones], 1))
        assert_close(padded[:, 6:], network(ids))


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("past", [0, 1, 17])
@torch.no_grad()
def test_both_streams_with_memories(past: int, side: str, tmp_path: Path) -> None:
    theirs = reference("XLNetModel", mem_len=11)
    network, mask = opened(theirs, tmp_path).network, padding_mask(side)
    ids, types = torch.randint(0, V, mask.shape), torch.randint(3, mask.shape)
    permutation_mask, target_mapping = orders(3, 9, 4)
    target_mapping = target_mapping * mask[:, None, :]  # rows of padding ask for nothing
    before = memories(past)
    expected = theirs(
        ids,
        attention_mask=mask.float(),
        token_type_ids=types,
        mems=theirs_of(before),
        perm_mask=permutation_mask,
        target_mapping=target_mapping,
        output_hidden_states=True,
    )
    hidden, query, kept = network.two_stream(ids, mask, types, permutation_mask, target_mapping, before)
    assert_close(hidden[mask > 0], expected.hidden_states[-2][mask > 0])
    asked = target_mapping.any(-1) & sees_anything(mask, permutation_mask, target_mapping, past)
    assert_close(query[asked], expected.last_hidden_state[asked])
    for found, other in zip(kept, expected.mems, strict=True):
        assert found.shape == (3, min(past + 9, 11), D)
        real = torch.cat([torch.ones(3, past), mask], 1)[:, -11:] > 0
        assert_close(found[real], other.transpose(0, 1)[real])


def sees_anything(mask: Tensor, permutation_mask: Tensor, target_mapping: Tensor, past: int) -> Tensor:
    """[B, K]: where a query sees nothing, the reference gives it the mean of everything."""
    seen = ((1 - permutation_mask) * mask[:, None, :]).sum(-1, keepdim=True) + past  # [B, T, 1]
    return (target_mapping @ seen)[..., 0] > 0


@pytest.mark.parametrize(
    "options",
    [{}, {"mem_len": None}, {"mem_len": 5}, {"reuse_len": 4}, {"clamp_len": 3}, {"attn_type": "uni"}],
    ids=str,
)
@torch.no_grad()
def test_memories_go_on_from_segment_to_segment(options: dict[str, Any], tmp_path: Path) -> None:
    theirs = reference("XLNetLMHeadModel", **options)
    network, segments = opened(theirs, tmp_path).network, torch.randint(0, V, (3, 2, 7))
    mine, other = None, None
    for ids in segments:
        hidden, _, mine = network.two_stream(ids, memories=mine)
        found = theirs.transformer(ids, mems=other, use_mems=True)
        other = found.mems
        assert_close(hidden, found.last_hidden_state)
        for one, two in zip(mine, other, strict=True):
            assert_close(one, two.transpose(0, 1))


@torch.no_grad()
def test_the_logits_of_targets(tmp_path: Path) -> None:
    theirs = reference("XLNetLMHeadModel")
    task, ids = opened(theirs, tmp_path), torch.randint(0, V, (2, 9))
    permutation_mask, target_mapping = orders(2, 9, 3)
    _, query, _ = task.network.two_stream(ids, None, None, permutation_mask, target_mapping)
    expected = theirs(ids, perm_mask=permutation_mask, target_mapping=target_mapping).logits
    assert_close(task.head(query), expected)
    _, query, _ = task.network.two_stream(ids, target_mapping=target_mapping)
    assert_close(task.head(query), theirs(ids, target_mapping=target_mapping).logits)


# Ours alone.


def small(**arguments: Any) -> XLNet:
    torch.manual_seed(0)
    network = XLNet(**{"vocab_size": V, "d_model": D, "num_layers": 3, "num_heads": 5, **arguments}).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return network


@pytest.mark.parametrize("past", [0, 1, 17])
@torch.no_grad()
def test_hidden_tokens_are_asked_for_with_one_stream(past: int) -> None:
    network, mask = small(), padding_mask("left")
    ids, types, before = torch.randint(0, V, mask.shape), torch.randint(3, mask.shape), memories(past)
    hidden = torch.rand(mask.shape) < 0.3
    states, kept = network.predict(ids, hidden, mask, types, before)
    every = torch.eye(9).expand(3, 9, 9)
    content, query, others = network.two_stream(ids, mask, types, hidden[:, None].expand(3, 9, 9), every, before)
    assert query is not None
    assert_close(states[mask > 0], torch.where(hidden[..., None], query, content)[mask > 0])
    other = torch.where(hidden, torch.randint_like(ids, V), ids)
    assert torch.equal(network.predict(other, hidden, mask, types, before)[0], states)
    readable = torch.cat([torch.ones(3, past), mask * ~hidden], 1) > 0
    for one, two in zip(kept, others, strict=True):
        assert_close(one[readable], two[readable])


@torch.no_grad()
def test_a_target_learns_nothing_of_itself_or_of_later_targets() -> None:
    network, ids = small(), torch.randint(0, V, (1, 9))
    turn = torch.randperm(9)
    permutation_mask = (turn[:, None] <= turn[None, :])[None]
    every = torch.eye(9)[None]
    _, query, _ = network.two_stream(ids, None, None, permutation_mask, every)
    for place in range(9):
        other = ids.clone()
        other[0, place] = (ids[0, place] + 1) % V
        _, found, _ = network.two_stream(other, None, None, permutation_mask, every)
        assert found is not None
        assert query is not None
        changed = (found != query).any(-1)[0]
        assert torch.equal(changed, turn > turn[place])


@torch.no_grad()
def test_a_row_without_memories_beside_one_with() -> None:
    network, ids, before = small(), torch.randint(0, V, (2, 7)), memories(5, 2)
    mask = torch.ones(2, 12, dtype=torch.int64)
    mask[1, :5] = 0
    found = network.two_stream(ids, mask, memories=before)[0]
    with_all = network.two_stream(ids, memories=before)[0]
    assert_close(found[0], with_all[0])
    assert_close(found[1], network(ids)[1])
    assert (found[1] - with_all[1]).abs().max() > 1e-3


@torch.no_grad()
def test_the_relative_shift_is_a_choice_of_distances() -> None:
    for length, past in [(1, 0), (1, 4), (5, 0), (5, 1), (4, 9)]:
        total = past + length
        scores = torch.arange(total, -length, -1.0).expand(2, 3, length, -1)  # each column's own distance
        expected = past + torch.arange(length)[:, None] - torch.arange(total)[None, :]
        assert torch.equal(relative_shift(scores, total), expected.float().expand(2, 3, -1, -1))
        places = torch.randint(length, (2, length))
        assert torch.equal(
            relative_pick(scores, places, total), expected.float()[places][:, None].expand(-1, 3, -1, -1)
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (memories(4)[:2], "2 memories, expected 3: one a layer"),
        (memories(4, 2), r"mems.0 is \[2, 4, 30\], expected \[3, any length, 30\]"),
        ((*memories(4)[:2], *memories(5)[:1]), r"mems.2 is \[3, 5, 30\], expected \[3, 4, 30\]"),
        (tuple(torch.zeros(3, 30) for _ in range(3)), r"mems.0 is \[3, 30\], expected \[3, any length, 30\]"),
        (tuple(torch.zeros(3, 4, 29) for _ in range(3)), r"mems.0 is \[3, 4, 29\]"),
    ],
)
def test_memories_that_do_not_fit_are_refused(given: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small().two_stream(torch.ones(3, 7, dtype=torch.int64), memories=given)


def test_a_mask_of_another_length_is_refused() -> None:
    ids = torch.ones(3, 7, dtype=torch.int64)
    with pytest.raises(ValueError, match="attention_mask has 9 columns, expected 7, or 11 with memories"):
        small().two_stream(ids, torch.ones(3, 9, dtype=torch.int64), memories=memories(4))


@pytest.mark.parametrize("name", ["memory_length", "reuse_length", "clamp_length"])
def test_lengths_of_nothing_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 0: expected at least 1, or null"):
        small(**{name: 0})


def test_checkpointed_activations_change_nothing() -> None:
    gradients = []
    for switched in (False, True):
        network = small(dropout=0.1, activation_checkpointing=switched).train()
        ids = torch.arange(18).view(2, 9)
        torch.manual_seed(1)
        order = orders(2, 9, 4)
        query = network.two_stream(ids, None, ids % 2, *order)[1]
        assert query is not None
        query.square().sum().backward()
        gradients.append([p.grad for p in network.parameters()])
    torch.testing.assert_close(*gradients)


@torch.no_grad()
def test_half_precision_by_autocast() -> None:
    network, ids = small(), torch.randint(0, V, (2, 9))
    order = orders(2, 9, 4)
    expected = network.two_stream(ids, None, ids % 2, *order)[1]
    with torch.autocast("cpu", torch.bfloat16):
        found = network.two_stream(ids, None, ids % 2, *order)[1]
    assert found is not None
    assert expected is not None
    assert (found - expected).abs().mean() < 0.05
