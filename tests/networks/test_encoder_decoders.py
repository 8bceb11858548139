"""What holds for every encoder-decoder: padding, batches, packing, caches, types and memory change nothing."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor

from plmlight import BERT, GPT, T5, EncoderDecoderPair, LSTMSeq2Seq, Transformer
from plmlight.nn import Cache, EncoderDecoder, build, config_of, is_remembered

V = 31
SIZES: dict[str, Any] = {"d_model": 24, "num_layers": 2}
STACKED: dict[str, Callable[..., EncoderDecoder]] = {
    "transformer": partial(Transformer, V, num_heads=4, d_ff=40, **SIZES),
    "bart": partial(
        Transformer, V, num_heads=4, positions="learned", norm_embedding=True, scale_embedding=False, **SIZES
    ),
    "t5": partial(T5, V, num_heads=3, head_dim=6, d_ff=40, num_buckets=8, max_distance=12, **SIZES),
    "t5-1.1": partial(T5, V, num_heads=4, d_ff=40, gated=True, activation="gelu_tanh", **SIZES),
}
KINDS: dict[str, Callable[..., EncoderDecoder]] = {
    **STACKED,
    "lstm": partial(LSTMSeq2Seq, V, **SIZES),
    "lstm-unfed": partial(LSTMSeq2Seq, V, attention="additive", input_feeding=False, **SIZES),
    "pair": lambda **more: EncoderDecoderPair(
        BERT(V, num_heads=4, **SIZES, **more), GPT(V, num_heads=4, memory_dim=24, **SIZES, **more)
    ),
}
every = pytest.mark.parametrize("kind", KINDS)
stacked = pytest.mark.parametrize("kind", STACKED)
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def network(kind: str) -> EncoderDecoder:
    torch.manual_seed(0)
    made = KINDS[kind]().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return made


@torch.no_grad()
def hidden(made: EncoderDecoder, *inputs: Tensor | None) -> Tensor:
    out: Tensor = made(*inputs)
    return out


def texts(rows: int = 3) -> tuple[Tensor, Tensor]:
    return torch.randint(1, V, (rows, 9)), torch.randint(1, V, (rows, 7))


@every
def test_a_row_does_not_depend_on_its_batch(kind: str) -> None:
    made, (source, target) = network(kind), texts(32)
    alone = [hidden(made, *(x[i : i + 1] for x in (source, target))) for i in range(32)]
    assert_close(hidden(made, source, target), torch.cat(alone))


SIDES = [(kind, side) for kind in KINDS for side in ("right", "left") if (kind, side) != ("pair", "left")]


@pytest.mark.parametrize(
    ("kind", "side"), SIDES
)  # BERT's positions count the padding before a text, as its authors' do
def test_padding_of_the_source_changes_nothing(kind: str, side: str) -> None:
    made, (source, target) = network(kind), texts()
    padding, order = torch.full((3, 4), 5), slice(None, None, 1 if side == "right" else -1)
    padded = torch.cat([source, padding][order], 1)
    mask = torch.cat([torch.ones_like(source), torch.zeros_like(padding)][order], 1)
    assert_close(hidden(made, padded, target, mask), hidden(made, source, target))


@every
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_of_the_target_changes_nothing(kind: str, side: str) -> None:
    made, (source, target) = network(kind), texts()
    padding, order = torch.full((3, 4), 5), slice(None, None, 1 if side == "right" else -1)
    padded = torch.cat([target, padding][order], 1)
    mask = torch.cat([torch.ones_like(target), torch.zeros_like(padding)][order], 1)
    found = hidden(made, source, padded, None, mask)
    assert_close(found[:, :7] if side == "right" else found[:, 4:], hidden(made, source, target))


@stacked
def test_packed_documents_do_not_see_each_other(kind: str) -> None:
    made = network(kind)
    sources, targets = ([torch.randint(V, (1, n)) for n in sizes] for sizes in ((7, 1, 12), (4, 9, 1)))

    def numbers(documents: list[Tensor]) -> Tensor:
        return torch.cat([torch.full_like(document, i + 1) for i, document in enumerate(documents)], 1)

    packed = hidden(made, torch.cat(sources, 1), torch.cat(targets, 1), numbers(sources), numbers(targets))
    for found, source, target in zip(torch.split(packed, [4, 9, 1], 1), sources, targets, strict=True):
        assert_close(found, hidden(made, source, target))


@every
@pytest.mark.parametrize("padded", [False, True])
@torch.no_grad()
def test_rows_that_share_a_memory_are_as_rows_with_one_each(kind: str, padded: bool) -> None:
    made, (source, _), (_, target) = network(kind), texts(), texts(6)
    mask, seen = torch.ones_like(source), torch.ones_like(target) if padded else None
    mask[1, 5:] = 0
    if seen is not None:
        seen[4, :3] = 0
    each = [tensor.repeat_interleave(2, 0) for tensor in made.empty_cache(made.encode(source, mask))]
    wanted, _ = made.decode(target, None, mask.repeat_interleave(2, 0), tuple(each), seen)
    shared = [one[::2] if is_remembered(name) else one for name, one in zip(made.cache_names(), each, strict=True)]
    found, cache = made.decode(target, None, mask, tuple(shared), seen)
    assert_close(found, wanted)
    assert cache is not None
    for name, before, after in zip(made.cache_names(), shared, cache, strict=True):
        assert len(after) == (3 if is_remembered(name) else 6)
        assert before is after or not is_remembered(name)


@every
@torch.no_grad()
def test_a_cache_changes_nothing(kind: str) -> None:
    made, (source, target) = network(kind), texts()
    mask = torch.ones_like(source)
    mask[1, 5:] = 0
    whole = hidden(made, source, target, mask)
    for cuts in ([1] * 7, [3, 1, 3], [7]):
        first = made.empty_cache(made.encode(source, mask))
        cache: Cache | None = first
        pieces = []
        for piece in torch.split(target, cuts, 1):
            out, cache = made.decode(piece, None, mask, cache)
            pieces.append(out)
        assert_close(torch.cat(pieces, 1), whole)
        assert cache is not None
        for name, before, after in zip(made.cache_names(), first, cache, strict=True):
            assert before is after or not is_remembered(name)
            assert len(after) == 3


@every
def test_half_precision_gives_numbers(kind: str) -> None:
    made, (source, target) = network(kind).train(), texts()
    mask = torch.ones_like(source)
    mask[1, 5:], mask[2] = 0, 0
    expected = hidden(made.eval(), source, target, mask)
    with torch.autocast("cpu", torch.bfloat16):
        found = made(source, target, mask)
    found.float().square().mean().backward()
    gradients = [parameter.grad for parameter in made.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert (found[:2] - expected[:2]).abs().max() < 0.1 * expected.abs().max()
    with torch.no_grad():
        assert made.bfloat16()(source, target, mask).isfinite().all()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "lstm" not in kind])
def test_checkpointed_activations_give_the_same_gradients(kind: str) -> None:
    source, target = texts()
    gradients = []
    for checkpointing in (False, True):
        torch.manual_seed(0)
        made = KINDS[kind](dropout=0.0, activation_checkpointing=checkpointing)
        made(source, target).square().mean().backward()
        gradients.append([parameter.grad for parameter in made.parameters()])
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


@every
def test_it_is_built_again_from_what_it_was_made_of(kind: str) -> None:
    made, (source, target) = network(kind), texts()
    again: Any = build(config_of(made))
    again.load_state_dict(made.state_dict())
    assert hidden(again.eval(), source, target).equal(hidden(made, source, target))
