"""Encoder-decoders to Hugging Face folders and back: parity, what goes through, and what is refused."""

import json
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BartConfig,
    BartForConditionalGeneration,
    BartModel,
    MarianConfig,
    MarianModel,
    MarianMTModel,
    MBartConfig,
    MBartForConditionalGeneration,
    MT5Config,
    MT5ForConditionalGeneration,
    T5Config,
    T5ForConditionalGeneration,
    T5Model,
)

import plmlight
from plmlight import BERT, GPT, T5, EncoderDecoderPair, LSTMSeq2Seq, Seq2Seq, SpanCorruptionLM, Transformer
from plmlight.cli.convert import main as convert
from plmlight.interop import BART_FAMILY, MARIAN_FAMILY, MBART_FAMILY, MT5_FAMILY, T5_FAMILY, Family
from plmlight.loading import write_checkpoint
from plmlight.nn import config_of
from tests.text.test_marian import marian

V, D, LENGTH = 97, 24, 40
FIRST = 3
"""The first id that no family here pads with."""
SIZES: dict[str, Any] = {
    "vocab_size": V,
    "d_model": D,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
    "max_position_embeddings": LENGTH,
}
MARIAN = SIZES | {"pad_token_id": V - 1, "decoder_start_token_id": V - 1, "eos_token_id": 0, "scale_embedding": True}
TWO = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": 103}
T5_SIZES: dict[str, Any] = {
    "vocab_size": V,
    "d_model": D,
    "d_kv": 7,
    "num_heads": 4,
    "d_ff": 40,
    "num_layers": 1,
    "num_decoder_layers": 2,
    "relative_attention_num_buckets": 12,
    "relative_attention_max_distance": 20,
}
V1_1 = T5_SIZES | {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
MODELS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "marian": (MarianMTModel, MarianConfig, MARIAN | {"activation_function": "swish"}),
    "marian, two vocabularies": (MarianMTModel, MarianConfig, MARIAN | TWO),
    "marian, untied": (MarianMTModel, MarianConfig, MARIAN | {"tie_word_embeddings": False}),
    "marian, backbone": (MarianModel, MarianConfig, MARIAN),
    "bart": (BartForConditionalGeneration, BartConfig, SIZES),
    "bart, untied": (BartForConditionalGeneration, BartConfig, SIZES | {"tie_word_embeddings": False}),
    "bart, backbone": (BartModel, BartConfig, SIZES),
    "t5": (T5ForConditionalGeneration, T5Config, T5_SIZES),
    "t5, 1.1": (T5ForConditionalGeneration, T5Config, V1_1),
    "t5, backbone": (T5Model, T5Config, T5_SIZES),
    "mt5": (MT5ForConditionalGeneration, MT5Config, T5_SIZES),
    "mbart": (MBartForConditionalGeneration, MBartConfig, SIZES | {"scale_embedding": True}),
}
FAMILIES = [MARIAN_FAMILY, BART_FAMILY, MBART_FAMILY, T5_FAMILY, MT5_FAMILY]
every_model = pytest.mark.parametrize("name", MODELS)
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
VOCABULARIES = ("vocab.json", "target_vocab.json")
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)


def reference(name: str, **options: Any) -> Any:
    """A model of transformers with odd sizes, and weights large enough to matter."""
    model, config, given = MODELS[name]
    theirs = model(config(**given | options)).eval()
    if name in ("t5, 1.1", "mt5"):  # as when such weights are read
        theirs.lm_head.weight = nn.Parameter(torch.empty(V, D))
    with torch.no_grad():
        for key, tensor in theirs.named_parameters():
            if "embed_positions" not in key or "marian" not in name:
                nn.init.normal_(tensor, mean=1.0 if "norm" in key and key.endswith("weight") else 0.0, std=0.2)
        if hasattr(theirs, "final_logits_bias"):
            theirs.final_logits_bias.normal_()
        if "untied" in name:  # here an untied head unties all tables
            for side in (theirs.model.encoder, theirs.model.decoder):
                side.embed_tokens.weight.copy_(theirs.model.shared.weight)
    return theirs


def opened(theirs: Any, folder: Path) -> Seq2Seq:
    """Our task of their weights, by way of a folder."""
    theirs.save_pretrained(folder)
    task = plmlight.load(folder)
    assert isinstance(task, Seq2Seq)
    return task


