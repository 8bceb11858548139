"""GPT against transformers' GPT-1, GPT-2 and GPT-Neo."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import GPTNeoConfig, GPTNeoModel

from plmlight import GPT
from tests.networks.references import LAYERS, REFERENCES, D, V, gpt2, ours, positions

assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)
SHAPES = [(1, 1), (2, 7), (5, 33), (1, 40)]
both = pytest.mark.parametrize("family", REFERENCES)


@both
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_hidden_states_and_logits(family: str, shape: tuple[int, int], tmp_path: Path) -> None:
    theirs = REFERENCES[family]()
    network = ours(theirs, tmp_path)
    ids = torch.randint(V, shape)
    hidden, cache = network(ids)
    assert cache is None
    assert_close(hidden, theirs.transformer(ids).last_hidden_state)
    assert_close(hidden @ network.token_embedding.weight.T, theirs(ids).logits)


@both
@pytest.mark.parametrize("heads", [3, 5])
@torch.no_grad()
def test_the_hidden_state_of_every_layer(family: str, heads: int, tmp_path: Path) -> None:
    theirs = REFERENCES[family](num_heads=heads)
    network = ours(theirs, tmp_path)
    found, expected = _outputs(network.stack.layers), _outputs(theirs.transformer.h)
    ids = torch.randint(V, (2, 9))
    network(ids)
    theirs(ids)
    assert len(found) == len(expected) == LAYERS
    for mine, reference in zip(found, expected, strict=True):
        assert_close(mine, reference)


def _outputs(layers: nn.Module) -> list[Tensor]:
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output if isinstance(output, Tensor) else output[0])

    for layer in layers.children():
        layer.register_forward_hook(keep)
    return seen


@both
@pytest.mark.parametrize("side", ["left", "right"])
@torch.no_grad()
def test_padding(family: str, side: str, tmp_path: Path) -> None:
    theirs = REFERENCES[family]()
    network = ours(theirs, tmp_path)
    ids = torch.randint(V, (3, 9))
    mask = (torch.arange(9) < torch.tensor([[9], [4], [1]])).long()
    mask = mask.flip(-1) if side == "left" else mask
    expected = theirs.transformer(ids, attention_mask=mask, position_ids=positions(mask)).last_hidden_state
    hidden, _ = network(ids, mask)
    assert_close(hidden[mask > 0], expected[mask > 0])


@both
@pytest.mark.parametrize("side", ["left", "none"])
@torch.no_grad()
def test_with_a_cache(family: str, side: str, tmp_path: Path) -> None:
    theirs = REFERENCES[family]()
    network = ours(theirs, tmp_path)
    ids = torch.randint(V, (2, 12))
    mask = torch.ones_like(ids)
    if side == "left":
        mask[1, :5] = 0
    expected = theirs.transformer(ids, attention_mask=mask, position_ids=positions(mask)).last_hidden_state
    cache = network.empty_cache(2)
    pieces = []
    for start, stop in [(0, 6), (6, 9), (9, 10), (10, 11), (11, 12)]:
        given = None if side == "none" else mask[:, :stop]
        hidden, cache = network(ids[:, start:stop], given, cache)
        pieces.append(hidden)
    found = torch.cat(pieces, 1)
    assert_close(found[mask > 0], expected[mask > 0])


@torch.no_grad()
def test_the_cache_holds_the_references_keys_and_values(tmp_path: Path) -> None:
    theirs = gpt2()
    network = ours(theirs, tmp_path)
    ids = torch.randint(V, (2, 7))
    expected = theirs(ids, use_cache=True).past_key_values
    _, cache = network(ids, None, network.empty_cache(2))
    assert cache is not None
    assert network.cache_names() == [f"{i}.{kind}" for i in range(LAYERS) for kind in ("key", "value")]
    for i, layer in enumerate(expected.layers):
        assert_close(cache[2 * i], layer.keys)
        assert_close(cache[2 * i + 1], layer.values)


@torch.no_grad()
def test_cross_attention(tmp_path: Path) -> None:
    theirs = gpt2(add_cross_attention=True)
    network = ours(theirs.transformer, tmp_path)
    ids, memory = torch.randint(V, (2, 7)), torch.randn(2, 5, D)
    memory_mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]])
    expected = theirs.transformer(ids, encoder_hidden_states=memory, encoder_attention_mask=memory_mask)
    hidden, _ = network(ids, memory=memory, memory_mask=memory_mask)
    assert_close(hidden, expected.last_hidden_state)
    expected = theirs.transformer(ids, encoder_hidden_states=memory)
    assert_close(network(ids, memory=memory)[0], expected.last_hidden_state)


@pytest.mark.parametrize("options", [{"n_inner": 50}, {"activation_function": "relu"}, {"layer_norm_epsilon": 0.1}])
@torch.no_grad()
def test_other_settings(options: dict[str, Any], tmp_path: Path) -> None:
    theirs = gpt2(**options)
    ids = torch.randint(V, (2, 7))
    expected = theirs.transformer(ids).last_hidden_state
    assert_close(ours(theirs, tmp_path)(ids)[0], expected)


@pytest.mark.parametrize("side", ["left", "right", "none"])
@torch.no_grad()
def test_alternating_windows_equal_gpt_neos(side: str) -> None:
    config = GPTNeoConfig(
        vocab_size=V,
        max_position_embeddings=40,
        hidden_size=D,
        num_layers=4,
        num_heads=5,
        attention_types=[[["global", "local"], 2]],
        window_size=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    theirs = GPTNeoModel(config).eval()
    for parameter in theirs.parameters():
        nn.init.normal_(parameter, std=0.2)
    network = GPT(V, D, 4, 5, max_length=40, windows=(None, 4)).eval()
    network.load_state_dict(_from_neo(theirs, D // 5))
    ids, mask = torch.randint(V, (2, 15)), torch.ones(2, 15, dtype=torch.int64)
    if side != "none":
        mask[1, :6] = 0
        mask = mask if side == "left" else mask.flip(-1)
    expected = theirs(ids, attention_mask=mask, position_ids=positions(mask)).last_hidden_state
    found, _ = network(ids, None if side == "none" else mask)
    assert_close(found[mask > 0], expected[mask > 0])
    cache = network.empty_cache(2)
    for t in range(15):
        step, cache = network(ids[:, t : t + 1], None if side == "none" else mask[:, : t + 1], cache)
        seen = mask[:, t] > 0
        assert_close(step[seen, 0], expected[seen, t])


def _from_neo(theirs: GPTNeoModel, head_dim: int) -> dict[str, Tensor]:
    """GPT-Neo's weights: it has no bias on query, key and value, and does not scale the scores."""
    state = {"token_table.weight": theirs.wte.weight, "positions.weight": theirs.wpe.weight}
    state |= {"norm.weight": theirs.ln_f.weight, "norm.bias": theirs.ln_f.bias}
    for i, block in enumerate(theirs.h):
        core, prefix = block.attn.attention, f"stack.layers.{i}"
        query = core.q_proj.weight * math.sqrt(head_dim)
        state[f"{prefix}.attention.qkv.weight"] = torch.cat([query, core.k_proj.weight, core.v_proj.weight])
        state[f"{prefix}.attention.qkv.bias"] = torch.zeros(3 * D)
        for name, module in {
            "attention.out": core.out_proj,
            "attention_norm": block.ln_1,
            "feed_forward.up": block.mlp.c_fc,
            "feed_forward.down": block.mlp.c_proj,
            "feed_forward_norm": block.ln_2,
        }.items():
            state |= {f"{prefix}.{name}.weight": module.weight, f"{prefix}.{name}.bias": module.bias}
    return state
