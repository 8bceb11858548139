"""What holds for every GPT, whatever its positions, windows and norms."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from plmlight import GPT
from plmlight.nn import config_of

V, LENGTH = 31, 64
KINDS: dict[str, dict[str, Any]] = {
    "gpt1": {"norm_first": False},
    "gpt2": {},
    "gpt3": {"windows": (None, 5)},
    "sinusoidal": {"positions": "sinusoidal"},
    "rotary": {"positions": "rotary", "bias": False, "activation": "silu", "d_ff": 50},
}
every = pytest.mark.parametrize("kind", KINDS)
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def network(kind: str) -> GPT:
    made = GPT(V, d_model=24, num_layers=3, num_heads=4, max_length=LENGTH, **KINDS[kind]).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    return made


@torch.no_grad()
def hidden(made: GPT, ids: Tensor, mask: Tensor | None = None) -> Tensor:
    out: Tensor = made(ids, mask)[0]
    return out


@every
def test_a_row_does_not_depend_on_its_batch(kind: str) -> None:
    made, ids = network(kind), torch.randint(V, (32, 17))
    together = hidden(made, ids)
    alone = torch.cat([hidden(made, row[None]) for row in ids])
    assert_close(together, alone)


@every
@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_changes_nothing(kind: str, side: str) -> None:
    made, ids = network(kind), torch.randint(V, (2, 11))
    padding, ones = torch.zeros(2, 6, dtype=torch.int64), torch.ones_like(ids)
    order = slice(None, None, -1 if side == "left" else 1)
    padded = hidden(made, torch.cat([ids, padding][order], 1), torch.cat([ones, padding][order], 1))
    kept = padded[:, 6:] if side == "left" else padded[:, :11]
    assert_close(kept, hidden(made, ids))


@every
def test_packed_documents_do_not_see_each_other(kind: str) -> None:
    made = network(kind)
    documents = [torch.randint(V, (1, n)) for n in (7, 1, 12)]
    numbers = torch.cat([torch.full_like(d, i + 1) for i, d in enumerate(documents)], 1)
    packed = hidden(made, torch.cat(documents, 1), numbers)
    for found, document in zip(torch.split(packed, [7, 1, 12], 1), documents, strict=True):
        assert_close(found, hidden(made, document))


@every
@torch.no_grad()
def test_a_cache_changes_nothing(kind: str) -> None:
    made, ids = network(kind), torch.randint(V, (2, 20))
    whole = hidden(made, ids)
    for cuts in ([1] * 20, [7, 1, 12], [20]):
        cache = made.empty_cache(2)
        pieces = []
        for piece in torch.split(ids, cuts, 1):
            out, cache = made(piece, None, cache)
            pieces.append(out)
        assert_close(torch.cat(pieces, 1), whole)
        assert cache is not None
        assert all(tensor.shape == (2, 4, 20, 6) for tensor in cache)
        assert len(cache) == len(made.cache_names()) == 6


@every
def test_a_mask_of_ones_changes_nothing(kind: str) -> None:
    made, ids = network(kind), torch.randint(V, (2, 13))
    assert_close(hidden(made, ids, torch.ones_like(ids)), hidden(made, ids))


@every
def test_no_token_sees_a_later_one(kind: str) -> None:
    made, ids = network(kind), torch.randint(V, (1, 13))
    changed = ids.clone()
    changed[:, 8] = (ids[:, 8] + 1) % V
    before, after = hidden(made, ids), hidden(made, changed)
    assert torch.equal(before[:, :8], after[:, :8])
    assert (before[:, 8:] != after[:, 8:]).any(-1).all()


def test_a_window_hides_what_lies_before_it() -> None:
    made, ids = GPT(V, 24, 1, 4, max_length=LENGTH, windows=(3,)).eval(), torch.randint(V, (1, 9))
    changed = ids.clone()
    changed[:, 2] = (ids[:, 2] + 1) % V
    moved = (hidden(made, ids) != hidden(made, changed)).any(-1)[0]
    assert moved.tolist() == [False, False, True, True, True, False, False, False, False]


@every
def test_gradients_reach_every_parameter(kind: str) -> None:
    made = network(kind).train()
    made(torch.randint(V, (2, LENGTH)))[0].square().sum().backward()
    assert [name for name, p in made.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_activation_checkpointing_changes_no_gradient() -> None:
    ids = torch.randint(V, (2, 9))
    gradients = []
    plain = GPT(V, 24, 3, 4, max_length=LENGTH, windows=(None, 3))
    for saving in (False, True):
        made = GPT(V, 24, 3, 4, max_length=LENGTH, windows=(None, 3), activation_checkpointing=saving)
        made.load_state_dict(plain.state_dict())
        torch.manual_seed(3)
        made(ids)[0].square().sum().backward()
        gradients.append([p.grad for p in made.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert other is not None
        assert torch.equal(one, other)


def test_more_tokens_than_positions_are_refused() -> None:
    with pytest.raises(ValueError, match="65 tokens are more than max_length 64"):
        network("gpt2")(torch.zeros(1, 65, dtype=torch.int64))
    with pytest.raises(ValueError, match="65 tokens are more than max_length 64"):
        network("gpt2")(torch.zeros(2, 66, dtype=torch.int64), torch.tensor([[0] + [1] * 65, [0, 0] + [1] * 64]))


def test_a_row_of_several_documents_may_be_longer_than_the_positions() -> None:
    hidden, _ = network("gpt2")(torch.zeros(1, 100, dtype=torch.int64), torch.tensor([[1] * 50 + [2] * 50]))
    torch.testing.assert_close(hidden[:, :50], hidden[:, 50:], atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("windows", [(), (0,), (None, -3)])
def test_windows_must_be_positive(windows: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="expected positive lengths or null"):
        GPT(V, 24, 1, 4, windows=windows)


def test_everything_but_the_vocabulary_has_a_default() -> None:
    with torch.device("meta"):
        made = GPT(vocab_size=96)
    assert (made.d_model, made.num_layers, made.num_heads, made.max_length, made.pad_token_id) == (768, 12, 12, 1024, 0)
    assert config_of(made)["init_args"]["vocab_size"] == 96
