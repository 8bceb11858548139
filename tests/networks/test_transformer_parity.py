"""The Transformer against `torch.nn.Transformer`; its descendants against transformers are in tests/interop."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from plmlight import Transformer
from plmlight.nn import Cache, EncoderDecoder

SIZES: dict[str, Any] = {"vocab_size": 50, "d_model": 16, "num_layers": 2, "num_heads": 2, "d_ff": 24, "dropout": 0.0}


def reference(network: Transformer, norm_first: bool) -> tuple[nn.Module, nn.Module]:
    """The layers of `torch.nn` with the weights of a network."""
    options: dict[str, Any] = {"dim_feedforward": 24, "dropout": 0.0, "batch_first": True, "norm_first": norm_first}
    norm = network.encoder_norm if norm_first else None
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 2, **options), 2, norm, enable_nested_tensor=False)
    norm = network.decoder_norm if norm_first else None
    decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(16, 2, **options), 2, norm)
    for ours, theirs in zip(
        [*network.encoder.layers, *network.decoder.layers], [*encoder.layers, *decoder.layers], strict=True
    ):
        copy(ours.attention.qkv, theirs.self_attn.in_proj_weight, theirs.self_attn.in_proj_bias)
        copy(ours.attention.out, theirs.self_attn.out_proj.weight, theirs.self_attn.out_proj.bias)
        copy(ours.feed_forward.up, theirs.linear1.weight, theirs.linear1.bias)
        copy(ours.feed_forward.down, theirs.linear2.weight, theirs.linear2.bias)
        if ours.cross_attention is None:
            norms = [(ours.attention_norm, theirs.norm1), (ours.feed_forward_norm, theirs.norm2)]
        else:
            other = theirs.multihead_attn
            copy(ours.cross_attention.query, other.in_proj_weight[:16], other.in_proj_bias[:16])
            copy(ours.cross_attention.key_value, other.in_proj_weight[16:], other.in_proj_bias[16:])
            copy(ours.cross_attention.out, other.out_proj.weight, other.out_proj.bias)
            norms = [
                (ours.attention_norm, theirs.norm1),
                (ours.cross_attention_norm, theirs.norm2),
                (ours.feed_forward_norm, theirs.norm3),
            ]
        for own, other in norms:
            copy(own, other.weight, other.bias)
    return encoder.eval(), decoder.eval()


def copy(module: Any, weight: Tensor, bias: Tensor) -> None:
    with torch.no_grad():
        weight.copy_(module.weight)
        bias.copy_(module.bias)


def perturbed(**arguments: Any) -> Transformer:
    torch.manual_seed(0)
    network = Transformer(**SIZES, **arguments).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return network


@pytest.mark.parametrize("norm_first", [False, True])
def test_hidden_states_are_those_of_torch(norm_first: bool) -> None:
    network = perturbed(norm_first=norm_first)
    encoder, decoder = reference(network, norm_first)
    source, target = torch.randint(50, (3, 7)), torch.randint(50, (3, 5))
    mask = torch.ones(3, 7, dtype=torch.int64)
    mask[1, 4:] = 0
    with torch.no_grad():
        memory = encoder(network.embed(source, None, 0, target=False), src_key_padding_mask=mask == 0)
        square = nn.Transformer.generate_square_subsequent_mask(5)
        expected = decoder(
            network.embed(target, None, 0, target=True), memory, square, memory_key_padding_mask=mask == 0
        )
        found = network(source, target, mask)
    assert (network.encode(source, mask) - memory)[mask == 1].abs().max() < 1e-5
    assert (found - expected).abs().max() < 1e-5


@pytest.mark.parametrize("arguments", [{}, {"positions": "learned", "norm_first": True}])
def test_step_by_step_gives_what_all_at_once_gives(arguments: dict[str, Any]) -> None:
    network = perturbed(**arguments)
    check_steps(network)


def check_steps(network: EncoderDecoder) -> None:
    source, target = torch.randint(50, (2, 6)), torch.randint(50, (2, 7))
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    with torch.no_grad():
        expected = network(source, target, mask)
        memory = network.encode(source, mask)
        cache: Cache | None = network.empty_cache(memory)
        assert cache is not None
        assert len(cache) == len(network.cache_names())
        found = []
        for first, last in [(0, 3), (3, 4), (4, 7)]:
            hidden, cache = network.decode(target[:, first:last], None, mask, cache)
            found.append(hidden)
    assert (torch.cat(found, 1) - expected).abs().max() < 1e-5
    assert cache is not None
    coverage = dict(zip(network.cache_names(), cache, strict=True))["state.coverage"]
    assert torch.allclose(coverage.sum(1), torch.full((2,), 7.0), atol=1e-5)
    assert (coverage[1, 4:] < 1e-6).all()


@pytest.mark.parametrize("side", ["source", "target"])
def test_more_tokens_than_positions_are_refused_beside_padding(side: str) -> None:
    network = Transformer(20, 8, 1, 2, max_length=5, positions="learned")
    short, long = torch.ones(2, 4, dtype=torch.int64), torch.ones(2, 6, dtype=torch.int64)
    given = {"source": (long, short, long, None), "target": (short, long, None, long)}[side]
    with pytest.raises(ValueError, match=r"^6 tokens are more than max_length 5$"):
        network(*given)
