"""The bidirectional LSTM against `torch.nn.LSTM`."""

from functools import partial

import pytest
import torch

from plmlight import BiLSTM, SentenceEmbedding

V = 40
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def network(layers: int) -> BiLSTM:
    torch.manual_seed(0)
    made = BiLSTM(V, 12, layers, d_embedding=7).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.mul_(5)
    return made


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 33)])
def test_hidden_states_are_those_of_torch(layers: int, shape: tuple[int, int]) -> None:
    made, ids = network(layers), torch.randint(V, shape)
    theirs = torch.nn.LSTM(7, 6, layers, batch_first=True, bidirectional=True)
    theirs.load_state_dict(made.lstm.cells.state_dict())
    assert_close(made(ids), theirs(made.token_table(ids))[0])


def test_padding_on_either_side_and_other_rows_change_nothing() -> None:
    made, ids = network(2), torch.randint(V, (3, 9))
    mask = torch.ones(3, 9, dtype=torch.int64)
    mask[0, :4] = mask[1, 5:] = 0
    found = made(ids, mask)
    for row, seen in enumerate(mask.bool()):
        assert_close(found[row, seen], made(ids[row, seen][None])[0])
        assert found[row, ~seen].eq(0).all()


@pytest.mark.parametrize("locked", [True, False])
def test_dropout_that_is_locked_leaves_out_the_same_units_at_all_tokens_of_a_row(locked: bool) -> None:
    torch.manual_seed(1)
    made = BiLSTM(V, 12, d_embedding=7, locked_dropout=locked).train()
    dropped = made(torch.randint(V, (4, 9))).eq(0)  # [B, T, D]
    assert 0.3 < dropped.float().mean() < 0.7
    assert bool((dropped == dropped[:, :1]).all()) == locked
    assert not torch.equal(dropped[0, 0], dropped[1, 0])


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_a_text_is_embedded_without_its_padding(pooling: str) -> None:
    task = SentenceEmbedding(network(1), pooling).eval()  # type: ignore[arg-type]
    ids, mask = torch.randint(V, (2, 8)), torch.tensor([[1] * 8, [1] * 5 + [0] * 3])
    found = task(ids, mask)["sentence_embedding"]
    assert_close(found[1], task(ids[1:, :5])["sentence_embedding"][0])


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match="d_model 13: expected an even width"):
        BiLSTM(V, 13)
