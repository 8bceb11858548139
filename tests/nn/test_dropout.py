import pytest
import torch
from torch.nn import functional as F

from plmlight.nn import Dropout, Mask, dropped
from plmlight.nn.attention import attend


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_share_that_is_dropped_and_the_mean_are_right(p: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(1_000_003)
    out = dropped(x, p)
    assert (out == 0).float().mean().item() == pytest.approx(p, abs=0.002)
    assert out.mean().item() == pytest.approx(1, abs=0.01)
    assert out.unique().tolist() == pytest.approx([0, 1 / (1 - p)], rel=1e-3)


def test_each_lane_of_a_word_drops_as_often_and_by_itself() -> None:
    torch.manual_seed(0)
    lanes = (dropped(torch.ones(400_000), 0.3) == 0).view(-1, 4).double()
    assert lanes.mean(0).tolist() == pytest.approx([0.3] * 4, abs=0.005)
    together = torch.corrcoef(lanes.T) - torch.eye(4)
    assert together.abs().max().item() < 0.01


def test_the_gradient_goes_where_the_value_went() -> None:
    x = torch.randn(3, 5, 7, requires_grad=True)
    out = dropped(x, 0.4)
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad == 0, out == 0)
    torch.testing.assert_close(x.grad * x, out)


def test_a_seed_gives_the_same_mask_again_and_evaluation_none() -> None:
    x, module = torch.randn(64, 9), Dropout(0.2)
    torch.manual_seed(3)
    first = module(x)
    torch.manual_seed(3)
    assert torch.equal(first, module(x))
    assert torch.equal(module.eval()(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros_like(x))


@pytest.mark.parametrize("kind", ["bias", "causal", "all"])
def test_attention_that_drops_next_to_nothing_is_that_of_torch(kind: str) -> None:
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 8, requires_grad=True) for _ in range(3))
    bias = torch.randn(2, 1, 5, 5) if kind == "bias" else None
    mask = Mask(bias, kind == "causal")
    out = attend(query, key, value, mask, None, 1e-9)  # below what the lanes resolve
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, is_causal=kind == "causal")
    torch.testing.assert_close(out, expected.transpose(1, 2).flatten(2))


def test_attention_drops_weights_and_keeps_the_mean() -> None:
    torch.manual_seed(0)
    query, key = torch.zeros(1, 1, 2000, 4), torch.zeros(1, 1, 50, 4)
    out = attend(query, key, torch.ones(1, 1, 50, 4), Mask(), None, 0.25)
    assert out.mean().item() == pytest.approx(1, abs=0.02)
    assert out.std().item() == pytest.approx((0.25 / 0.75 / 50) ** 0.5, rel=0.05)
