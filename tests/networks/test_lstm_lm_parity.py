"""The recurrent language model against layers of `torch.nn.LSTM`, and its state against none."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from plmlight import LSTMLM
from plmlight.nn import LSTM, Cache

V = 40
KINDS: dict[str, dict[str, Any]] = {
    "zaremba": {"d_model": 12, "num_layers": 2},
    "awd": {"d_model": 14, "d_embedding": 8, "num_layers": 3, "locked_dropout": True, "weight_dropout": 0.5},
}
every = pytest.mark.parametrize("kind", KINDS)
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def network(kind: str) -> LSTMLM:
    torch.manual_seed(0)
    return LSTMLM(V, initial_range=0.5, **KINDS[kind]).eval().requires_grad_(False)


def layers(made: LSTMLM) -> list[LSTM]:
    return [layer for layer in made.layers if isinstance(layer, LSTM)]


def reference(made: LSTMLM, ids: Tensor) -> tuple[Tensor, Cache]:
    x, state = made.token_table(ids), []
    for layer in layers(made):
        theirs = torch.nn.LSTM(layer.cells.input_size, layer.hidden_dim, batch_first=True)
        theirs.load_state_dict(layer.cells.state_dict())
        x, (hidden, cell) = theirs(x)
        state += [hidden[0], cell[0]]
    return x, tuple(state)


@every
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 33)])
def test_hidden_states_are_those_of_torch(kind: str, shape: tuple[int, int]) -> None:
    made, ids = network(kind), torch.randint(V, shape)
    expected, state = reference(made, ids)
    assert_close(made(ids)[0], expected)
    found, cache = made(ids, None, made.empty_cache(shape[0]))
    assert_close(found, expected)
    assert len(cache) == len(made.cache_names()) == 2 * len(made.layers)
    for mine, theirs in zip(cache, state, strict=True):
        assert_close(mine, theirs)


def test_zarembas_layers_are_one_lstm_of_torch() -> None:
    made, ids = network("zaremba"), torch.randint(V, (3, 9))
    theirs = torch.nn.LSTM(12, 12, 2, batch_first=True)
    for i, layer in enumerate(layers(made)):
        for name, weight in layer.cells.state_dict().items():
            getattr(theirs, name.replace("l0", f"l{i}")).data.copy_(weight)
    assert_close(made(ids)[0], theirs(made.token_table(ids))[0])


@every
def test_it_goes_on_where_it_stopped_with_padding_on_either_side(kind: str) -> None:
    made, ids = network(kind), torch.randint(V, (4, 10))
    mask = torch.ones(4, 10, dtype=torch.int64)
    mask[0, :4] = mask[1, 6:] = mask[2, :] = 0
    whole, last = made(ids, mask, made.empty_cache(4))
    first, cache = made(ids[:, :3], mask[:, :3], made.empty_cache(4))
    second, cache = made(ids[:, 3:], mask, cache)
    assert_close(torch.cat([first, second], 1), whole)
    for mine, theirs in zip(cache, last, strict=True):
        assert_close(mine, theirs)
    for row in (0, 1, 3):
        seen = mask[row].bool()
        expected, state = reference(made, ids[row, seen][None])
        assert_close(whole[row, seen], expected[0])
        assert whole[row, ~seen].eq(0).all()
        for mine, theirs in zip(last, state, strict=True):
            assert_close(mine[row], theirs[0])
    assert all(part[2].eq(0).all() for part in last)


def test_a_dropped_word_is_dropped_wherever_it_stands() -> None:
    made = LSTMLM(V, 12, 1, dropout=0.0, embedding_dropout=0.5)
    ids = torch.arange(V).repeat(2, 2)
    vectors = made.word_dropout(made.token_table(ids), ids)
    out = vectors.eq(0).all(-1)
    assert 5 < out[0, :V].sum() < 35
    assert torch.equal(out[0, :V], out[0, V:])
    assert torch.equal(out[0], out[1])
    assert_close(vectors[~out], 2 * made.token_table(ids)[~out])


def test_locked_dropout_is_the_same_at_every_step_and_another_in_every_row() -> None:
    made = LSTMLM(V, 12, 1, dropout=0.5, locked_dropout=True)
    out = made.input_dropout(torch.ones(50, 7, 12))
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert len(out[:, 0].unique(dim=0)) > 40
    assert set(out.unique().tolist()) == {0.0, 2.0}
    assert out.mean() == pytest.approx(1.0, abs=0.15)


@pytest.mark.parametrize("padded", [False, True])
def test_weight_dropout_zeroes_weights_from_state_to_state_while_training(padded: bool) -> None:
    made = LSTMLM(V, 12, 1, dropout=0.0, weight_dropout=1.0, initial_range=0.5)
    mask = torch.ones(3, 6, dtype=torch.int64)
    mask[0, :2] = 0
    ids = torch.randint(V, (3, 6))
    found = made.train()(ids, mask if padded else None)[0]
    cells = layers(made)[0].cells
    found.sum().backward()
    gradients = {name: weight.grad for name, weight in cells.named_parameters()}
    assert gradients["weight_hh_l0"].eq(0).all()  # type: ignore[union-attr]
    assert gradients["weight_ih_l0"].ne(0).any()  # type: ignore[union-attr]
    with torch.no_grad():
        dict(cells.named_parameters())["weight_hh_l0"].zero_()
    assert_close(made.eval()(ids, mask if padded else None)[0], found)
