"""ALBERT against transformers' Albert."""

import pytest
import torch

from plmlight import ALBERT
from tests.networks.encoders import PairParity


class TestALBERT(PairParity):
    masked, backbone, pairs = "AlbertForMaskedLM", "AlbertModel", "AlbertForPreTraining"
    layers = "encoder.albert_layer_groups"
    settings = (
        {"hidden_act": "gelu"},
        {"num_hidden_groups": 1},
        {"num_hidden_groups": 6},
        {"embedding_size": 30},
        {"tie_word_embeddings": False},
    )


def test_neighbours_share_their_weights() -> None:
    with torch.device("meta"):
        counts = [sum(p.numel() for p in ALBERT(97, 30, 12, 5, num_groups=n).parameters()) for n in (1, 2, 4)]
    assert counts[1] - counts[0] == (counts[2] - counts[1]) / 2 == 30 * 30 * 12 + 30 * 13


def test_groups_divide_the_layers() -> None:
    with pytest.raises(ValueError, match="12 layers cannot share 5 groups evenly"):
        ALBERT(97, 30, 12, 5, num_groups=5)
