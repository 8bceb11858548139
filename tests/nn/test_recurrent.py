"""Recurrent blocks: their padding, their steps, and their graphs."""

from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from plmlight.nn import LSTM, GlobalAttention

assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)
MASK = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]])


def block(layers: int = 2, *, bidirectional: bool = False) -> LSTM:
    torch.manual_seed(0)
    return LSTM(6, 4, layers, bidirectional=bidirectional).eval().requires_grad_(False)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 3])
def test_it_is_that_of_torch(layers: int, bidirectional: bool) -> None:
    ours, x = block(layers, bidirectional=bidirectional), torch.randn(3, 7, 6)
    theirs = nn.LSTM(6, 4, layers, batch_first=True, bidirectional=bidirectional)
    theirs.load_state_dict(ours.cells.state_dict())
    width = 8 if bidirectional else 4
    state = tuple(torch.randn(3, width) for _ in range(2 * layers))

    def stacked(parts: tuple[Tensor, ...]) -> Tensor:
        return torch.cat([torch.stack(part.split(4, -1)) for part in parts])

    expected, (hidden, cell) = theirs(x, (stacked(state[::2]), stacked(state[1::2])))
    found, last = ours(x, None, state)
    assert_close(found, expected)
    assert_close(stacked(last[::2]), hidden)
    assert_close(stacked(last[1::2]), cell)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padding_anywhere_is_not_read(bidirectional: bool) -> None:
    ours, x = block(bidirectional=bidirectional), torch.randn(5, 5, 6)
    state = tuple(torch.randn(5, 8 if bidirectional else 4) for _ in range(4))
    found, last = ours(x, MASK, state)
    for i, row in enumerate(MASK.bool()):
        own = tuple(part[i : i + 1] for part in state)
        expected = (torch.zeros(1, 0, found.shape[-1]), own) if not row.any() else ours(x[i, row][None], None, own)
        assert_close(found[i, row][None], expected[0])
        assert found[i, ~row].eq(0).all()
        for part, other in zip(last, expected[1], strict=True):
            assert_close(part[i : i + 1], other)


def test_one_step_after_the_other_is_all_at_once() -> None:
    ours, x = block(), torch.randn(3, 7, 6)
    expected, expected_last = ours(x)
    state, outs = ours.empty_state(3, x.dtype, x.device), []
    for at in x.unbind(1):
        out, state = ours.step(at, state)
        outs.append(out)
    assert_close(torch.stack(outs, 1), expected)
    for part, other in zip(state, expected_last, strict=True):
        assert_close(part, other)


class Reading(nn.Module):
    def __init__(self, lstm: LSTM) -> None:
        super().__init__()
        self.lstm = lstm

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, ...]:
        out, state = self.lstm(x, mask)
        return out, *state


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("bidirectional", [False, True])
def test_its_graph_takes_any_lengths_and_padding(bidirectional: bool, tmp_path: Path) -> None:
    ours = block(bidirectional=bidirectional)
    example = torch.randn(2, 3, 6), torch.ones(2, 3, dtype=torch.int64)
    axes = ({0: "batch", 1: "length"}, {0: "batch", 1: "length"})
    program = torch.onnx.export(
        Reading(ours).eval(), example, dynamo=True, dynamic_shapes=axes, input_names=["x", "mask"], verbose=False
    )
    assert program is not None
    program.save(str(tmp_path / "x.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "x.onnx"))
    for mask in (MASK, torch.ones(1, 1, dtype=torch.int64), torch.ones(2, 9, dtype=torch.int64)):
        x = torch.randn(*mask.shape, 6)
        out, state = ours(x, mask)
        found = session.run(None, {"x": x.numpy(), "mask": mask.numpy()})
        for one, other in zip(found, (out, *state), strict=True):
            np.testing.assert_allclose(one, other.numpy(), atol=1e-5)


def test_additive_attention_is_its_formula() -> None:
    attention, query, memory = GlobalAttention(4, "additive", 6), torch.randn(2, 3, 4), torch.randn(2, 5, 6)
    context, weights = attention(query, attention.remember(memory), None)
    assert isinstance(attention.score, nn.Linear)
    assert isinstance(attention.key, nn.Linear)
    w, u, v = attention.query, attention.key.weight, attention.score.weight[0]
    for b, t in [(0, 0), (1, 2)]:
        scores = torch.stack([v @ torch.tanh(w(query[b, t]) + u @ memory[b, s]) for s in range(5)])
        assert_close(weights[b, t], scores.softmax(0))
        assert_close(context[b, t], scores.softmax(0) @ memory[b])


@pytest.mark.parametrize(
    ("kind", "width", "message"), [("bilinear", 4, "additive, dot, general"), ("dot", 6, "as wide as d_model 4")]
)
def test_what_cannot_be_compared_is_said(kind: str, width: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GlobalAttention(4, kind, width)  # type: ignore[arg-type]
