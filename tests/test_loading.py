import json
from pathlib import Path
from typing import Any

import pytest
import torch
from jsonargparse import ArgumentParser
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import plmlight
from plmlight import BERT, GPT, CausalLM, MaskedLM, SentenceEmbedding
from plmlight.loading import families, write_checkpoint
from plmlight.nn import Decoder, Encoder, config_of
from plmlight.text import load_tokenizer, save_tokenizer, train_tokenizer
from tests.networks.encoders import reference
from tests.networks.references import REFERENCES, V, gpt2

both = pytest.mark.parametrize("family", REFERENCES)
TEXT = ["the cat sat on the mat", "the dog sat on the log"] * 20


def same_task(one: Any, other: Any) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    same_network = config_of(one.network) == config_of(other.network)
    return same_network and all(torch.equal(mine[k], theirs[k]) for k in mine | theirs)


@both
@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_a_hugging_face_folder_becomes_its_task(family: str, tied: bool, tmp_path: Path) -> None:
    theirs = REFERENCES[family](tie_word_embeddings=tied)
    theirs.save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    assert isinstance(task, CausalLM)
    assert not task.training
    assert (task.head.weight is task.network.token_embedding.weight) == tied
    ids = torch.randint(V, (2, 9))
    torch.testing.assert_close(task(input_ids=ids)["logits"], theirs(ids).logits, atol=1e-5, rtol=0)


def test_a_backbone_becomes_a_tied_language_model(tmp_path: Path) -> None:
    gpt2(tie_word_embeddings=False).transformer.save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    assert isinstance(task, CausalLM)
    assert task.head.weight is task.network.token_embedding.weight


@torch.no_grad()
def test_the_graphs_names_go_in_and_out(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    task = plmlight.load(tmp_path)
    ids = torch.randint(V, (2, 9))
    names = task.network.cache_names()  # type: ignore[operator]
    empty = task.network.empty_cache(2)  # type: ignore[operator]
    past = {f"past_key_values.{name}": tensor for name, tensor in zip(names, empty, strict=True)}
    first = task(input_ids=ids[:, :6], attention_mask=torch.ones(2, 6, dtype=torch.int64), **past)
    assert set(first) == {"logits", *(f"present.{name}" for name in names)}
    past = {f"past_key_values.{name}": first[f"present.{name}"] for name in names}
    rest = task(input_ids=ids[:, 6:], attention_mask=torch.ones(2, 9, dtype=torch.int64), **past)
    whole = task(input_ids=ids)["logits"]
    torch.testing.assert_close(torch.cat([first["logits"], rest["logits"]], 1), whole, atol=1e-5, rtol=0)


@both
@pytest.mark.parametrize("tied", [True, False])
def test_a_folder_survives_the_way_to_a_checkpoint_and_back(family: str, tied: bool, tmp_path: Path) -> None:
    REFERENCES[family](tie_word_embeddings=tied).save_pretrained(tmp_path / "theirs")
    task = plmlight.load(tmp_path / "theirs")
    write_checkpoint(task, tmp_path / "ours.ckpt")
    from_checkpoint = plmlight.load(tmp_path / "ours.ckpt")
    assert isinstance(from_checkpoint, CausalLM)
    from_checkpoint.save_pretrained(str(tmp_path / "back"))
    assert same_task(task, from_checkpoint)
    assert same_task(task, plmlight.load(tmp_path / "back"))
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "back"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize("tied", [True, False])
@torch.no_grad()
def test_a_task_opens_in_transformers_with_its_tokenizer(tied: bool, tmp_path: Path) -> None:
    tokenizer = train_tokenizer(TEXT, "byte-bpe", 300)
    network = GPT(tokenizer.get_vocab_size(), d_model=12, num_layers=2, num_heads=3, max_length=32)
    task = CausalLM(network=network, tie_head=tied).eval()
    task.tokenizer = tokenizer
    task.save_pretrained(str(tmp_path / "out"))
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = words("the cat sat on the log", return_tensors="pt")["input_ids"]
    assert ids[0].tolist() == tokenizer.encode("the cat sat on the log").ids
    torch.testing.assert_close(task(input_ids=ids)["logits"], model(ids).logits, atol=1e-5, rtol=0)
    assert model.config.eos_token_id == tokenizer.token_to_id("<|endoftext|>") == words.eos_token_id
    again = plmlight.load(tmp_path / "out")
    assert again.tokenizer is not None
    assert again.tokenizer.get_vocab() == tokenizer.get_vocab()


def test_a_checkpoint_keeps_its_tokenizer(tmp_path: Path) -> None:
    task = CausalLM(network=GPT(300, d_model=12, num_layers=1, num_heads=3, max_length=32))
    task.tokenizer = train_tokenizer(TEXT, "byte-bpe", 300)
    write_checkpoint(task, tmp_path / "with.ckpt")
    again = plmlight.load(tmp_path / "with.ckpt")
    assert again.tokenizer is not None
    assert again.tokenizer.to_str() == task.tokenizer.to_str()


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.json"])
def test_a_tokenizer_of_either_form_is_loaded(name: str, tmp_path: Path) -> None:
    gpt2(vocab_size=300).save_pretrained(tmp_path)
    save_tokenizer(train_tokenizer(TEXT, "byte-bpe", 300), tmp_path)
    (tmp_path / ("vocab.json" if name == "tokenizer.json" else "tokenizer.json")).unlink()
    task = plmlight.load(tmp_path)
    assert task.tokenizer is not None
    assert task.tokenizer.encode("the cat").ids == load_tokenizer(tmp_path).encode("the cat").ids


def test_a_tokenizer_larger_than_the_vocabulary_is_refused(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    tokenizer = train_tokenizer(TEXT, "byte-bpe", 280)
    save_tokenizer(tokenizer, tmp_path)
    last = tokenizer.get_vocab_size() - 1
    with pytest.raises(ValueError, match=f"its tokenizer has ids up to {last}, but its network only 97 tokens"):
        plmlight.load(tmp_path)


def test_an_architecture_without_task_is_refused(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["GPT2LMHeadModell"]}))
    with pytest.raises(ValueError, match=r"config\.json: architectures: .*did you mean 'GPT2LMHeadModel'"):
        plmlight.load(tmp_path)


