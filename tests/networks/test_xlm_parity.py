"""XLM against transformers' XLM."""

from pathlib import Path

import torch
from torch import Tensor

from plmlight import XLM
from plmlight.nn import SinusoidalPositions
from tests.networks.encoders import FIRST, LENGTH, EncoderParity, V, assert_close, opened, padding_mask, reference


class TestXLM(EncoderParity):
    masked, backbone = "XLMWithLMHeadModel", "XLMModel"
    layers, segments, num_types, pad = "layer_norm2", "langs", 3, 2
    settings = (
        {"gelu_activation": False},
        {"layer_norm_eps": 0.1},
        {"sinusoidal_embeddings": True},
        {"tie_word_embeddings": False},
    )

    def plain(self, ids: Tensor) -> dict[str, Tensor]:
        return {"langs": torch.zeros_like(ids)}

    @torch.no_grad()
    def test_what_is_padding_is_zero(self, tmp_path: Path) -> None:
        theirs = reference(self.masked)
        task, mask = opened(theirs, tmp_path), padding_mask("left")
        ids = torch.where(mask > 0, torch.randint(FIRST, V, mask.shape), self.pad)
        langs = torch.randint(3, ids.shape)
        assert_close(task.network(ids, mask, langs), theirs.base_model(ids, attention_mask=mask, langs=langs)[0])
        assert_close(task(ids, mask, langs)["logits"], theirs(ids, attention_mask=mask, langs=langs).logits)


@torch.no_grad()
def test_one_language_has_no_embedding(tmp_path: Path) -> None:
    ids = torch.randint(FIRST, V, (2, 9))
    for name, value in {"n_langs": 1, "use_lang_emb": False}.items():
        theirs = reference("XLMWithLMHeadModel", **{name: value})
        task = opened(theirs, tmp_path / name)
        assert task.network.num_token_types == 0
        assert task.network.embeddings.token_types is None
        assert_close(task(ids)["logits"], theirs(ids).logits)


def test_sinusoids_are_a_table_that_is_not_trained() -> None:
    network = XLM(V, 30, 1, 5, max_length=LENGTH, positions="sinusoidal")
    table = network.embeddings.positions.weight
    assert not table.requires_grad
    assert torch.equal(table, SinusoidalPositions(30)(torch.arange(LENGTH)))
    network(torch.full((1, LENGTH), FIRST)).sum().backward()
    assert table.grad is None
    assert [name for name, p in network.named_parameters() if not p.requires_grad] == ["embeddings.positions.weight"]
