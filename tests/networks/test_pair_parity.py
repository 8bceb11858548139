"""A BERT with a GPT-2 against the EncoderDecoderModel of transformers."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, EncoderDecoderConfig, EncoderDecoderModel, GPT2Config

from plmlight import BERT, GPT, EncoderDecoderPair
from plmlight.nn import Cache, build, config_of

V, TARGET_V, D, LAYERS, HEADS = 53, 61, 24, 2, 3


@pytest.fixture(scope="module")
def theirs() -> Any:
    torch.manual_seed(0)
    encoder = BertConfig(
        vocab_size=V,
        hidden_size=D,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=40,
        max_position_embeddings=32,
    )
    decoder = GPT2Config(
        vocab_size=TARGET_V,
        n_embd=D,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=32,
        is_decoder=True,
        add_cross_attention=True,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = EncoderDecoderModel(EncoderDecoderConfig.from_encoder_decoder_configs(encoder, decoder))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = ("LayerNorm" in name or "ln_" in name) and name.endswith("weight")
            parameter.normal_(1.0 if norm else 0.0, 0.2)
    return model.eval()


@pytest.fixture(scope="module")
def network(theirs: Any, tmp_path_factory: pytest.TempPathFactory) -> EncoderDecoderPair:
    """Ours from two folders, and the weights between by name."""
    folder: Path = tmp_path_factory.mktemp("apart")
    theirs.encoder.save_pretrained(folder / "encoder")
    between = {name: weight for name, weight in theirs.decoder.state_dict().items() if "cross" in name}
    plain = type(theirs.decoder)(GPT2Config(**{**theirs.decoder.config.to_dict(), "add_cross_attention": False}))
    plain.load_state_dict({k: v for k, v in theirs.decoder.state_dict().items() if k not in between})
    plain.save_pretrained(folder / "decoder")
    pair = EncoderDecoderPair(
        BERT.from_pretrained(str(folder / "encoder")), GPT.from_pretrained(str(folder / "decoder"), memory_dim=D)
    )

    def copy(module: Any, name: str, transposed: bool = True) -> None:
        weight, bias = between.pop(f"{name}.weight"), between.pop(f"{name}.bias")
        module.load_state_dict({"weight": weight.T if transposed else weight, "bias": bias})

    decoder: Any = pair.decoder
    for i, layer in enumerate(decoder.stack.layers):
        at = f"transformer.h.{i}."
        copy(layer.cross_attention.query, at + "crossattention.q_attn")
        copy(layer.cross_attention.key_value, at + "crossattention.c_attn")
        copy(layer.cross_attention.out, at + "crossattention.c_proj")
        copy(layer.cross_attention_norm, at + "ln_cross_attn", transposed=False)
    assert not between
    return pair.eval().requires_grad_(False)


def texts() -> tuple[Tensor, Tensor, Tensor]:
    torch.manual_seed(1)
    mask = torch.tensor([[1] * 9, [1] * 4 + [0] * 5])
    return torch.randint(1, V, (2, 9)), mask, torch.randint(TARGET_V, (2, 7))


@torch.no_grad()
def test_scores_are_theirs(theirs: Any, network: EncoderDecoderPair) -> None:
    source, mask, target = texts()
    expected = theirs(input_ids=source, attention_mask=mask, decoder_input_ids=target)
    memory = network.encode(source, mask)
    assert (memory - expected.encoder_last_hidden_state)[mask == 1].abs().max() < 1e-5
    found = network(source, target, mask) @ network.target_embedding.weight.T
    assert (found - expected.logits).abs().max() < 1e-5


@torch.no_grad()
def test_step_by_step_gives_what_all_at_once_gives(network: EncoderDecoderPair) -> None:
    source, mask, target = texts()
    expected, found = network(source, target, mask), []
    cache: Cache | None = network.empty_cache(network.encode(source, mask))
    for first, last in [(0, 3), (3, 4), (4, 7)]:
        hidden, cache = network.decode(target[:, first:last], None, mask, cache)
        found.append(hidden)
    assert (torch.cat(found, 1) - expected).abs().max() < 1e-5
    assert cache is not None
    coverage = dict(zip(network.cache_names(), cache, strict=True))["state.coverage"]
    assert torch.allclose(coverage.sum(1), torch.full((2,), 7.0), atol=1e-5)
    assert (coverage[1, 4:] < 1e-6).all()


def test_it_is_built_again_from_what_it_was_made_of(network: EncoderDecoderPair) -> None:
    again = build(config_of(network))
    again.load_state_dict(network.state_dict())
    source, mask, target = texts()
    assert again.eval()(source, target, mask).equal(network(source, target, mask))
    assert (again.vocab_size, again.target_vocab_size) == (V, TARGET_V)


def pair(memory_dim: int | None = 12, start: int | None = None) -> EncoderDecoderPair:
    sizes: dict[str, Any] = {"d_model": 12, "num_layers": 1, "num_heads": 2, "max_length": 8}
    return EncoderDecoderPair(BERT(V, **sizes), GPT(TARGET_V, memory_dim=memory_dim, **sizes), start)


def test_what_does_not_fit_is_said() -> None:
    with pytest.raises(ValueError, match="attends to nothing, but the encoder's are 12 wide: memory_dim 12"):
        pair(None)
    with pytest.raises(ValueError, match="attends to vectors 16 wide"):
        pair(16)
    with pytest.raises(ValueError, match="decoder_start_token_id 61: the decoder's tokens are 0 to 60"):
        pair(start=TARGET_V)
    with pytest.raises(ValueError, match="attends to vectors 12 wide, not 16"):
        GPT(TARGET_V, 12, 1, 2, memory_dim=12).attending(16)


def test_more_than_there_are_positions_is_refused() -> None:
    made, long = pair(), torch.zeros(1, 9, dtype=torch.int64)
    with pytest.raises(ValueError, match="9 tokens are more than max_length 8"):
        made.encode(long)
    with pytest.raises(ValueError, match="9 tokens are more than max_length 8"):
        made(long[:, :8], long)
