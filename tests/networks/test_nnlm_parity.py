"""The neural probabilistic language model against its formula in numpy; its parts against `torch.nn.Linear`'s."""

from functools import partial

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from plmlight import NNLM, CausalLM
from plmlight.heads import Softmax

V = 40
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)
direct = pytest.mark.parametrize("direct", [False, True])


def task(direct: bool, order: int = 4) -> CausalLM:
    torch.manual_seed(0)
    network = NNLM(V, 10, order, d_embedding=6, direct_connections=direct)
    made = CausalLM(network, tie_head=False, projection=Softmax(bias=True)).eval().requires_grad_(False)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return made


def formula(made: CausalLM, ids: NDArray[np.int64]) -> NDArray[np.float32]:
    """y = b + W x + U tanh(d + H x) of the paper's section 2, word by word: the logits [T, V] of a text [T]."""
    network, weights = made.network, {name: tensor.numpy() for name, tensor in made.state_dict().items()}
    assert isinstance(network, NNLM)
    table, units = weights["network.token_table.weight"], network.d_model
    out = []
    for t in range(len(ids)):
        places = range(t - network.order + 2, t + 1)
        x = np.concatenate([table[ids[i]] if i >= 0 else np.zeros(6, np.float32) for i in places])
        hidden = np.tanh(weights["network.hidden.bias"] + weights["network.hidden.weight"] @ x)
        y = weights["head.bias"] + weights["head.weight"][:, :units] @ hidden
        out.append(y + weights["head.weight"][:, units:] @ x if network.direct_connections else y)
    return np.stack(out)


@direct
@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("length", [1, 2, 9])
def test_logits_are_the_formulas(direct: bool, order: int, length: int) -> None:
    made, ids = task(direct, order), torch.randint(V, (3, length))
    found = made(ids)["logits"]
    for row, logits in zip(ids, found, strict=True):
        assert_close(logits, torch.from_numpy(formula(made, row.numpy())))


def test_one_word_before_is_a_layer_of_torch() -> None:
    made, ids = task(False, 2), torch.randint(V, (3, 5))
    layer = torch.nn.Linear(6, 10)
    layer.load_state_dict(made.network.get_submodule("hidden").state_dict())
    assert_close(made.network(ids)[0], layer(made.network.token_embedding(ids)).tanh())


@direct
def test_it_goes_on_where_it_stopped_with_padding_on_either_side(direct: bool) -> None:
    made, ids = task(direct), torch.randint(V, (4, 10))
    network = made.network
    mask = torch.ones(4, 10, dtype=torch.int64)
    mask[0, :4] = mask[1, 6:] = mask[2, :] = 0
    whole, last = network(ids, mask, network.empty_cache(4))
    for cut in (1, 3, 9):
        first, cache = network(ids[:, :cut], mask[:, :cut], network.empty_cache(4))
        second, cache = network(ids[:, cut:], mask, cache)
        together = torch.cat([first, second], 1)
        assert_close(together[mask > 0], whole[mask > 0])
        assert torch.equal(cache[0], last[0])
    for row in (0, 1, 3):
        seen = mask[row].bool()
        assert_close(whole[row, seen], network(ids[row, seen][None])[0][0])
    assert last[0][2].eq(0).all()
    assert last[0][3].tolist() == (ids[3, -3:] + 1).tolist()


def test_another_document_is_not_seen() -> None:
    network, ids = task(True).network, torch.randint(V, (1, 8))
    whole = network(ids, torch.tensor([[1, 1, 1, 2, 2, 2, 2, 0]]))[0]
    assert_close(whole[:, :3], network(ids[:, :3])[0])
    assert_close(whole[:, 3:7], network(ids[:, 3:7])[0])


def test_an_order_of_one_is_refused() -> None:
    with pytest.raises(ValueError, match="order 1: expected at least 2"):
        NNLM(V, order=1)


def test_a_head_that_can_not_be_the_table_is_refused() -> None:
    with pytest.raises(ValueError, match="the token vectors are 6 wide and the hidden states 10; set tie_head false"):
        CausalLM(NNLM(V, 10, d_embedding=6))