def weights(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return found


def change(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(edit(weights(folder)), folder / "model.safetensors", {"format": "pt"})


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def batch(task: Seq2Seq, size: int, source: int, target: int) -> tuple[Tensor, Tensor, Tensor]:
    """Sources with padding on the right, their mask, and what the decoder reads."""
    ids = torch.randint(FIRST, 80, (size, source))
    mask = (torch.arange(source) < torch.arange(source, source - size, -1).clamp(min=1)[:, None]).long()
    written = torch.randint(FIRST, 80, (size, target))
    written[:, 0] = task.network.decoder_start_token_id
    return ids.masked_fill(mask == 0, task.network.pad_token_id), mask, written


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Seq2Seq]]:
    """Each model of transformers with ours, made once."""

    @cache
    def made(name: str) -> tuple[Any, Seq2Seq]:
        theirs = reference(name)
        return theirs, opened(theirs, tmp_path_factory.mktemp("model"))

    return made


@every_model
@pytest.mark.parametrize(("size", "source", "target"), [(1, 1, 1), (2, 7, 5), (5, 33, 12)])
@torch.no_grad()
def test_scores_and_states_are_the_references(name: str, size: int, source: int, target: int, pairs: Any) -> None:
    theirs, task = pairs(name)
    ids, mask, written = batch(task, size, source, target)
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=written)
    found = task(ids, written, mask)
    real = mask.bool()
    assert_close(found["encoder_last_hidden_state"][real], expected.encoder_last_hidden_state[real])
    if "backbone" in name:
        assert_close(task.network(ids, written, mask), expected.last_hidden_state)
    else:
        assert_close(found["logits"], expected.logits)


@every_model
@torch.no_grad()
def test_step_by_step_is_the_references_whole(name: str, pairs: Any) -> None:
    theirs, task = pairs(name)
    ids, mask, written = batch(task, 3, 9, 6)
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=written)
    cache = task.network.empty_cache(task.network.encode(ids, mask))
    steps = []
    for step in written.split([2, 1, 3], 1):
        hidden, present = task.network.decode(step, None, mask, cache)
        assert present is not None
        cache = present
        steps.append(hidden)
    hidden = torch.cat(steps, 1)
    if "backbone" in name:
        assert_close(hidden, expected.last_hidden_state)
    else:
        assert_close(task.head(hidden), expected.logits)


@every_model
@pytest.mark.parametrize("through", ["folder", "checkpoint"])
def test_no_weight_changes_on_the_way_there_and_back(name: str, through: str, tmp_path: Path, pairs: Any) -> None:
    theirs, task = pairs(name)
    theirs.save_pretrained(tmp_path / "theirs")
    if through == "checkpoint":
        write_checkpoint(task, tmp_path / "x.ckpt")
        loaded = plmlight.load(tmp_path / "x.ckpt")
        assert isinstance(loaded, Seq2Seq)
        task = loaded
    task.save_pretrained(str(tmp_path / "back"))
    before, after = weights(tmp_path / "theirs"), weights(tmp_path / "back")
    if "backbone" in name:  # which has a head here, as it is a task
        prefix = "" if "t5" in name else "model."
        before = {f"{prefix}{key}": tensor for key, tensor in before.items()}
    for held in (before, after):
        for key in [key for key in held if "embed_positions" in key]:  # sines, or two rows that nothing reads
            tensor = held.pop(key)
            held |= {} if "marian" in name else {key: tensor[2:]}
    assert before.keys() == after.keys()
    assert [key for key in before if not torch.equal(before[key], after[key])] == []
    again = plmlight.load(tmp_path / "back")
    assert config_of(again.network) == config_of(task.network)
    state = task.state_dict()
    assert again.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in again.state_dict().items())


@every_model
@torch.no_grad()
def test_what_is_written_opens_in_transformers(name: str, tmp_path: Path, pairs: Any) -> None:
    _, task = pairs(name)
    task.save_pretrained(str(tmp_path / "back"))
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "back").eval()
    ids, mask, written = batch(task, 3, 9, 6)
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=written)
    assert_close(task(ids, written, mask)["logits"], expected.logits)


@every_family
def test_what_is_written_reads_back(family: Family) -> None:
    given = family.arguments({"decoder_start_token_id": 5}, {}) | {"dropout": 0.25, "pad_token_id": 7, "max_length": 99}
    assert family.arguments(family.configuration(given, {}), {}) == given


