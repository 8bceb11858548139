import pytest
import torch
import torch.nn.functional as F
from torch import nn
from transformers.activations import ACT2FN

from plmlight.nn import FeedForward
from plmlight.nn.feed_forward import activation_function


@pytest.mark.parametrize(
    ("ours", "theirs"), [("gelu", "gelu"), ("gelu_tanh", "gelu_new"), ("relu", "relu"), ("silu", "silu")]
)
def test_activations_equal_the_references(ours: str, theirs: str) -> None:
    x = torch.linspace(-6, 6, 301)
    torch.testing.assert_close(activation_function(ours)(x), ACT2FN[theirs](x), atol=1e-6, rtol=0)


def test_gated_it_multiplies_the_activation_by_a_second_projection() -> None:
    block = FeedForward(6, 9, activation="silu", gated=True, bias=False)
    x = torch.randn(2, 3, 6)
    assert block.gate is not None
    expected = (F.silu(x @ block.gate.weight.T) * (x @ block.up.weight.T)) @ block.down.weight.T
    torch.testing.assert_close(block(x), expected, atol=1e-6, rtol=0)


def test_bias_can_be_left_out() -> None:
    assert [name for name, _ in FeedForward(6, 9, bias=False).named_parameters()] == ["up.weight", "down.weight"]


def test_dropout_acts_on_the_inner_width() -> None:
    block = FeedForward(6, 400, activation="relu", dropout=0.5, bias=False)
    nn.init.ones_(block.up.weight)
    nn.init.ones_(block.down.weight)
    kept = block(torch.ones(1, 6))[0, 0].item() / 12  # each kept unit is 6, doubled
    assert 140 < kept < 260


def test_an_unknown_activation_is_refused() -> None:
    with pytest.raises(ValueError, match="activation 'gelu_tan' is not known; expected one of gelu, gelu_tanh"):
        FeedForward(6, 9, activation="gelu_tan")
