import copy

import pytest
import torch
from torch import Tensor, nn

from plmlight.nn import FeedForward, Mask, SelfAttention, Stack, TransformerLayer, bias_of, triangle, within_window

D = 12


def layers(count: int, dropout: float = 0.0) -> list[TransformerLayer]:
    return [
        TransformerLayer(
            SelfAttention(D, 3, dropout=dropout),
            FeedForward(D, 20),
            lambda: nn.LayerNorm(D),
            norm_first=True,
            dropout=dropout,
        )
        for _ in range(count)
    ]


def gradients(stack: Stack, x: Tensor) -> list[Tensor]:
    torch.manual_seed(1)
    out, _ = stack(x, [Mask(causal=True)])
    out.square().sum().backward()
    return [p.grad for p in stack.parameters() if p.grad is not None]


def test_activation_checkpointing_changes_no_gradient() -> None:
    plain = Stack(layers(3, dropout=0.2))
    saving = Stack(copy.deepcopy(list(plain.layers)), activation_checkpointing=True)
    x = torch.randn(2, 5, D)
    for ours, theirs in zip(gradients(saving, x), gradients(plain, x), strict=True):
        assert torch.equal(ours, theirs)


def test_activation_checkpointing_keeps_less_for_the_backward_pass() -> None:
    def kept(stack: Stack) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            stack(torch.randn(2, 5, D, requires_grad=True), [Mask(causal=True)])
        return sum(sizes)

    three = layers(3)
    assert kept(Stack(three, activation_checkpointing=True)) < kept(Stack(three)) / 4


def test_groups_share_their_weights() -> None:
    groups = layers(2)
    shared = Stack(groups, num_layers=6)
    assert sum(p.numel() for p in shared.parameters()) == sum(p.numel() for g in groups for p in g.parameters())
    x = torch.randn(2, 5, D)
    found, _ = shared(x, [Mask()])
    for group in groups:
        for _ in range(3):
            x, _ = group(x, Mask())
    assert torch.equal(found, x)


def test_masks_are_cycled_over_the_layers() -> None:
    stack = Stack(layers(3))
    wide, narrow = Mask(causal=True), Mask(bias_of(triangle(5, 5) & within_window(5, 5, 2), torch.float32))
    x = torch.randn(2, 5, D)
    found, _ = stack(x, [wide, narrow])
    for layer, mask in zip(stack.layers, [wide, narrow, wide], strict=True):
        x, _ = layer(x, mask)
    assert torch.equal(found, x)


def test_groups_of_unequal_size_are_refused() -> None:
    with pytest.raises(ValueError, match="5 layers cannot share 2 groups evenly"):
        Stack(layers(2), num_layers=5)