@every_family
def test_an_empty_config_means_the_references_defaults(family: Family) -> None:
    found = family.arguments({"bos_token_id": 0}, {})
    sizes = {
        "marian": (58101, 1024, 12, 12, 16, 4096, 1024, 58100, 58100),
        "bart": (50265, 1024, 12, 12, 16, 4096, 1024, 1, 2),
        "t5": (32128, 512, 6, 6, 8, 2048, 512, 0, 0),
        "mt5": (250112, 512, 8, 8, 6, 1024, 512, 0, 0),
        "mbart": (50265, 1024, 12, 12, 16, 4096, 1024, 1, 0),
    }[family.model_type]
    names = ("vocab_size", "d_model", "num_layers", "num_decoder_layers", "num_heads", "d_ff", "max_length")
    assert tuple(found[key] for key in (*names, "pad_token_id", "decoder_start_token_id")) == sizes


TWINS = {
    "shared.weight": ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight"),
    "encoder.embed_tokens.weight": ("decoder.embed_tokens.weight",),
    "decoder.embed_tokens.weight": (),
}


@pytest.mark.parametrize(("name", "prefix"), [("bart", "model."), ("t5", "")])
@pytest.mark.parametrize("stored", TWINS)
def test_a_shared_table_may_be_stored_by_any_of_its_names(name: str, prefix: str, stored: str, tmp_path: Path) -> None:
    state = opened(reference(name), tmp_path).state_dict()
    copies = {f"{prefix}{key}": state["network.token_table.weight"].clone() for key in (stored, *TWINS[stored])}
    without = {key: tensor for key, tensor in weights(tmp_path).items() if key != f"{prefix}shared.weight"}
    for head in ({}, {"lm_head.weight": state["network.token_table.weight"].clone()}):
        change(tmp_path, lambda _: without | copies | head)  # noqa: B023 - called at once
        again = plmlight.load(tmp_path).state_dict()
        assert again.keys() == state.keys()
        assert all(torch.equal(again[key], tensor) for key, tensor in state.items())
    change(tmp_path, lambda _: without | {"lm_head.weight": state["network.token_table.weight"]})
    assert torch.equal(plmlight.load(tmp_path).state_dict()["head.weight"], state["head.weight"])


