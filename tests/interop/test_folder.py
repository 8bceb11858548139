"""GPT.from_pretrained and save_pretrained: what goes through, and what is refused."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModel, AutoModelForCausalLM

from plmlight import GPT
from plmlight.interop import GPT2, fetch, import_folder, stored_arguments, write_folder
from plmlight.nn import config_of
from tests.networks.references import REFERENCES, V, gpt2, ours

both = pytest.mark.parametrize("family", REFERENCES)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A tiny GPT-2 as transformers writes it."""
    gpt2().save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def change_weights(folder: Path, add: dict[str, Tensor] | None = None, drop: str = "") -> None:
    path = folder / "model.safetensors"
    weights = {name: tensor for name, tensor in load_file(path).items() if name != drop}
    save_file(weights | (add or {}), path, {"format": "pt"})


@both
@torch.no_grad()
def test_a_network_opens_in_transformers(family: str, tmp_path: Path) -> None:
    network = ours(REFERENCES[family](), tmp_path / "theirs")
    network.save_pretrained(str(tmp_path / "ours"))
    again = AutoModel.from_pretrained(tmp_path / "ours").eval()
    assert type(again).__name__ == {"gpt1": "OpenAIGPTModel", "gpt2": "GPT2Model"}[family]
    ids = torch.randint(V, (2, 9))
    torch.testing.assert_close(again(ids).last_hidden_state, network(ids)[0], atol=1e-5, rtol=0)


@both
def test_nothing_changes_on_the_way_there_and_back(family: str, tmp_path: Path) -> None:
    network = ours(REFERENCES[family](), tmp_path / "theirs")
    network.save_pretrained(str(tmp_path / "ours"))
    again = GPT.from_pretrained(str(tmp_path / "ours"))
    assert config_of(again) == config_of(network)
    for name, tensor in network.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@torch.no_grad()
def test_cross_attention_goes_there_and_back(tmp_path: Path) -> None:
    network = GPT(V, 12, 2, 3, max_length=20, memory_dim=12).eval()
    network.save_pretrained(str(tmp_path / "ours"))
    theirs = AutoModel.from_pretrained(tmp_path / "ours").eval()
    ids, memory = torch.randint(V, (2, 5)), torch.randn(2, 4, 12)
    expected = theirs(ids, encoder_hidden_states=memory).last_hidden_state
    torch.testing.assert_close(network(ids, memory=memory)[0], expected, atol=1e-5, rtol=0)


def test_the_backbones_keys_need_no_prefix(folder: Path, tmp_path: Path) -> None:
    gpt2().transformer.save_pretrained(tmp_path / "bare")
    assert not any(name.startswith("transformer.") for name in load_file(tmp_path / "bare" / "model.safetensors"))
    assert GPT.from_pretrained(str(tmp_path / "bare")).state_dict().keys() == (
        GPT.from_pretrained(str(folder)).state_dict().keys()
    )


def test_shards_are_read(tmp_path: Path) -> None:
    model = gpt2()
    model.save_pretrained(tmp_path / "whole")
    model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    assert (tmp_path / "shards" / "model.safetensors.index.json").exists()
    whole = GPT.from_pretrained(str(tmp_path / "whole")).state_dict()
    for name, tensor in GPT.from_pretrained(str(tmp_path / "shards")).state_dict().items():
        assert torch.equal(tensor, whole[name])


def test_heads_and_derived_buffers_are_left_alone(folder: Path) -> None:
    triangle = torch.ones(1, 1, 4, 4).tril()
    before = GPT.from_pretrained(str(folder)).state_dict()
    change_weights(
        folder,
        {
            "transformer.h.0.attn.bias": triangle,
            "transformer.h.2.attn.masked_bias": torch.tensor(-1e4),
            "score.weight": torch.zeros(2, 30),
        },
    )
    after = GPT.from_pretrained(str(folder)).state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_backbone_may_come_with_any_head(folder: Path) -> None:
    change_config(folder, architectures=["GPT2DoubleHeadsModel"], tie_word_embeddings=False)
    assert GPT.from_pretrained(str(folder)).vocab_size == V


def test_half_precision_is_widened(folder: Path) -> None:
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors")
    network = GPT.from_pretrained(str(folder))
    assert {p.dtype for p in network.parameters()} == {torch.float32}
    assert torch.equal(network.token_embedding.weight, weights["transformer.wte.weight"].float())


def test_the_dropout_can_be_replaced(folder: Path) -> None:
    network = GPT.from_pretrained(str(folder), dropout=0.35)
    assert network.training
    assert network.dropout.p == 0.35
    assert config_of(network)["init_args"]["dropout"] == 0.35


