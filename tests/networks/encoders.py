"""What holds for every encoder: parity with a tiny random model of transformers, and invariances."""

from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertForPreTraining,
    AlbertModel,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertModel,
    RobertaConfig,
    RobertaForMaskedLM,
    RobertaModel,
    XLMConfig,
    XLMModel,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaModel,
    XLMWithLMHeadModel,
    XLNetConfig,
    XLNetLMHeadModel,
    XLNetModel,
)

import plmlight
from plmlight.nn import Encoder

V, D, LENGTH = 97, 30, 40
FIRST = 3
"""The first id that is neither of the families' padding ids, 0, 1 and 2."""

_SIZES: dict[str, Any] = {
    "vocab_size": V,
    "hidden_size": D,
    "num_hidden_layers": 3,
    "num_attention_heads": 5,
    "intermediate_size": 50,
    "max_position_embeddings": LENGTH,
}
_ROBERTA = _SIZES | {"max_position_embeddings": LENGTH + 2, "pad_token_id": 1, "type_vocab_size": 1}
_ALBERT = _SIZES | {"embedding_size": 12, "num_hidden_layers": 6, "num_hidden_groups": 2}
_XLM: dict[str, Any] = {
    "vocab_size": V,
    "emb_dim": D,
    "n_layers": 3,
    "n_heads": 5,
    "max_position_embeddings": LENGTH,
    "n_langs": 3,
}
_XLNET: dict[str, Any] = {"vocab_size": V, "d_model": D, "n_layer": 3, "n_head": 5, "d_inner": 50}
CONFIGS: dict[str, tuple[Any, dict[str, Any]]] = {
    "Bert": (BertConfig, _SIZES),
    "Roberta": (RobertaConfig, _ROBERTA),
    "XLMRoberta": (XLMRobertaConfig, _ROBERTA),
    "Albert": (AlbertConfig, _ALBERT),
    "XLM": (XLMConfig, _XLM),
    "XLNet": (XLNetConfig, _XLNET),
}
MODELS: dict[str, Any] = {
    cls.__name__: cls
    for cls in (
        *(BertForPreTraining, BertForMaskedLM, BertModel),
        *(RobertaForMaskedLM, RobertaModel, XLMRobertaForMaskedLM, XLMRobertaModel),
        *(AlbertForPreTraining, AlbertForMaskedLM, AlbertModel),
        *(XLMWithLMHeadModel, XLMModel),
        *(XLNetLMHeadModel, XLNetModel),
    )
}
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def family_of(architecture: str) -> str:
    """The longest beginning that names a family: XLMRoberta before XLM."""
    return max((name for name in CONFIGS if architecture.startswith(name)), key=len)


def reference(architecture: str, **options: Any) -> Any:
    """A model of transformers with odd sizes, and weights large enough to matter."""
    config, sizes = CONFIGS[family_of(architecture)]
    model = MODELS[architecture](config(**(sizes | options)))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "norm" in name.lower() and name.endswith("weight")
            if not (options.get("sinusoidal_embeddings") and name.endswith("position_embeddings.weight")):
                nn.init.normal_(parameter, mean=1.0 if norm else 0.0, std=0.2)
    model.tie_weights()
    return model.eval()


def opened(theirs: Any, folder: Path) -> Any:
    """Our task of their weights, by way of a folder."""
    theirs.save_pretrained(folder)
    return plmlight.load(folder)


def padding_mask(side: str, rows: int = 3, length: int = 9) -> Tensor:
    """Rows of which all, four and one tokens are real: [B, T]."""
    mask = (torch.arange(length) < torch.tensor([length, 4, 1])[:rows, None]).long()
    return mask.flip(-1) if side == "left" else mask


