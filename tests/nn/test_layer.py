import pytest
import torch
from torch import nn

from plmlight.nn import CrossAttention, FeedForward, Mask, SelfAttention, TransformerLayer, bias_of, triangle

D, H, F = 30, 5, 50
NAMES = {
    "self_attn.in_proj_": "attention.qkv.",
    "self_attn.out_proj.": "attention.out.",
    "multihead_attn.out_proj.": "cross_attention.out.",
    "linear1.": "feed_forward.up.",
    "linear2.": "feed_forward.down.",
}


def layer(norm_first: bool, cross: bool = False) -> TransformerLayer:
    return TransformerLayer(
        SelfAttention(D, H),
        FeedForward(D, F, activation="relu"),
        lambda: nn.LayerNorm(D),
        norm_first=norm_first,
        cross_attention=CrossAttention(D, H) if cross else None,
    ).eval()


def fill(ours: TransformerLayer, theirs: nn.Module, norms: list[str]) -> None:
    state = {}
    for key, value in theirs.state_dict().items():
        if key.startswith("multihead_attn.in_proj_"):
            kind = key.removeprefix("multihead_attn.in_proj_")
            state[f"cross_attention.query.{kind}"] = value[:D]
            state[f"cross_attention.key_value.{kind}"] = value[D:]
            continue
        for old, new in [*NAMES.items(), *((f"norm{i + 1}.", f"{name}_norm.") for i, name in enumerate(norms))]:
            key = new + key.removeprefix(old) if key.startswith(old) else key
        state[key] = torch.randn_like(value) * 0.3
        value.copy_(state[key])
    ours.load_state_dict(state)


@pytest.mark.parametrize("norm_first", [False, True])
@torch.no_grad()
def test_it_equals_torchs_encoder_layer(norm_first: bool) -> None:
    theirs = nn.TransformerEncoderLayer(D, H, F, batch_first=True, norm_first=norm_first).eval()
    ours = layer(norm_first)
    fill(ours, theirs, ["attention", "feed_forward"])
    x, visible = torch.randn(2, 7, D), triangle(7, 7)
    found, _ = ours(x, Mask(bias_of(visible, x.dtype)))
    torch.testing.assert_close(found, theirs(x, src_mask=~visible), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm_first", [False, True])
@torch.no_grad()
def test_with_a_memory_it_equals_torchs_decoder_layer(norm_first: bool) -> None:
    theirs = nn.TransformerDecoderLayer(D, H, F, batch_first=True, norm_first=norm_first).eval()
    ours = layer(norm_first, cross=True)
    fill(ours, theirs, ["attention", "cross_attention", "feed_forward"])
    x, memory = torch.randn(2, 7, D), torch.randn(2, 4, D)
    found, _ = ours(x, Mask(causal=True), memory=memory)
    torch.testing.assert_close(found, theirs(x, memory, tgt_mask=~triangle(7, 7)), atol=1e-5, rtol=1e-5)