def test_the_arguments_are_known_without_the_weights(folder: Path) -> None:
    expected = config_of(GPT.from_pretrained(str(folder)))["init_args"]
    (folder / "model.safetensors").unlink()
    found = stored_arguments(GPT, str(folder))
    assert found["max_length"] == 40
    assert found.items() <= expected.items()


def test_the_weights_are_the_networks_own(folder: Path) -> None:
    network = GPT.from_pretrained(str(folder))
    before = load_file(folder / "model.safetensors")["transformer.wte.weight"]
    with torch.no_grad():
        network.token_embedding.weight.zero_()
    assert torch.equal(load_file(folder / "model.safetensors")["transformer.wte.weight"], before)
    assert all(p.requires_grad and p.is_contiguous() for p in network.parameters())


REFUSED: dict[str, tuple[Any, str]] = {
    "missing": (
        lambda f: change_weights(f, drop="transformer.h.1.mlp.c_fc.bias"),
        r"the weight h\.1\.mlp\.c_fc\.bias is missing$",
    ),
    "left over": (
        lambda f: change_weights(f, {"transformer.h.1.adapter.weight": torch.zeros(3)}),
        r"the weight h\.1\.adapter\.weight is left over$",
    ),
    "one layer too many": (
        lambda f: change_config(f, n_layer=2),
        r"the weight h\.2\.attn\.c_attn\.bias is left over \(and 11 more\)",
    ),
    "one layer too few": (
        lambda f: change_config(f, n_layer=4),
        r"the weight h\.3\.attn\.c_attn\.weight is missing \(and 11 more\)",
    ),
    "wrong shape": (
        lambda f: change_weights(f, {"transformer.h.0.attn.c_attn.weight": torch.zeros(30, 60)}),
        r"transformer\.h\.0\.attn\.c_attn\.weight is \[30, 60\], but by config\.json it should be \[30, 90\]",
    ),
    "transposed": (
        lambda f: change_weights(f, {"transformer.h.0.attn.c_attn.weight": torch.zeros(90, 30)}),
        r"c_attn\.weight is \[90, 30\], but by config\.json it should be \[30, 90\]",
    ),
    "vocabulary": (
        lambda f: change_config(f, vocab_size=98),
        r"transformer\.wte\.weight is \[97, 30\], but by config\.json it should be \[98, 30\]",
    ),
    "mis-tied": (
        lambda f: change_weights(f, {"lm_head.weight": torch.zeros(97, 30)}),
        r"lm_head\.weight differs from transformer\.wte\.weight, but tie_word_embeddings in config\.json is true",
    ),
    "untied without head": (
        lambda f: change_config(f, tie_word_embeddings=False),
        r"the weight lm_head\.weight is missing, and config\.json does not tie it",
    ),
    "head of another width": (
        lambda f: change_weights(f, {"lm_head.weight": torch.zeros(97, 31)}),
        r"lm_head\.weight is \[97, 31\], expected \[97, 30\]",
    ),
    "twice": (
        lambda f: change_weights(f, {"wte.weight": torch.zeros(97, 30)}),
        r"is there twice, with and without 'transformer\.'",
    ),
    "quantised": (
        lambda f: change_weights(f, {"transformer.wte.weight": torch.zeros(97, 30, dtype=torch.int8)}),
        r"transformer\.wte\.weight is torch\.int8: only plain floating-point weights",
    ),
    "setting": (
        lambda f: change_config(f, scale_attn_by_inverse_layer_idx=True),
        r"config\.json: scale_attn_by_inverse_layer_idx is True: only False is supported",
    ),
    "family": (
        lambda f: change_config(f, model_type="gpt_2"),
        r"config\.json: model_type 'gpt_2' is not read by GPT, which reads gpt2, openai-gpt$",
    ),
    "no family": (lambda f: (f / "config.json").write_text("{}"), r"config\.json: model_type is missing"),
    "no config": (lambda f: (f / "config.json").unlink(), r"config\.json: there is no such file"),
    "config is no JSON": (lambda f: (f / "config.json").write_text("{'a': 1}"), r"config\.json: not JSON"),
    "config is a list": (lambda f: (f / "config.json").write_text("[]"), r"config\.json: expected a JSON object"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), r"has no model\.safetensors"),
    "pickle only": (
        lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"),
        r"has pytorch_model\.bin, but no model\.safetensors, .*convert it",
    ),
    "truncated": (
        lambda f: (f / "model.safetensors").write_bytes((f / "model.safetensors").read_bytes()[:-100]),
        r"model\.safetensors: not a whole safetensors file",
    ),
    "empty": (lambda f: (f / "model.safetensors").write_bytes(b""), "not a whole safetensors file"),
    "shard outside": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "../model.safetensors"}}'),
        "is not the name of a file of this folder",
    ),
    "shard missing": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}'),
        r"model-1\.safetensors: is in the index, but there is no such file",
    ),
    "index wrong": (
        lambda f: (f / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model.safetensors"}}'),
        "a is in the index or in the shards, but not in both",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(case: str, folder: Path) -> None:
    spoil, message = REFUSED[case]
    spoil(folder)
    with pytest.raises(ValueError, match=message) as caught:
        GPT.from_pretrained(str(folder))
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


@pytest.mark.parametrize("name", ["no/such-model", "nothing-here", "./nothing", "a/b/c", "gone.ckpt"])
def test_a_name_that_is_nowhere_is_one_line(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{name}: ") as caught:
        fetch(name)
    assert "\n" not in str(caught.value)


def test_a_hub_id_is_fetched_without_pickles(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    import huggingface_hub

    asked: list[Any] = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.extend([name, allow_patterns])
        return str(folder)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    assert GPT.from_pretrained("someone/tiny-gpt2").vocab_size == V
    assert asked[0] == "someone/tiny-gpt2"
    assert not any(".bin" in pattern or pattern == "*" for pattern in asked[1])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"windows": (None, 4)}, "windows"),
        ({"positions": "rotary"}, "positions 'rotary'"),
        ({"positions": "sinusoidal"}, "positions 'sinusoidal'"),
        ({"memory_dim": 7}, "memory_dim is 7"),
        ({"norm_first": False, "d_ff": 50}, "d_ff is 50"),
        ({"norm_first": False, "activation": "gelu"}, "activation 'gelu' has no name there"),
    ],
)
def test_what_the_families_cannot_express_is_not_written(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    network = GPT(V, 12, 2, 3, max_length=20, **options)
    with pytest.raises(ValueError, match=f"this GPT cannot be written in Hugging Face format: as gpt2: .*{message}"):
        network.save_pretrained(str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_with_other_files_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(ValueError, match=r"holds other files \(thesis\.tex\)"):
        GPT(V, 12, 2, 3).save_pretrained(str(tmp_path))
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_an_older_model_is_replaced(folder: Path) -> None:
    GPT(V, 12, 2, 3, max_length=20).save_pretrained(str(folder))
    assert GPT.from_pretrained(str(folder)).d_model == 12


def test_a_failed_write_leaves_the_older_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("plmlight.interop.writing.write_weights", full)
    with pytest.raises(OSError, match="No space left"):
        GPT(V, 12, 2, 3, max_length=20).save_pretrained(str(folder))
    assert GPT.from_pretrained(str(folder)).d_model == 30
    assert [path.name for path in folder.parent.iterdir()] == ["model"]


@torch.no_grad()
def test_a_head_of_its_own_is_written_and_read(tmp_path: Path) -> None:
    network, head = GPT(V, 12, 2, 3, max_length=20).eval(), torch.randn(V, 12)
    write_folder(tmp_path / "out", network, task="CausalLM", heads={"head.weight": head})
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    ids = torch.randint(V, (2, 5))
    torch.testing.assert_close(theirs(ids).logits, network(ids)[0] @ head.T, atol=1e-5, rtol=0)
    imported = import_folder(tmp_path / "out", {GPT2: GPT})
    assert imported.architecture == "GPT2LMHeadModel"
    assert imported.arguments == {"tie_head": False}
    assert imported.heads.keys() == {"head.weight"}
    assert torch.equal(imported.heads["head.weight"], head)


@torch.no_grad()
def test_a_network_without_biases_is_written_with_zeros(tmp_path: Path) -> None:
    network = GPT(V, 12, 2, 3, max_length=20, bias=False).eval()
    network.save_pretrained(str(tmp_path))
    theirs, ids = AutoModel.from_pretrained(tmp_path).eval(), torch.randint(V, (2, 5))
    torch.testing.assert_close(theirs(ids).last_hidden_state, network(ids)[0], atol=1e-5, rtol=0)
    state = GPT.from_pretrained(str(tmp_path)).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in network.state_dict().items())
    added = state.keys() - network.state_dict().keys()
    assert len(added) == 2 * 6 + 1
    assert not any(state[name].any() for name in added)


def test_a_task_without_architecture_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="it has no head for Seq2Seq"):
        write_folder(tmp_path / "out", GPT(V, 12, 2, 3), task="Seq2Seq")
