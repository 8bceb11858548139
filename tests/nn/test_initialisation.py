import math

import pytest
import torch
from torch import nn

from plmlight import GPT
from plmlight.nn import initialise


@pytest.mark.parametrize("norm_first", [True, False])
def test_matrices_and_tables_have_the_papers_spread(norm_first: bool) -> None:
    network = GPT(vocab_size=500, d_model=96, num_layers=4, num_heads=4, max_length=200, norm_first=norm_first)
    for name, parameter in network.named_parameters():
        residual = norm_first and name.endswith(("attention.out.weight", "feed_forward.down.weight"))
        if "norm" in name:
            assert torch.equal(parameter, torch.full_like(parameter, 1.0 if name.endswith("weight") else 0.0)), name
        elif name.endswith("bias"):
            assert not parameter.any(), name
        else:
            std = 0.02 / math.sqrt(8) if residual else 0.02
            assert parameter.std().item() == pytest.approx(std, rel=0.05), name
            assert abs(parameter.mean().item()) < 4 * std / math.sqrt(parameter.numel()), name


def test_cross_attention_counts_as_a_third_residual_branch() -> None:
    network = GPT(vocab_size=50, d_model=96, num_layers=4, num_heads=4, memory_dim=96)
    for name, parameter in network.named_parameters():
        if name.endswith("out.weight"):
            assert parameter.std().item() == pytest.approx(0.02 / math.sqrt(12), rel=0.05), name


def test_norms_of_every_kind_start_as_identity() -> None:
    norm, root = nn.LayerNorm(4), nn.RMSNorm(4)
    block = nn.Sequential(norm, root)
    for parameter in block.parameters():
        nn.init.normal_(parameter)
    initialise(block)
    assert torch.equal(norm.weight, torch.ones(4))
    assert torch.equal(root.weight, torch.ones(4))
    assert not norm.bias.any()