def test_a_mis_tied_head_is_refused(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    save_file(weights | {"lm_head.weight": torch.zeros(97, 30)}, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"lm_head\.weight differs"):
        plmlight.load(tmp_path)


def test_other_folders_say_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"it has no config\.json\) nor a checkpoint$"):
        plmlight.load(tmp_path)
    (tmp_path / "last.ckpt").touch()
    with pytest.raises(ValueError, match=r"did you mean .*last\.ckpt\?"):
        plmlight.load(tmp_path)
    (tmp_path / "manifest.json").touch()
    with pytest.raises(ValueError, match=r"is a bundle; open it with plmlight\.runtime\.load"):
        plmlight.load(tmp_path)


def test_nothing_there_is_one_line() -> None:
    with pytest.raises(ValueError, match=r"^missing/folder/x: there is no such file or folder$"):
        plmlight.load("missing/folder/x")


def test_a_checkpoint_is_not_written_over_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder, expected the name of a checkpoint file"):
        write_checkpoint(CausalLM(network=GPT(5, d_model=6, num_layers=1, num_heads=1)), tmp_path)


@pytest.mark.parametrize("kind", ["folder", "checkpoint"])
def test_a_config_may_start_from_pretrained_weights(kind: str, tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path / "folder")
    write_checkpoint(plmlight.load(tmp_path / "folder"), tmp_path / "checkpoint")
    parser = ArgumentParser()
    parser.add_argument("--network", type=Decoder)
    given = {"class_path": "plmlight.GPT.from_pretrained", "init_args": {"folder": str(tmp_path / kind)}}
    network = parser.instantiate_classes(parser.parse_object({"network": given})).network
    assert isinstance(network, GPT)
    config = config_of(CausalLM(network=network))["init_args"]["network"]
    assert config["class_path"] == "plmlight.GPT"
    assert config["init_args"]["d_model"] == 30


@pytest.mark.parametrize("name", ["BERT", "RoBERTa", "ALBERT", "XLM"])
def test_a_config_may_start_from_a_pretrained_encoder(name: str, tmp_path: Path) -> None:
    reference({"BERT": "Bert", "RoBERTa": "Roberta", "ALBERT": "Albert"}.get(name, name) + "Model").save_pretrained(
        tmp_path
    )
    parser = ArgumentParser()
    parser.add_argument("--network", type=Encoder)
    given = {"class_path": f"plmlight.{name}.from_pretrained", "init_args": {"folder": str(tmp_path), "dropout": 0.3}}
    network = parser.instantiate_classes(parser.parse_object({"network": given})).network
    config = config_of(MaskedLM(network=network))["init_args"]["network"]
    assert config["class_path"] == f"plmlight.{name}"
    assert (config["init_args"]["d_model"], config["init_args"]["dropout"]) == (30, 0.3)


def test_no_two_networks_claim_a_family() -> None:
    names = [family.model_type for family in families()]
    assert (
        sorted(names)
        == sorted(set(names))
        == [
            "albert",
            "bart",
            "bert",
            "gpt2",
            "marian",
            "mbart",
            "mt5",
            "openai-gpt",
            "roberta",
            "t5",
            "xlm",
            "xlm-roberta",
            "xlnet",
        ]
    )


@torch.no_grad()
def test_an_encoder_of_any_task_gives_its_hidden_states(tmp_path: Path) -> None:
    task = MaskedLM(network=BERT(V, 12, 2, 2, max_length=20)).eval()
    write_checkpoint(task, tmp_path / "a.ckpt")
    embedding = plmlight.load(tmp_path / "a.ckpt", "SentenceEmbedding")
    assert isinstance(embedding, SentenceEmbedding)
    ids = torch.randint(V, (2, 9))
    assert torch.equal(embedding(input_ids=ids)["last_hidden_state"], task.network(ids))


def test_a_decoder_is_no_sentence_embedding(tmp_path: Path) -> None:
    write_checkpoint(CausalLM(network=GPT(V, 12, 1, 2)), tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match="holds a CausalLM, which cannot be opened as 'SentenceEmbedding'"):
        plmlight.load(tmp_path / "a.ckpt", "SentenceEmbedding")
