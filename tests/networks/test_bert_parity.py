"""BERT against transformers' Bert."""

from pathlib import Path

import torch

from tests.networks.encoders import FIRST, PairParity, V, assert_close, opened, reference


class TestBERT(PairParity):
    masked, backbone, pairs = "BertForMaskedLM", "BertModel", "BertForPreTraining"
    layers = "encoder.layer"
    settings = (
        {"hidden_act": "gelu_new"},
        {"hidden_act": "relu", "type_vocab_size": 3},
        {"layer_norm_eps": 0.1},
        {"num_attention_heads": 3, "intermediate_size": 120},
        {"tie_word_embeddings": False},
    )

    @torch.no_grad()
    def test_positions_count_padding_on_the_left(self, tmp_path: Path) -> None:
        network = opened(reference(self.backbone), tmp_path).network
        ids = torch.randint(FIRST, V, (1, 9))
        mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
        moved = network(ids[:, 3:], position_ids=torch.arange(3, 9)[None])
        assert_close(network(ids, mask)[:, 3:], moved)
