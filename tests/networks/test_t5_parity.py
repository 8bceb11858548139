"""T5 against transformers."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration
from transformers.models.t5.modeling_t5 import T5Attention

from plmlight import T5
from plmlight.nn import Cache, RelativePositionBias

V, D, HEADS, WIDTH, INNER, LAYERS, DECODER_LAYERS = 61, 20, 3, 8, 28, 2, 3
VERSIONS: dict[str, dict[str, Any]] = {
    "1.0": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "1.1": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
}
every = pytest.mark.parametrize("version", VERSIONS)


def reference(version: str) -> Any:
    config = T5Config(
        vocab_size=V,
        d_model=D,
        d_kv=WIDTH,
        d_ff=INNER,
        num_layers=LAYERS,
        num_decoder_layers=DECODER_LAYERS,
        num_heads=HEADS,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        **VERSIONS[version],
    )
    torch.manual_seed(1)
    model = T5ForConditionalGeneration(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(1.0 if "layer_norm" in name else 0.0, 0.2)
    return model.eval()


def ours(theirs: Any, version: str) -> T5:
    """Our network with the weights of a reference."""
    network = T5(
        V,
        D,
        LAYERS,
        HEADS,
        INNER,
        WIDTH,
        num_decoder_layers=DECODER_LAYERS,
        num_buckets=8,
        max_distance=20,
        gated=version == "1.1",
        activation="gelu_tanh" if version == "1.1" else "relu",
    )
    weights: dict[str, Tensor] = theirs.state_dict()
    state: dict[str, Tensor] = {"token_table.weight": weights["shared.weight"]}
    for side, number in (("encoder", LAYERS), ("decoder", DECODER_LAYERS)):
        state[f"{side}_norm.weight"] = weights[f"{side}.final_layer_norm.weight"]
        table = f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        state[f"{side}_bias.table.weight"] = weights[table]
        for i in range(number):
            own, other = f"{side}.layers.{i}.", f"{side}.block.{i}.layer."

            def matrix(name: str, other: str = other) -> Tensor:
                return weights[f"{other}{name}.weight"]

            last = 1 if side == "encoder" else 2
            state[own + "attention.qkv.weight"] = torch.cat([matrix(f"0.SelfAttention.{x}") for x in "qkv"])
            state[own + "attention.out.weight"] = matrix("0.SelfAttention.o")
            state[own + "attention_norm.weight"] = matrix("0.layer_norm")
            if side == "decoder":
                state[own + "cross_attention.query.weight"] = matrix("1.EncDecAttention.q")
                both = [matrix(f"1.EncDecAttention.{x}") for x in "kv"]
                state[own + "cross_attention.key_value.weight"] = torch.cat(both)
                state[own + "cross_attention.out.weight"] = matrix("1.EncDecAttention.o")
                state[own + "cross_attention_norm.weight"] = matrix("1.layer_norm")
            names = {"gate": "wi_0", "up": "wi_1", "down": "wo"} if version == "1.1" else {"up": "wi", "down": "wo"}
            for mine, their in names.items():
                state[own + f"feed_forward.{mine}.weight"] = matrix(f"{last}.DenseReluDense.{their}")
            state[own + "feed_forward_norm.weight"] = matrix(f"{last}.layer_norm")
    network.load_state_dict(state)
    return network.eval()


@every
@pytest.mark.parametrize("side", ["none", "right", "left"])
@torch.no_grad()
def test_hidden_states_and_scores_are_theirs(version: str, side: str) -> None:
    theirs = reference(version)
    network = ours(theirs, version)
    source, target = torch.randint(2, V, (3, 33)), torch.randint(2, V, (3, 26))
    mask = torch.ones_like(source)
    if side != "none":
        hidden = slice(20, None) if side == "right" else slice(None, 13)
        mask[1, hidden] = 0
    expected = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=target, output_hidden_states=True)
    memory = network.encode(source, None if side == "none" else mask)
    found = network(source, target, None if side == "none" else mask)
    assert (memory - expected.encoder_last_hidden_state)[mask == 1].abs().max() < 1e-5
    assert (found - expected.decoder_hidden_states[-1]).abs().max() < 1e-5
    weight, scale = (network.token_table.weight, network.head_scale) if version == "1.0" else (theirs.lm_head.weight, 1)
    assert (found * scale @ weight.T - expected.logits).abs().max() < 1e-5


@every
@torch.no_grad()
def test_a_padded_target_is_theirs(version: str) -> None:
    theirs = reference(version)
    network = ours(theirs, version)
    source, target = torch.randint(2, V, (3, 9)), torch.randint(2, V, (3, 12))
    mask = torch.ones_like(target)
    mask[0, :5], mask[2, 8:] = 0, 0
    expected = theirs(
        input_ids=source, decoder_input_ids=target, decoder_attention_mask=mask, output_hidden_states=True
    ).decoder_hidden_states[-1]
    found = network(source, target, torch.ones_like(source), mask)
    assert (found - expected)[mask == 1].abs().max() < 1e-5


@every
@torch.no_grad()
def test_steps_with_a_cache_are_theirs(version: str) -> None:
    theirs = reference(version)
    network = ours(theirs, version)
    source, target = torch.randint(2, V, (2, 11)), torch.randint(2, V, (2, 30))
    mask = torch.ones_like(source)
    mask[0, 6:] = 0
    outputs = None
    cache: Cache | None = network.empty_cache(network.encode(source, mask))
    for first, last in [(0, 1), (1, 2), (2, 9), (9, 30)]:
        outputs = theirs(
            input_ids=source,
            attention_mask=mask,
            decoder_input_ids=target[:, first:last],
            past_key_values=None if outputs is None else outputs.past_key_values,
            use_cache=True,
            output_hidden_states=True,
        )
        hidden, cache = network.decode(target[:, first:last], None, mask, cache)
        assert (hidden - outputs.decoder_hidden_states[-1]).abs().max() < 1e-5


@every
def test_the_weights_start_as_theirs(version: str) -> None:
    sizes: dict[str, Any] = {"d_model": 96, "d_ff": 200, "num_heads": 6, "num_layers": 2}
    theirs: Any = T5ForConditionalGeneration(T5Config(vocab_size=1000, d_kv=32, **VERSIONS[version], **sizes))
    gated = version == "1.1"
    mine = T5(1000, **sizes, head_dim=32, gated=gated)
    layer: Any = mine.decoder.layers[0]
    other = theirs.decoder.block[0].layer
    attention, theirs_own, theirs_cross = layer.attention, other[0].SelfAttention, other[1].EncDecAttention
    inner, theirs_inner = layer.feed_forward, other[2].DenseReluDense
    pairs = [
        (mine.token_table.weight, theirs.shared.weight),
        (attention.qkv.weight[:192], theirs_own.q.weight),
        (attention.qkv.weight[192:384], theirs_own.k.weight),
        (attention.qkv.weight[384:], theirs_own.v.weight),
        (attention.out.weight, theirs_own.o.weight),
        (layer.cross_attention.query.weight, theirs_cross.q.weight),
        (layer.cross_attention.key_value.weight[:192], theirs_cross.k.weight),
        (layer.cross_attention.out.weight, theirs_cross.o.weight),
        (inner.up.weight, theirs_inner.wi_1.weight if gated else theirs_inner.wi.weight),
        (inner.down.weight, theirs_inner.wo.weight),
        (mine.encoder_norm.weight, theirs.encoder.final_layer_norm.weight),
    ]
    for own, their in pairs:
        assert own.shape == their.shape
        assert own.std().item() == pytest.approx(their.std().item(), rel=0.05, abs=1e-6)
        assert own.mean().item() == pytest.approx(their.mean().item(), abs=0.03)
    assert mine.decoder_bias.table.weight.std().item() == pytest.approx(96**-0.5, rel=0.25)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("number", "furthest"), [(32, 128), (8, 20), (64, 256)])
def test_distances_are_in_their_buckets(number: int, furthest: int, bidirectional: bool) -> None:
    bias = RelativePositionBias(2, bidirectional=bidirectional, num_buckets=number, max_distance=furthest)
    distances = torch.arange(-2 * furthest, 2 * furthest + 1)
    theirs = T5Attention._relative_position_bucket(distances, bidirectional, number, furthest)
    assert bias.buckets(distances).equal(theirs)
    apart = distances[:furthest, None] - distances[None, :furthest]  # of keys less that of queries, transposed
    assert bias(furthest, furthest)[0].equal(bias.table(bias.buckets(-apart)).permute(2, 0, 1))