class EncoderParity:
    """Tests that a subclass inherits; pytest runs them for each."""

    masked: ClassVar[str]
    """The architecture with a head for masked tokens."""
    backbone: ClassVar[str]
    layers: ClassVar[str]
    """Where the modules are whose outputs are the layers' hidden states."""
    segments: ClassVar[str | None] = "token_type_ids"
    """What the reference calls the token types; None where it has none."""
    num_types: ClassVar[int] = 2
    pad: ClassVar[int] = 0
    settings: ClassVar[tuple[dict[str, Any], ...]] = ()

    def inputs(self, ids: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Random token types for ours and for theirs."""
        if self.segments is None:
            return {}, {}
        types = torch.randint(self.num_types, ids.shape)
        return {"token_type_ids": types}, {self.segments: types}

    def plain(self, ids: Tensor) -> dict[str, Tensor]:
        """What theirs gets where ours gets no token types."""
        return {}

    @pytest.mark.parametrize("shape", [(1, 1), (2, 7), (5, 33), (1, LENGTH)])
    @torch.no_grad()
    def test_hidden_states_and_logits(self, shape: tuple[int, int], tmp_path: Path) -> None:
        theirs = reference(self.masked)
        task, ids = opened(theirs, tmp_path), torch.randint(FIRST, V, shape)
        for ours, given in [self.inputs(ids), ({}, self.plain(ids))]:
            assert_close(task.network(ids, **ours), theirs.base_model(ids, **given)[0])
            assert_close(task(ids, **ours)["logits"], theirs(ids, **given).logits)

    @torch.no_grad()
    def test_the_hidden_state_of_every_layer(self, tmp_path: Path) -> None:
        theirs = reference(self.masked)
        network, ids = opened(theirs, tmp_path).network, torch.randint(FIRST, V, (2, 9))
        ours, given = self.inputs(ids)
        found = _outputs(network.stack.layers.children())
        expected = _outputs(theirs.base_model.get_submodule(self.layers).children())
        network(ids, **ours)
        theirs(ids, **given)
        assert len(found) == len(expected) == network.num_layers
        for mine, other in zip(found, expected, strict=True):
            assert_close(mine, other)

    @pytest.mark.parametrize("side", ["left", "right"])
    @torch.no_grad()
    def test_padding(self, side: str, tmp_path: Path) -> None:
        theirs = reference(self.masked)
        task, mask = opened(theirs, tmp_path), padding_mask(side)
        ids = torch.where(mask > 0, torch.randint(FIRST, V, mask.shape), self.pad)
        ours, given = self.inputs(ids)
        hidden, expected = task.network(ids, mask, **ours), theirs.base_model(ids, attention_mask=mask, **given)[0]
        assert_close(hidden[mask > 0], expected[mask > 0])
        logits, expected = task(ids, mask, **ours)["logits"], theirs(ids, attention_mask=mask, **given).logits
        assert_close(logits[mask > 0], expected[mask > 0])

    @torch.no_grad()
    def test_other_settings(self, tmp_path: Path) -> None:
        for i, options in enumerate(self.settings):
            theirs = reference(self.masked, **options)
            task, ids = opened(theirs, tmp_path / str(i)), torch.randint(FIRST, V, (2, 9))
            ours, given = self.inputs(ids)
            assert_close(task(ids, **ours)["logits"], theirs(ids, **given).logits)

    @torch.no_grad()
    def test_the_backbone_alone(self, tmp_path: Path) -> None:
        theirs = reference(self.backbone)
        task, ids = opened(theirs, tmp_path), torch.randint(FIRST, V, (2, 9))
        ours, given = self.inputs(ids)
        expected = theirs(ids, **given)
        assert_close(task(ids, **ours)["last_hidden_state"], expected.last_hidden_state)
        assert (task.pooler is None) == ("pooler_output" not in expected)
        if task.pooler is not None:
            assert_close(task.pooler(task.network(ids, **ours)), expected.pooler_output)

    # Invariances, on ours alone.

    def network(self, tmp_path: Path) -> Encoder:
        """Our encoder, with random weights."""
        network = opened(reference(self.backbone), tmp_path).network
        assert isinstance(network, Encoder)
        return network

    @torch.no_grad()
    def test_a_row_does_not_depend_on_its_batch(self, tmp_path: Path) -> None:
        network, ids = self.network(tmp_path), torch.randint(FIRST, V, (32, 17))
        ours, _ = self.inputs(ids)
        alone = [network(ids[i : i + 1], **{k: v[i : i + 1] for k, v in ours.items()}) for i in range(len(ids))]
        assert_close(network(ids, **ours), torch.cat(alone))

    @torch.no_grad()
    def test_padding_on_the_right_changes_nothing(self, tmp_path: Path) -> None:
        network, ids = self.network(tmp_path), torch.randint(FIRST, V, (2, 11))
        more, ones = torch.full((2, 6), self.pad), torch.ones_like(ids)
        padded = network(torch.cat([ids, more], 1), torch.cat([ones, torch.zeros_like(more)], 1))
        assert_close(padded[:, :11], network(ids))
        assert_close(network(ids, ones), network(ids))

    @torch.no_grad()
    def test_packed_documents_do_not_see_each_other(self, tmp_path: Path) -> None:
        network, lengths = self.network(tmp_path), [7, 1, 12]
        documents = [torch.randint(FIRST, V, (1, length)) for length in lengths]
        numbers = torch.cat([torch.full_like(d, i + 1) for i, d in enumerate(documents)], 1)
        positions = torch.cat([torch.arange(length) for length in lengths])[None]
        packed = network(torch.cat(documents, 1), numbers, position_ids=positions)
        for found, document in zip(torch.split(packed, lengths, 1), documents, strict=True):
            assert_close(found, network(document))

    def test_more_tokens_than_positions_are_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match=f"{LENGTH + 1} tokens are more than max_length {LENGTH}"):
            self.network(tmp_path)(torch.full((1, LENGTH + 1), FIRST))

    def test_gradients_reach_every_parameter(self, tmp_path: Path) -> None:
        network = self.network(tmp_path).train()
        ids = torch.randint(FIRST, V, (2, LENGTH))
        ours, _ = self.inputs(ids)
        network(ids, **ours).square().sum().backward()
        assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()] == []


class PairParity(EncoderParity):
    """Where the family has a head for pairs of segments too."""

    pairs: ClassVar[str]

    @torch.no_grad()
    def test_the_pairs_logits(self, tmp_path: Path) -> None:
        theirs = reference(self.pairs)
        task, mask = opened(theirs, tmp_path), padding_mask("right")
        ids = torch.where(mask > 0, torch.randint(FIRST, V, mask.shape), self.pad)
        ours, given = self.inputs(ids)
        outputs, expected = task(ids, mask, **ours), theirs(ids, attention_mask=mask, **given)
        assert_close(outputs["logits"][mask > 0], expected.prediction_logits[mask > 0])
        assert_close(outputs["pair_logits"], expected[1])


def _outputs(layers: Any) -> list[Tensor]:
    seen: list[Tensor] = []

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        seen.append(output if isinstance(output, Tensor) else output[0])

    for layer in layers:
        layer.register_forward_hook(keep)
    return seen
