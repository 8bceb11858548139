"""RoBERTa against transformers' Roberta, and XLM-R against its own."""

from pathlib import Path

import pytest
import torch

from plmlight import RoBERTa
from tests.networks.encoders import FIRST, LENGTH, EncoderParity, V, assert_close, opened, reference


class TestRoBERTa(EncoderParity):
    masked, backbone = "RobertaForMaskedLM", "RobertaModel"
    layers, segments, pad = "encoder.layer", None, 1
    settings = ({"layer_norm_eps": 0.1}, {"tie_word_embeddings": False}, {"pad_token_id": 0})


class TestXLMR(TestRoBERTa):
    masked, backbone = "XLMRobertaForMaskedLM", "XLMRobertaModel"


@torch.no_grad()
def test_segments_where_there_are_some(tmp_path: Path) -> None:
    theirs = reference("RobertaForMaskedLM", type_vocab_size=2)
    task, ids = opened(theirs, tmp_path), torch.randint(FIRST, V, (2, 9))
    assert task.network.num_token_types == 2
    for types in (torch.zeros_like(ids), torch.randint(2, ids.shape)):
        assert_close(task(ids, token_type_ids=types)["logits"], theirs(ids, token_type_ids=types).logits)


def test_one_segment_is_none(tmp_path: Path) -> None:
    network = opened(reference("RobertaModel"), tmp_path).network
    assert network.num_token_types == 0
    assert network.embeddings.token_types.weight.shape == (1, network.d_model)


@torch.no_grad()
@pytest.mark.parametrize("side", ["left", "right"])
def test_positions_skip_padding(side: str) -> None:
    network = RoBERTa(V, 10, 1, 2, max_length=LENGTH, pad_token_id=4)
    row = [4, 4, 9, 5, 6] if side == "left" else [9, 5, 6, 4, 4]
    expected = [4, 4, 5, 6, 7] if side == "left" else [5, 6, 7, 4, 4]
    assert network.positions(torch.tensor([row])).tolist() == [expected]
    assert network.embeddings.positions.weight.shape == (LENGTH + 5, 10)


@torch.no_grad()
def test_padding_on_the_left_changes_nothing() -> None:
    network, ids = RoBERTa(V, 10, 2, 2).eval(), torch.randint(FIRST, V, (2, 7))
    padded = torch.cat([torch.ones(2, 3, dtype=torch.int64), ids], 1)
    assert_close(network(padded, (padded != 1).long())[:, 3:], network(ids))
