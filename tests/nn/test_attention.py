import math

import pytest
import torch
from torch import Tensor, nn

from plmlight.nn import CrossAttention, Mask, RotaryPositions, SelfAttention, bias_of, triangle

B, T, S, D, H = 3, 7, 5, 30, 5


def reference(source: int) -> nn.MultiheadAttention:
    made = nn.MultiheadAttention(D, H, batch_first=True, kdim=source, vdim=source)
    assert made.in_proj_bias is not None
    nn.init.normal_(made.in_proj_bias)
    return made


def self_attention(like: nn.MultiheadAttention) -> SelfAttention:
    made = SelfAttention(D, H)
    state = {"qkv.weight": like.in_proj_weight, "qkv.bias": like.in_proj_bias}
    made.load_state_dict(state | {"out.weight": like.out_proj.weight, "out.bias": like.out_proj.bias})
    return made


@pytest.mark.parametrize("causal", [False, True])
def test_self_attention_equals_torchs(causal: bool) -> None:
    theirs = reference(D)
    x = torch.randn(B, T, D)
    hidden = ~triangle(T, T) if causal else None
    expected, _ = theirs(x, x, x, attn_mask=hidden, need_weights=False)
    found, _ = self_attention(theirs)(x, Mask(causal=causal))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_an_additive_bias_equals_torchs() -> None:
    theirs = reference(D)
    x, bias = torch.randn(B, T, D), torch.randn(B, H, T, T)
    expected, _ = theirs(x, x, x, attn_mask=bias.flatten(0, 1), need_weights=False)
    found, _ = self_attention(theirs)(x, Mask(bias))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_cross_attention_to_another_width_equals_torchs() -> None:
    theirs = reference(12)
    ours = CrossAttention(D, H, memory_dim=12)
    assert theirs.in_proj_bias is not None
    ours.load_state_dict(
        {
            "query.weight": theirs.q_proj_weight,
            "query.bias": theirs.in_proj_bias[:D],
            "key_value.weight": torch.cat([theirs.k_proj_weight, theirs.v_proj_weight]),
            "key_value.bias": theirs.in_proj_bias[D:],
            "out.weight": theirs.out_proj.weight,
            "out.bias": theirs.out_proj.bias,
        }
    )
    x, memory = torch.randn(B, T, D), torch.randn(B, S, 12)
    padding = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0]])
    expected, _ = theirs(x, memory, memory, key_padding_mask=padding == 0, need_weights=False)
    mask = Mask(bias_of((padding > 0)[:, None].expand(B, T, S), torch.float32))
    torch.testing.assert_close(ours(x, ours.remember(memory), mask), expected, atol=1e-5, rtol=0)


def test_the_scale_multiplies_the_scores() -> None:
    plain = SelfAttention(D, H)
    scaled = SelfAttention(D, H, scale=1.0)
    scaled.load_state_dict(plain.state_dict())
    with torch.no_grad():
        scaled.qkv.weight[:D] /= math.sqrt(D / H)
        scaled.qkv.bias[:D] /= math.sqrt(D / H)
    x = torch.randn(B, T, D)
    torch.testing.assert_close(scaled(x, Mask())[0], plain(x, Mask())[0], atol=1e-5, rtol=0)


def test_heads_may_be_wider_than_their_share() -> None:
    attention = SelfAttention(D, H, head_dim=8)
    out, (key, value) = attention(torch.randn(B, T, D), Mask())
    assert out.shape == (B, T, D)
    assert key.shape == value.shape == (B, H, T, 8)


@pytest.mark.parametrize("rotary", [None, RotaryPositions(D // H)])
def test_the_past_stands_in_for_the_tokens_before(rotary: RotaryPositions | None) -> None:
    attention = SelfAttention(D, H, rotary=rotary)
    x, positions = torch.randn(B, T, D), torch.arange(T)[None]
    whole, _ = attention(x, Mask(causal=True), positions)
    _, past = attention(x[:, :4], Mask(causal=True), positions[:, :4])
    rest, present = attention(x[:, 4:], Mask(bias_of(triangle(3, T), x.dtype)), positions[:, 4:], past)
    torch.testing.assert_close(rest, whole[:, 4:], atol=1e-5, rtol=0)
    assert present[0].shape == (B, H, T, D // H)


def test_a_row_that_sees_nothing_stays_a_number() -> None:
    attention = SelfAttention(D, H)
    out, _ = attention(torch.randn(1, T, D), Mask(bias_of(torch.zeros(T, T, dtype=torch.bool), torch.float32)))
    assert out.isfinite().all()


def test_dropout_acts_on_training_only() -> None:
    attention = SelfAttention(D, H, dropout=0.5)
    x = torch.randn(B, T, D)

    def run() -> Tensor:
        out: Tensor = attention(x, Mask())[0]
        return out

    assert not torch.equal(run(), run())
    attention.eval()
    assert torch.equal(run(), run())


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="d_model 30 is not a multiple of num_heads 4"):
        SelfAttention(30, 4)
