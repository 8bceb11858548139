"""Encoders and their heads, to Hugging Face folders and back: what goes through, and what is refused."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import (
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    BertForMultipleChoice,
    XLNetForSequenceClassification,
    XLNetLMHeadModel,
)

import plmlight
from plmlight import (
    ALBERT,
    BERT,
    XLM,
    MaskedLM,
    NextSentencePrediction,
    PermutationLM,
    RoBERTa,
    SentenceEmbedding,
    SentenceOrderPrediction,
    XLNet,
)
from plmlight.interop import (
    ALBERT_FAMILY,
    BERT_FAMILY,
    ROBERTA_FAMILY,
    XLM_FAMILY,
    XLM_ROBERTA_FAMILY,
    XLNET_FAMILY,
    Family,
)
from plmlight.loading import write_checkpoint
from plmlight.nn import config_of
from tests.networks.encoders import FIRST, MODELS, D, V, assert_close, family_of, opened, reference

FAMILIES = [BERT_FAMILY, ROBERTA_FAMILY, XLM_ROBERTA_FAMILY, ALBERT_FAMILY, XLM_FAMILY, XLNET_FAMILY]
TINY: dict[str, Any] = {"vocab_size": V, "d_model": D, "num_layers": 2, "num_heads": 5, "max_length": 20}
PAIRS: dict[str, Any] = {"Bert": NextSentencePrediction, "Albert": SentenceOrderPrediction}
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.model_type)
every_architecture = pytest.mark.parametrize("architecture", MODELS)


def weights(folder: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = load_file(folder / "model.safetensors")
    return found


def change(folder: Path, edit: Callable[[dict[str, Tensor]], dict[str, Tensor]]) -> None:
    save_file(edit(weights(folder)), folder / "model.safetensors", {"format": "pt"})


def set_config(folder: Path, **values: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


@every_architecture
@pytest.mark.parametrize("through", ["folder", "checkpoint"])
def test_no_weight_changes_on_the_way_there_and_back(architecture: str, through: str, tmp_path: Path) -> None:
    task = opened(reference(architecture), tmp_path / "theirs")
    if through == "checkpoint":
        write_checkpoint(task, tmp_path / "x.ckpt")
        task = plmlight.load(tmp_path / "x.ckpt")
    task.save_pretrained(str(tmp_path / "back"))
    before, after = weights(tmp_path / "theirs"), weights(tmp_path / "back")
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    again = plmlight.load(tmp_path / "back")
    assert type(again) is type(task)
    assert config_of(again.network) == config_of(task.network)
    assert again.state_dict().keys() == task.state_dict().keys()


@every_architecture
def test_an_architecture_is_its_task(architecture: str, tmp_path: Path) -> None:
    task = opened(reference(architecture), tmp_path)
    assert not task.training
    family = family_of(architecture)
    network: Any = {"Bert": BERT, "Albert": ALBERT, "XLM": XLM, "XLNet": XLNet}.get(family, RoBERTa)
    assert type(task.network) is network
    if architecture.endswith("Model") and "LMHead" not in architecture:
        assert isinstance(task, SentenceEmbedding)
        assert (task.pooling, task.normalise) == ("mean", False)
        assert (task.pooler is None) == (family in ("XLM", "XLNet"))
        return
    assert isinstance(task, PermutationLM if family == "XLNet" else MaskedLM)
    assert task.head.weight is task.network.token_embedding.weight
    if isinstance(task, PermutationLM):
        return
    expected = PAIRS[family] if architecture.endswith("ForPreTraining") else type(None)
    assert type(task.pair_objective) is expected


@pytest.mark.parametrize("architecture", ["BertForMaskedLM", "RobertaForMaskedLM", "XLMWithLMHeadModel"])
@torch.no_grad()
def test_a_head_of_its_own_goes_there_and_back(architecture: str, tmp_path: Path) -> None:
    theirs = reference(architecture, tie_word_embeddings=False)
    task, ids = opened(theirs, tmp_path / "theirs"), torch.randint(FIRST, V, (2, 7))
    assert isinstance(task, MaskedLM)
    assert task.head.weight is not task.network.token_embedding.weight
    task.save_pretrained(str(tmp_path / "back"))
    again = AutoModelForMaskedLM.from_pretrained(tmp_path / "back").eval()
    given = {"langs": torch.zeros_like(ids)} if architecture.startswith("XLMW") else {}
    assert_close(again(ids, **given).logits, theirs(ids, **given).logits)


@pytest.mark.parametrize("network", [BERT, RoBERTa, ALBERT, XLM])
@torch.no_grad()
def test_a_masked_model_made_here_opens_in_transformers(network: Any, tmp_path: Path) -> None:
    task = MaskedLM(network=network(**TINY)).eval()
    for parameter in task.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.save_pretrained(str(tmp_path))
    ids = torch.randint(FIRST, V, (2, 20))
    theirs = AutoModelForMaskedLM.from_pretrained(tmp_path).eval()
    assert_close(theirs(ids).logits, task(ids)["logits"])
    assert_close(AutoModel.from_pretrained(tmp_path).eval()(ids).last_hidden_state, task.network(ids))


@pytest.mark.parametrize("network", [BERT, ALBERT])
@pytest.mark.parametrize("objective", [NextSentencePrediction, SentenceOrderPrediction])
@torch.no_grad()
def test_a_model_of_pairs_made_here_opens_in_transformers(network: Any, objective: Any, tmp_path: Path) -> None:
    task = MaskedLM(network=network(**TINY), pair_objective=objective()).eval()
    for parameter in task.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.save_pretrained(str(tmp_path))
    ids, types = torch.randint(FIRST, V, (2, 9)), torch.randint(2, (2, 9))
    expected = AutoModelForPreTraining.from_pretrained(tmp_path).eval()(ids, token_type_ids=types)
    found = task(ids, token_type_ids=types)
    assert_close(found["logits"], expected.prediction_logits)
    assert_close(found["pair_logits"], expected[1])


def test_older_names_are_read(tmp_path: Path) -> None:
    task = opened(reference("BertForPreTraining"), tmp_path)
    older = {".weight": ".gamma", ".bias": ".beta"}

    def rename(name: str) -> str:
        for new, old in older.items():
            name = name.replace(f"LayerNorm{new}", f"LayerNorm{old}")
        return name

    change(tmp_path, lambda held: {rename(name): tensor for name, tensor in held.items()})
    assert sum(name.endswith((".gamma", ".beta")) for name in weights(tmp_path)) == 2 * (1 + 2 * 3 + 1)
    again = plmlight.load(tmp_path).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in task.state_dict().items())


HEADS = {
    "BertForMaskedLM": ("cls.predictions", "bert.embeddings.word_embeddings.weight"),
    "RobertaForMaskedLM": ("lm_head", "roberta.embeddings.word_embeddings.weight"),
    "AlbertForPreTraining": ("predictions", "albert.embeddings.word_embeddings.weight"),
}


@pytest.mark.parametrize("architecture", HEADS)
def test_a_tied_decoder_may_be_stored(architecture: str, tmp_path: Path) -> None:
    task = opened(reference(architecture), tmp_path).state_dict()
    head, table = HEADS[architecture]
    twins = {f"{head}.decoder.weight": table, f"{head}.decoder.bias": f"{head}.bias"}
    change(tmp_path, lambda held: held | {twin: held[name].clone() for twin, name in twins.items()})
    again = plmlight.load(tmp_path).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in task.items())
    change(tmp_path, lambda held: {name: tensor for name, tensor in held.items() if name != f"{head}.bias"})
    again = plmlight.load(tmp_path).state_dict()
    assert all(torch.equal(again[name], tensor) for name, tensor in task.items())


@pytest.mark.parametrize("architecture", HEADS)
@pytest.mark.parametrize("kind", ["weight", "bias"])
def test_a_mis_tied_decoder_is_refused(architecture: str, kind: str, tmp_path: Path) -> None:
    reference(architecture).save_pretrained(tmp_path)
    head, table = HEADS[architecture]
    name = table if kind == "weight" else f"{head}.bias"
    change(tmp_path, lambda held: held | {f"{head}.decoder.{kind}": held[name] + 1e-3})
    with pytest.raises(ValueError, match=re.escape(f"{head}.decoder.{kind} differs from {name}, but ")):
        plmlight.load(tmp_path)


def test_what_follows_from_the_configuration_is_left_alone(tmp_path: Path) -> None:
    reference("RobertaForMaskedLM").save_pretrained(tmp_path)
    change(tmp_path, lambda held: held | {"roberta.embeddings.position_ids": torch.arange(42)[None]})
    assert isinstance(plmlight.load(tmp_path), MaskedLM)


def test_heads_that_are_not_the_architectures_are_left_alone(tmp_path: Path) -> None:
    reference("BertForPreTraining").save_pretrained(tmp_path)
    set_config(tmp_path, architectures=["BertForMaskedLM"])
    task = plmlight.load(tmp_path)
    assert isinstance(task, MaskedLM)
    assert task.pair_head is None
    set_config(tmp_path, architectures=None)
    assert isinstance(plmlight.load(tmp_path), SentenceEmbedding)


def test_a_backbone_may_come_with_a_head_that_no_task_has(tmp_path: Path) -> None:
    theirs = reference("BertForMaskedLM")
    BertForMultipleChoice(theirs.config).save_pretrained(tmp_path)
    assert BERT.from_pretrained(str(tmp_path)).vocab_size == V
    with pytest.raises(ValueError, match=r"config\.json: architectures: there is no task for BertForMultipleChoice"):
        plmlight.load(tmp_path)


def test_a_network_is_not_another(tmp_path: Path) -> None:
    reference("RobertaModel").save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"model_type 'roberta' is not read by BERT, which reads bert$"):
        BERT.from_pretrained(str(tmp_path))


REFUSED: dict[str, tuple[str, Any, str]] = {
    "missing": (
        "BertForMaskedLM",
        lambda f: change(f, lambda w: {k: v for k, v in w.items() if "layer.1.attention.self.key.bias" not in k}),
        r"the weight encoder\.layer\.1\.attention\.self\.key\.bias is missing$",
    ),
    "missing in the head": (
        "AlbertForPreTraining",
        lambda f: change(f, lambda w: {k: v for k, v in w.items() if k != "sop_classifier.classifier.bias"}),
        r"the weight sop_classifier\.classifier\.bias is missing$",
    ),
    "half a pooler": (
        "RobertaModel",
        lambda f: change(f, lambda w: {k: v for k, v in w.items() if k != "pooler.dense.bias"}),
        r"the weight pooler\.dense\.bias is missing$",
    ),
    "left over": (
        "XLMWithLMHeadModel",
        lambda f: change(f, lambda w: w | {"transformer.encoder_attn.0.q_lin.weight": torch.zeros(2)}),
        r"the weight encoder_attn\.0\.q_lin\.weight is left over$",
    ),
    "too many layers": (
        "BertModel",
        lambda f: set_config(f, num_hidden_layers=2),
        r"the weight encoder\.layer\.2\..* is left over \(and 15 more\)",
    ),
    "mis-shaped": (
        "AlbertForMaskedLM",
        lambda f: set_config(f, embedding_size=13),
        r"word_embeddings\.weight is \[97, 12\], but by config\.json it should be \[97, 13\]",
    ),
    "mis-shaped part": (
        "BertForMaskedLM",
        lambda f: change(f, lambda w: w | {"bert.encoder.layer.0.attention.self.key.weight": torch.zeros(31, 30)}),
        r"is \[30, 30\], \[31, 30\], \[30, 30\], but by config\.json it should be \[30, 30\]",
    ),
    "mis-shaped head": (
        "BertForPreTraining",
        lambda f: change(f, lambda w: w | {"cls.seq_relationship.weight": torch.zeros(3, 30)}),
        r"cls\.seq_relationship\.weight is \[3, 30\], expected \[2, 30\]",
    ),
    "positions": (
        "RobertaModel",
        lambda f: set_config(f, max_position_embeddings=2),
        r"max_position_embeddings is 2, expected more than pad_token_id \+ 1 = 2",
    ),
    "twice": (
        "BertModel",
        lambda f: change(f, lambda w: w | {"embeddings.LayerNorm.gamma": torch.zeros(30)}),
        r"embeddings\.LayerNorm\.\w+ is there twice",
    ),
    "relative": (
        "BertModel",
        lambda f: set_config(f, position_embedding_type="relative_key"),
        "position_embedding_type is 'relative_key': only 'absolute' is supported",
    ),
    "decoder": ("BertModel", lambda f: set_config(f, is_decoder=True), "is_decoder is True: only False is supported"),
    "inner groups": (
        "AlbertModel",
        lambda f: set_config(f, inner_group_num=2),
        "inner_group_num is 2: only 1 is supported",
    ),
    "causal": ("XLMModel", lambda f: set_config(f, causal=True), "causal is True: only False is supported"),
    "adaptive": ("XLMModel", lambda f: set_config(f, asm=True), "asm is True: only False is supported"),
    "alias": ("XLMModel", lambda f: set_config(f, n_words=98), "vocab_size is 97, but n_words is 98"),
    "two directions": (
        "XLNetModel",
        lambda f: set_config(f, bi_data=True),
        "bi_data is True: only False is supported",
    ),
    "shared biases": (
        "XLNetModel",
        lambda f: set_config(f, untie_r=False),
        "untie_r is False: only True is supported",
    ),
    "wide heads": ("XLNetModel", lambda f: set_config(f, d_head=7), "d_head is 7: only d_model 30 divided by n_head 5"),
    "memory": ("XLNetModel", lambda f: set_config(f, mem_len="all"), "mem_len is 'all', expected a whole number or"),
    "direction": (
        "XLNetModel",
        lambda f: set_config(f, attn_type="by"),
        "attn_type 'by' is not known",
    ),
    "mis-shaped heads": (
        "XLNetModel",
        lambda f: change(f, lambda w: w | {"layer.0.rel_attn.k": torch.zeros(30, 5, 7)}),
        r"rel_attn\.v is \[30, 5, 7\], \[30, 5, 6\], but by config\.json it should be \[30, 5, 6\]",
    ),
    "dropout": (
        "BertModel",
        lambda f: set_config(f, hidden_dropout_prob=0.2),
        r"hidden_dropout_prob 0\.2, attention_probs_dropout_prob 0\.1 differ",
    ),
    "family": ("BertModel", lambda f: set_config(f, model_type="bertt"), "'bertt' is not known; did you mean 'bert'"),
    "untied": (
        "RobertaForMaskedLM",
        lambda f: set_config(f, tie_word_embeddings=False),
        r"the weight lm_head\.decoder\.weight is missing, and config\.json does not tie it",
    ),
    "not a number": ("BertModel", lambda f: set_config(f, pad_token_id="no"), "pad_token_id is 'no', expected a whole"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    architecture, spoil, message = REFUSED[case]
    reference(architecture).save_pretrained(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ValueError, match=message) as caught:
        plmlight.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MaskedLM(BERT(**TINY, num_token_types=0)), "as bert: num_token_types is 0, and at least 1 there"),
        (lambda: MaskedLM(RoBERTa(**TINY, activation="relu")), "as roberta: activation 'relu' has no name there"),
        (lambda: MaskedLM(XLM(**TINY, activation="silu")), "activation is 'silu', and gelu or relu there"),
        (lambda: MaskedLM(XLM(**TINY, num_token_types=1)), "num_token_types is 1, and a single language"),
        (
            lambda: MaskedLM(RoBERTa(**TINY), pair_objective=NextSentencePrediction()),
            "as roberta: it has no MaskedLM with head and pair_head",
        ),
        (lambda: SentenceEmbedding(XLM(**TINY), pooler=True), "as xlm: it has no SentenceEmbedding with pooler"),
        (lambda: SentenceEmbedding(BERT(**TINY), pooling="pooler"), "pooling 'pooler' does not exist in"),
    ],
)
def test_what_no_family_can_express_is_not_written(make: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        make().save_pretrained(str(tmp_path / "out"))
    assert list(tmp_path.iterdir()) == []


@every_family
def test_what_is_written_reads_back(family: Family) -> None:
    given = family.arguments({}, {}) | {"dropout": 0.25, "pad_token_id": 7, "norm_eps": 1e-6, "max_length": 99}
    assert family.arguments(family.configuration(given, {}), {}) == given


@every_family
def test_no_two_rules_share_a_weight(family: Family) -> None:
    for rules in (family.rules, *(family.head_rules(a.heads) for a in family.architectures.values())):
        theirs = [name for rule in rules for name in ([rule.theirs] if isinstance(rule.theirs, str) else rule.theirs)]
        assert len(set(theirs)) == len(theirs)
        assert len({rule.ours for rule in rules}) == len(rules)


@every_family
def test_an_empty_config_means_the_references_defaults(family: Family) -> None:
    found = family.arguments({}, {})
    sizes = {
        "bert": (30522, 768, 12, 12, 512, 0),
        "roberta": (50265, 768, 12, 12, 510, 1),
        "xlm-roberta": (30522, 768, 12, 12, 510, 1),
        "albert": (30000, 4096, 12, 64, 512, 0),
        "xlm": (30145, 2048, 12, 16, 512, 2),
        "xlnet": (32000, 1024, 24, 16, 512, 5),
    }[family.model_type]
    names = ("vocab_size", "d_model", "num_layers", "num_heads", "max_length", "pad_token_id")
    assert tuple(found[name] for name in names) == sizes


@torch.no_grad()
def test_a_permutation_model_made_here_opens_in_transformers(tmp_path: Path) -> None:
    network = XLNet(**TINY, memory_length=8, reuse_length=4, clamp_length=5)
    task = PermutationLM(network=network).eval()
    for parameter in task.parameters():
        parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.save_pretrained(str(tmp_path))
    ids, types = torch.randint(FIRST, V, (2, 20)), torch.randint(2, (2, 20))
    theirs = XLNetLMHeadModel.from_pretrained(tmp_path).eval()
    assert (theirs.config.mem_len, theirs.config.reuse_len, theirs.config.clamp_len) == (8, 4, 5)
    assert_close(theirs(ids, token_type_ids=types).logits, task(ids, token_type_ids=types)["logits"])
    expected = AutoModel.from_pretrained(tmp_path).eval()(ids)
    hidden, _, kept = task.network.two_stream(ids)
    assert_close(hidden, expected.last_hidden_state)
    for found, other in zip(kept, expected.mems, strict=True):
        assert_close(found, other.transpose(0, 1))


def test_the_summary_of_a_classifier_is_left_alone(tmp_path: Path) -> None:
    XLNetForSequenceClassification(reference("XLNetModel").config).save_pretrained(tmp_path)
    assert XLNet.from_pretrained(str(tmp_path)).vocab_size == V


def test_older_keys_of_xlm_are_read() -> None:
    assert (
        XLM_FAMILY.arguments({"n_words": 95, "pad_index": 3}, {}).items()
        >= {"vocab_size": 95, "pad_token_id": 3}.items()
    )
