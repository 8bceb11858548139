import math

import pytest
import torch
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

from plmlight.nn import RotaryPositions, SinusoidalPositions


def test_sinusoidal_positions_are_the_papers_formula() -> None:
    found = SinusoidalPositions(6)(torch.tensor([[0, 1, 50]]))[0]
    for row, position in enumerate([0, 1, 50]):
        for i in range(3):
            angle = position / 10000 ** (2 * i / 6)
            assert found[row, 2 * i].item() == pytest.approx(math.sin(angle), abs=1e-5)
            assert found[row, 2 * i + 1].item() == pytest.approx(math.cos(angle), abs=1e-5)


def test_sinusoidal_positions_need_an_even_width() -> None:
    with pytest.raises(ValueError, match="even d_model, got 7"):
        SinusoidalPositions(7)


def test_rotary_positions_equal_llamas() -> None:
    config = LlamaConfig(hidden_size=24, num_attention_heads=3, max_position_embeddings=64)
    query, key = torch.randn(2, 3, 9, 8), torch.randn(2, 3, 9, 8)
    positions = torch.stack([torch.arange(9), torch.arange(9) + 17])
    cos, sin = LlamaRotaryEmbedding(config)(query, positions)
    rotary = RotaryPositions(8)
    for found, expected in zip((query, key), apply_rotary_pos_emb(query, key, cos, sin), strict=True):
        torch.testing.assert_close(rotary(found, positions), expected, atol=1e-5, rtol=0)


def test_rotary_scores_depend_on_the_distance_only() -> None:
    rotary = RotaryPositions(8)
    query, key = torch.randn(1, 1, 1, 8), torch.randn(1, 1, 1, 8)

    def score(at: int, to: int) -> float:
        turned = rotary(query, torch.tensor([[at]])), rotary(key, torch.tensor([[to]]))
        return float((turned[0] * turned[1]).sum())

    assert score(5, 2) == pytest.approx(score(35, 32), abs=1e-4)
    assert score(5, 2) != pytest.approx(score(5, 4), abs=1e-3)


def test_rotary_positions_need_an_even_width() -> None:
    with pytest.raises(ValueError, match="even head width, got 5"):
        RotaryPositions(5)