REFUSED: dict[str, tuple[str, Any, str]] = {
    "missing": (
        "bart",
        lambda f: change(
            f, lambda w: {k: v for k, v in w.items() if "decoder.layers.1.encoder_attn.v_proj.bias" not in k}
        ),
        r"the weight decoder\.layers\.1\.encoder_attn\.v_proj\.bias is missing$",
    ),
    "no table": (
        "marian",
        lambda f: change(f, lambda w: {k: v for k, v in w.items() if k != "model.shared.weight"}),
        r"the weight shared\.weight is missing$",
    ),
    "left over": (
        "bart",
        lambda f: change(f, lambda w: w | {"model.encoder.layer_norm.weight": torch.zeros(D)}),
        r"the weight encoder\.layer_norm\.weight is left over$",
    ),
    "positions of a family without": (
        "mbart",
        lambda f: set_config(f, max_position_embeddings=41),
        r"encoder\.embed_positions\.weight is \[42, 24\], but by config\.json it should be \[43, 24\]",
    ),
    "twins that differ": (
        "marian",
        lambda f: change(f, lambda w: w | {"model.decoder.embed_tokens.weight": w["model.shared.weight"] + 1e-3}),
        r"model\.decoder\.embed_tokens\.weight differs from model\.shared\.weight, but they are one$",
    ),
    "mis-tied": (
        "bart",
        lambda f: change(f, lambda w: w | {"lm_head.weight": w["model.shared.weight"] + 1e-3}),
        r"lm_head\.weight differs from model\.shared\.weight, but tie_word_embeddings in config\.json is true$",
    ),
    "untied without head": (
        "bart",
        lambda f: set_config(f, tie_word_embeddings=False),
        r"the weight lm_head\.weight is missing, and config\.json does not tie it \(tie_word_embeddings is false\)$",
    ),
    "mis-shaped bias": (
        "marian",
        lambda f: change(f, lambda w: w | {"final_logits_bias": torch.zeros(1, 96)}),
        r"final_logits_bias is \[96\], expected \[97\]$",
    ),
    "heads": (
        "marian",
        lambda f: set_config(f, decoder_attention_heads=8),
        r"encoder_attention_heads 4, decoder_attention_heads 8 differ, but there is one num_heads here",
    ),
    "widths": ("bart", lambda f: set_config(f, encoder_ffn_dim=41), "encoder_ffn_dim 41, decoder_ffn_dim 40 differ"),
    "activation": ("bart", lambda f: set_config(f, activation_function="tanh"), "activation_function 'tanh' is not"),
    "scale": ("bart", lambda f: set_config(f, scale_embedding=8), "scale_embedding is 8, expected true or false"),
    "start": (
        "mbart",
        lambda f: set_config(f, bos_token_id=None),
        "decoder_start_token_id is missing: give it the id that the decoder reads first",
    ),
    "feed-forward": (
        "t5",
        lambda f: set_config(f, feed_forward_proj="gated-tanh"),
        "feed_forward_proj 'gated-tanh' is not known; did you mean 'gated-",
    ),
    "feed-forward said twice": (
        "t5",
        lambda f: set_config(f, is_gated_act=True),
        "is_gated_act is True, but feed_forward_proj 'relu': they mean the same",
    ),
    "activation said twice": (
        "t5, 1.1",
        lambda f: set_config(f, dense_act_fn="relu"),
        "dense_act_fn is 'relu', but feed_forward_proj 'gated-gelu': they mean the same",
    ),
    "tied but not scaled": (
        "t5",
        lambda f: set_config(f, scale_decoder_outputs=False),
        r"lm_head\.weight is missing, and config\.json does not tie it \(scale_decoder_outputs is false\)$",
    ),
    "tied, scaled, and another": (
        "t5, 1.1",
        lambda f: set_config(f, scale_decoder_outputs=True),
        r"lm_head\.weight differs from shared\.weight, but tie_word_embeddings in config\.json is true$",
    ),
    "buckets": (
        "t5",
        lambda f: set_config(f, relative_attention_num_buckets=13),
        r"relative_attention_bias\.weight is \[12, 4\], but by config\.json it should be \[13, 4\]",
    ),
    "gate": (
        "t5",
        lambda f: set_config(f, feed_forward_proj="gated-relu", is_gated_act=True),
        r"the weight encoder\.block\.0\.layer\.1\.DenseReluDense\.wi_1\.weight is missing",
    ),
    "architecture": (
        "bart",
        lambda f: set_config(f, architectures=["BartForCausalLM"]),
        "architectures: there is no task for BartForCausalLM",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, spoil, message = REFUSED[case]
    reference(name).save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        plmlight.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_a_table_that_the_reference_never_reads_is_left_alone(tmp_path: Path) -> None:
    state = opened(reference("t5"), tmp_path).state_dict()
    unread = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
    change(tmp_path, lambda w: w | {unread: torch.zeros(12, 4)})
    again = plmlight.load(tmp_path).state_dict()
    assert all(torch.equal(again[key], tensor) for key, tensor in state.items())


@pytest.mark.parametrize("gated", [False, True])
@pytest.mark.parametrize("activation", ["relu", "gelu", "gelu_tanh", "silu"])
@torch.no_grad()
def test_every_feed_forward_is_written_and_read(activation: str, gated: bool, tmp_path: Path) -> None:
    task = Seq2Seq(T5(V, D, 1, 4, activation=activation, gated=gated), tie_head=gated).eval()
    task.save_pretrained(str(tmp_path))
    theirs = AutoModelForSeq2SeqLM.from_pretrained(tmp_path).eval()
    ids, mask, written = batch(task, 2, 5, 3)
    expected = theirs(input_ids=ids, attention_mask=mask, decoder_input_ids=written)
    assert_close(task(ids, written, mask)["logits"], expected.logits)
    assert (
        config_of(T5.from_pretrained(str(tmp_path)))["init_args"].items()
        >= {
            "activation": activation,
            "gated": gated,
            "head_dim": 6,
        }.items()
    )


def test_what_learned_to_fill_spans_starts_a_network_and_is_published(tmp_path: Path) -> None:
    task = SpanCorruptionLM(T5(V, D, 1, 4))
    write_checkpoint(task, tmp_path / "x.ckpt")
    network = T5.from_pretrained(str(tmp_path / "x.ckpt"), dropout=0.35)
    assert network.dropout.p == 0.35
    task.save_pretrained(str(tmp_path / "x"))
    again = plmlight.load(tmp_path / "x")
    assert type(again) is Seq2Seq
    for found in (network, again.network):
        assert all(torch.equal(found.state_dict()[key], tensor) for key, tensor in task.network.state_dict().items())


def test_a_network_says_what_it_reads(tmp_path: Path) -> None:
    reference("bart").save_pretrained(tmp_path)
    set_config(tmp_path, model_type="bert")
    with pytest.raises(ValueError, match=r"'bert' is not read by Transformer, which reads bart, marian, mbart$"):
        Transformer.from_pretrained(str(tmp_path))


def test_the_dropout_can_be_replaced(tmp_path: Path) -> None:
    reference("marian").save_pretrained(tmp_path)
    network = Transformer.from_pretrained(str(tmp_path), dropout=0.35)
    assert network.training
    assert config_of(network)["init_args"]["dropout"] == network.dropout.p == 0.35


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "as marian: norm_eps is 1e-06, and always 1e-05 there"),
        ({"positions": "sinusoidal"}, "positions is 'sinusoidal', and always 'sinusoidal_halves' there"),
        ({"positions": "learned", "norm_embedding": True, "target_vocab_size": 9}, "as bart: .*target_vocab_size is 9"),
    ],
)
def test_what_no_family_can_express_is_not_written(options: Any, message: str, tmp_path: Path) -> None:
    task = Seq2Seq(Transformer(V, D, 1, 4, norm_eps=1e-6, **options))
    with pytest.raises(ValueError, match=message):
        task.save_pretrained(str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


def test_a_translation_model_comes_with_both_tokenizers(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    rows = len(json.loads((marian(folder) / "vocab.json").read_text()))
    ids = {"vocab_size": rows, "pad_token_id": rows - 1, "decoder_start_token_id": rows - 1}
    task = opened(reference("marian", **ids), folder)
    assert task.tokenizer is not None
    assert task.target_tokenizer is not None
    assert task.target_tokenizer.encode("das haus").ids != task.tokenizer.encode("das haus").ids
    write_checkpoint(task, tmp_path / "x.ckpt")
    plmlight.load(tmp_path / "x.ckpt").save_pretrained(str(tmp_path / "back"))  # type: ignore[operator]
    again = plmlight.load(tmp_path / "back")
    assert isinstance(again, Seq2Seq)
    assert again.tokenizer is not None
    assert again.target_tokenizer is not None
    assert again.tokenizer.to_str() == task.tokenizer.to_str()
    assert again.target_tokenizer.to_str() == task.target_tokenizer.to_str()
    theirs = AutoTokenizer.from_pretrained(tmp_path / "back")
    text = "naive facade belive."
    assert theirs(text)["input_ids"] == task.tokenizer.encode(text).ids
    written = task.target_tokenizer.encode("das haus ist groß").ids
    assert theirs.decode(written, skip_special_tokens=True) == "das haus ist groß"


def test_tokenizers_have_to_fit_the_networks_tables(tmp_path: Path) -> None:
    rows = len(json.loads((marian(tmp_path, apart=True) / "target_vocab.json").read_text()))
    options = {"vocab_size": 200, "decoder_vocab_size": rows - 1, "pad_token_id": 9, "decoder_start_token_id": 9}
    reference("marian, two vocabularies", **options).save_pretrained(tmp_path)
    message = f"its target's tokenizer has ids up to {rows - 1}, but its network only {rows - 1}$"
    with pytest.raises(ValueError, match=message):
        plmlight.load(tmp_path)


def test_a_vocabulary_that_only_the_target_has_is_not_written_with_its_tokenizer(tmp_path: Path) -> None:
    """transformers would find the text of what is written in the source's vocabulary."""
    rows = [len(json.loads((marian(tmp_path, apart=True) / name).read_text())) for name in VOCABULARIES]
    options = {"pad_token_id": 9, "decoder_start_token_id": 9}
    theirs = reference("marian, two vocabularies", vocab_size=rows[0], decoder_vocab_size=rows[1], **options)
    task = opened(theirs, tmp_path)
    with pytest.raises(ValueError, match=r"^this Transformer cannot .*its target has a vocabulary of its own"):
        task.save_pretrained(str(tmp_path / "back"))
    assert not (tmp_path / "back").exists()


@pytest.mark.parametrize("name", ["LSTMSeq2Seq", "EncoderDecoderPair"])
def test_networks_of_no_family_stay_checkpoints(name: str, tmp_path: Path) -> None:
    pair = EncoderDecoderPair(BERT(V, D, 1, 4), GPT(V, D, 1, 4, memory_dim=D))
    task = Seq2Seq(LSTMSeq2Seq(V, D, 1) if name == "LSTMSeq2Seq" else pair)
    write_checkpoint(task, tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=f"^this {name} cannot be written in Hugging Face format: it belongs to no"):
        convert("convert", [str(tmp_path / "x.ckpt"), "--output", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_both_ways_from_the_command_line(tmp_path: Path) -> None:
    reference("t5, 1.1").save_pretrained(tmp_path / "theirs")
    assert convert("convert", [str(tmp_path / "theirs"), "--output", str(tmp_path / "x.ckpt")]) == 0
    assert convert("convert", [str(tmp_path / "x.ckpt"), "--output", str(tmp_path / "back")]) == 0
    before, after = weights(tmp_path / "theirs"), weights(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
