"""The recurrent encoder-decoder against layers of `torch.nn` and the papers' formulas."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from plmlight import LSTMSeq2Seq
from plmlight.nn import Cache

V, D, LAYERS = 50, 16, 2
KINDS: dict[str, dict[str, Any]] = {
    "general": {"target_vocab_size": 43},
    "dot": {"attention": "dot", "num_decoder_layers": 3},
    "additive": {"attention": "additive"},
    "unfed": {"attention": "additive", "input_feeding": False},
}
every = pytest.mark.parametrize("kind", KINDS)


def network(kind: str) -> LSTMSeq2Seq:
    torch.manual_seed(0)
    made = LSTMSeq2Seq(V, D, LAYERS, **KINDS[kind]).eval().requires_grad_(False)
    for parameter in made.parameters():
        parameter.mul_(4)  # weights large enough to matter
    return made


def written(made: LSTMSeq2Seq, source: Tensor, target: Tensor) -> Tensor:
    """One sentence [S] and its target [T] by `torch.nn.LSTM`, `torch.nn.LSTMCell` and equations: [T, D]."""
    encoder = nn.LSTM(D, D // 2, LAYERS, batch_first=True, bidirectional=True)
    encoder.load_state_dict(made.encoder.cells.state_dict())
    memory = encoder(made.token_table(source)[None])[0][0]  # [S, D]
    layers = made.num_decoder_layers
    start = torch.tanh(made.bridge(memory.mean(0))).unflatten(0, (layers, 2, D))
    fed = made.decoder.input_feeding
    cells = [nn.LSTMCell(2 * D if fed and i == 0 else D, D) for i in range(layers)]
    for i, cell in enumerate(cells):
        weights = made.decoder.lstm.cells
        cell.load_state_dict(
            {name: getattr(weights, f"{name}_l{i}") for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
        )
    states, feed, outs = [(part[0][None], part[1][None]) for part in start], torch.zeros(D), []
    attention: Any = made.decoder.attention
    for token in target:
        x = made.target_embedding(token)
        x = torch.cat([x, feed])[None] if fed else x[None]
        for i, cell in enumerate(cells):
            states[i] = cell(x, states[i])
            x = states[i][0]
        query = x[0]
        if attention.score is not None:
            scores = torch.tanh(attention.query(query) + attention.key(memory)) @ attention.score.weight[0]
        else:
            scores = memory @ (query if isinstance(attention.key, nn.Identity) else attention.key.weight.T @ query)
        context = torch.softmax(scores, 0) @ memory
        feed = torch.tanh(made.decoder.combine(torch.cat([context, query])))
        outs.append(feed)
    return torch.stack(outs)


@every
@pytest.mark.parametrize("side", ["right", "left"])
def test_hidden_states_are_those_of_torch(kind: str, side: str) -> None:
    made = network(kind)
    lengths = [7, 1, 4]
    source, target = torch.randint(V, (3, 7)), torch.randint(43, (3, 5))
    mask = torch.stack([(torch.arange(7) < n) for n in lengths]).long()
    mask = mask.flip(1) if side == "left" else mask
    found = made(source, target, mask)
    for i in range(3):
        expected = written(made, source[i, mask[i] == 1], target[i])
        assert (found[i] - expected).abs().max() < 1e-5


@pytest.mark.parametrize("side", ["right", "left"])
def test_the_memory_is_that_of_torch(side: str) -> None:
    made, lengths = network("general"), torch.tensor([7, 1, 4])
    source = torch.randint(V, (3, 7))
    mask = (torch.arange(7) < lengths[:, None]).long()
    theirs = nn.LSTM(D, D // 2, LAYERS, batch_first=True, bidirectional=True)
    theirs.load_state_dict(made.encoder.cells.state_dict())
    packed = pack_padded_sequence(made.token_table(source), lengths, batch_first=True, enforce_sorted=False)
    expected, _ = pad_packed_sequence(theirs(packed)[0], batch_first=True)
    if side == "left":
        source = torch.stack([row.roll(7 - int(n)) for row, n in zip(source, lengths, strict=True)])
        expected = torch.stack([row.roll(7 - int(n), 0) for row, n in zip(expected, lengths, strict=True)])
        mask = mask.flip(1)
    assert (made.encode(source, mask) - expected).abs().max() < 1e-5


@every
def test_step_by_step_gives_what_all_at_once_gives(kind: str) -> None:
    made = network(kind)
    source, target = torch.randint(V, (2, 6)), torch.randint(43, (2, 7))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    expected = made(source, target, mask)
    cache: Cache | None = made.empty_cache(made.encode(source, mask))
    found = []
    for first, last in [(0, 3), (3, 4), (4, 7)]:
        hidden, cache = made.decode(target[:, first:last], None, mask, cache)
        found.append(hidden)
    assert (torch.cat(found, 1) - expected).abs().max() < 1e-5
    assert cache is not None
    assert len(cache) == len(made.cache_names())
    coverage = dict(zip(made.cache_names(), cache, strict=True))["state.coverage"]
    assert torch.allclose(coverage.sum(1), torch.full((2,), 7.0), atol=1e-5)
    assert (coverage[1, 4:] < 1e-6).all()


@every
def test_padding_of_the_target_leaves_the_state(kind: str) -> None:
    made = network(kind)
    source, target = torch.randint(V, (2, 6)), torch.randint(43, (2, 7))
    mask = torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 0, 0]])
    memory = made.encode(source)
    hidden, cache = made.decode(target, None, None, made.empty_cache(memory), mask)
    alone, alone_cache = made.decode(target[1:, 2:5], None, None, made.empty_cache(memory[1:]))
    assert (hidden[1:, 2:5] - alone).abs().max() < 1e-5
    assert cache is not None
    assert alone_cache is not None
    for part, other in zip(cache, alone_cache, strict=True):
        assert (part[1:] - other).abs().max() < 1e-5


def test_an_odd_width_is_refused() -> None:
    with pytest.raises(ValueError, match="d_model 15: expected an even width"):
        LSTMSeq2Seq(V, 15)
