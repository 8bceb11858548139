from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file
from torch import nn

import plmlight
from plmlight import BERT, GPT, CausalLM, LoRA, PrefixTuning, PromptTuning, SentenceEmbedding
from plmlight.adapters import Adapter
from plmlight.cli import main
from plmlight.loading import write_checkpoint
from plmlight.text import save_tokenizer, train_tokenizer
from tests.networks.encoders import MODELS, family_of, reference
from tests.networks.references import gpt2


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpt2().save_pretrained(tmp_path / "theirs")
    assert main(["convert", str(tmp_path / "theirs"), "--output", str(tmp_path / "x.ckpt")]) == 0
    out = capsys.readouterr().out
    assert "x.ckpt: CausalLM with GPT, " in out
    assert "parameters, no tokenizer; " in out
    assert main(["convert", str(tmp_path / "x.ckpt"), "--output", str(tmp_path / "back")]) == 0
    assert "MB in config.json, model.safetensors" in capsys.readouterr().out
    mine, theirs = (plmlight.load(tmp_path / name).state_dict() for name in ("theirs", "back"))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


@pytest.mark.parametrize("architecture", MODELS)
def test_encoders_there_and_back(architecture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference(architecture).save_pretrained(tmp_path / "theirs")
    tokenizer = train_tokenizer(["the cat sat on the mat"] * 9, "wordpiece", 60)
    save_tokenizer(tokenizer, tmp_path / "theirs")
    assert main(["convert", str(tmp_path / "theirs"), "--output", str(tmp_path / "x.ckpt")]) == 0
    task = {family_of(architecture) + "Model": "SentenceEmbedding", "XLNetLMHeadModel": "PermutationLM"}.get(
        architecture, "MaskedLM"
    )
    assert f"x.ckpt: {task} with " in capsys.readouterr().out
    assert main(["convert", str(tmp_path / "x.ckpt"), "--output", str(tmp_path / "back")]) == 0
    written = capsys.readouterr().out
    assert ", a tokenizer of " in written
    assert ("modules.json" in written) == (task == "SentenceEmbedding")
    before, after = (load_file(tmp_path / name / "model.safetensors") for name in ("theirs", "back"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    again = plmlight.load(tmp_path / "back")
    assert again.tokenizer is not None
    assert again.tokenizer.get_vocab() == tokenizer.get_vocab()


def test_a_converted_checkpoint_trains_on(tmp_path: Path) -> None:
    gpt2().save_pretrained(tmp_path / "theirs")
    main(["convert", str(tmp_path / "theirs"), "--output", str(tmp_path / "x.ckpt")])
    task = CausalLM.load_from_checkpoint(tmp_path / "x.ckpt").train()
    task(input_ids=torch.zeros(1, 4, dtype=torch.int64))["logits"].sum().backward()
    gradients = [parameter.grad for parameter in task.parameters()]
    assert all(gradient is not None and bool(gradient.isfinite().all()) for gradient in gradients)


def refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["convert", *words]) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("plmlight convert: ")
    return error


def test_nothing_is_left_of_what_cannot_be_converted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = CausalLM(network=GPT(31, d_model=12, num_layers=1, num_heads=3, positions="rotary"))
    write_checkpoint(task, tmp_path / "x.ckpt")
    error = refused([str(tmp_path / "x.ckpt"), "--output", str(tmp_path / "out")], capsys)
    assert "positions 'rotary' does not exist there" in error
    assert [path.name for path in tmp_path.iterdir()] == ["x.ckpt"]


def test_a_source_that_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "there is no such file or folder" in refused([str(tmp_path / "no.ckpt"), "--output", "x"], capsys)
    assert "it has no config.json" in refused([str(tmp_path), "--output", "x.ckpt"], capsys)


def test_an_output_of_the_wrong_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gpt2().save_pretrained(tmp_path / "theirs")
    (tmp_path / "folder").mkdir()
    source, checkpoint = str(tmp_path / "theirs"), str(tmp_path / "x.ckpt")
    assert "becomes a checkpoint file" in refused([source, "--output", str(tmp_path / "folder")], capsys)
    assert "is the source itself" in refused([source, "--output", source], capsys)
    write_checkpoint(plmlight.load(source), checkpoint)
    assert "becomes a folder" in refused([checkpoint, "--output", str(tmp_path / "y.ckpt")], capsys)
    assert "is the source itself" in refused([checkpoint, "--output", checkpoint], capsys)


@pytest.mark.parametrize("words", [["x"], ["--output", "y"], ["x", "--outptu", "y"]])
def test_a_mistyped_command(words: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["convert", *words])


def lora(tmp_path: Path, adapter: Adapter) -> tuple[CausalLM, str]:
    """A model over a folder of transformers', with an adapter that has learned something."""
    gpt2().save_pretrained(tmp_path / "base")
    network = GPT.from_pretrained(str(tmp_path / "base"), dropout=0.0)
    task = CausalLM(network=network, adapter=adapter).eval()
    with torch.no_grad():
        for parameter in task.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.3)
    task.tokenizer = train_tokenizer(["the cat sat on the mat"] * 9, "bpe", 60)
    write_checkpoint(task, tmp_path / "x.ckpt")
    return task, str(tmp_path / "x.ckpt")


IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])


@pytest.mark.parametrize(
    "adapter", [LoRA(rank=2, targets=["*"]), PrefixTuning(3), PromptTuning(3)], ids=["lora", "prefix", "prompt"]
)
def test_only_the_adapter(adapter: Adapter, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, checkpoint = lora(tmp_path, adapter)
    assert main(["convert", checkpoint, "--adapter", "--output", str(tmp_path / "adapter")]) == 0
    said = capsys.readouterr()
    assert "parameters were trained (" in said.err
    assert ("PEFT cannot open the adapter, plmlight can" in said.err) == isinstance(adapter, PrefixTuning)
    written = sum(path.stat().st_size for path in (tmp_path / "adapter").glob("*.safetensors"))
    trained, _ = task.trained_parameters()
    assert written < 4 * trained * 1.6 + 5000, "no weight of the base is there"
    again = plmlight.load(tmp_path / "adapter")
    assert torch.equal(again(IDS)["logits"], task(IDS)["logits"])
    assert again.tokenizer is not None
    assert again.trained_parameters() == task.trained_parameters()
    (tmp_path / "base").rename(tmp_path / "moved")
    with pytest.raises(ValueError, match="there is no such file or folder"):
        plmlight.load(tmp_path / "adapter")
    moved = plmlight.load(tmp_path / "adapter", base=str(tmp_path / "moved"))
    assert torch.equal(moved(IDS)["logits"], task(IDS)["logits"])


def test_an_adapter_over_another_base(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, checkpoint = lora(tmp_path, LoRA(rank=2))
    main(["convert", checkpoint, "--adapter", "--output", str(tmp_path / "adapter")])
    other = gpt2()
    nn.init.normal_(other.transformer.h[0].mlp.c_fc.weight)
    other.save_pretrained(tmp_path / "other")
    words = [str(tmp_path / "adapter"), "--base", str(tmp_path / "other"), "--merge", "--output", str(tmp_path / "y")]
    assert "was trained over other weights than those of" in refused(words, capsys)
    (tmp_path / "adapter" / "task.json").unlink()
    assert "an adapter without task.json" in refused([*words[:1], *words[3:]], capsys)


def test_peft_opens_the_adapter(tmp_path: Path) -> None:
    task, checkpoint = lora(tmp_path, LoRA(rank=2, alpha=3.0, targets=["*attention.*", "*.up"]))
    main(["convert", checkpoint, "--adapter", "--output", str(tmp_path / "adapter")])
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(theirs(IDS).logits, task(IDS)["logits"], atol=1e-5, rtol=0)


def test_peft_opens_the_prompt_of_a_decoder(tmp_path: Path) -> None:
    task, checkpoint = lora(tmp_path, PromptTuning(4))
    main(["convert", checkpoint, "--adapter", "--output", str(tmp_path / "adapter")])
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    found = theirs(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
    torch.testing.assert_close(found[:, 4:], task(IDS)["logits"], atol=1e-5, rtol=0)


def test_peft_opens_the_prompt_of_an_encoder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference("BertModel").save_pretrained(tmp_path / "base")
    network = BERT.from_pretrained(str(tmp_path / "base"), dropout=0.0)
    task = SentenceEmbedding(network=network, adapter=PromptTuning(4)).eval()
    nn.init.normal_(network.token_embedding.get_parameter("prompt"))
    write_checkpoint(task, tmp_path / "x.ckpt")
    main(["convert", str(tmp_path / "x.ckpt"), "--adapter", "--output", str(tmp_path / "adapter")])
    assert "PEFT cannot" not in capsys.readouterr().err
    mask = torch.tensor([[1, 1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0, 0]])
    ids = IDS.repeat(2, 1)
    base = transformers.AutoModel.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    found = theirs(input_ids=ids, attention_mask=mask).last_hidden_state[:, 4:]
    torch.testing.assert_close(network(ids, mask)[mask > 0], found[mask > 0], atol=1e-5, rtol=0)
    again = plmlight.load(tmp_path / "adapter")
    assert torch.equal(again.network(ids, mask), network(ids, mask))


def test_a_prompt_cannot_be_merged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, checkpoint = lora(tmp_path, PromptTuning(4))
    error = refused([checkpoint, "--merge", "--output", str(tmp_path / "y")], capsys)
    assert "PromptTuning cannot be merged: what it learned is no difference of weights" in error
    main(["convert", checkpoint, "--adapter", "--output", str(tmp_path / "adapter")])
    error = refused([str(tmp_path / "adapter"), "--merge", "--output", str(tmp_path / "y")], capsys)
    assert "PromptTuning cannot be merged" in error
    assert not (tmp_path / "y").exists()


def test_merging(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task, checkpoint = lora(tmp_path, LoRA(rank=2))
    assert "has an adapter (LoRA)" in refused([checkpoint, "--output", str(tmp_path / "x")], capsys)
    main(["convert", checkpoint, "--adapter", "--output", str(tmp_path / "adapter")])
    for source in (checkpoint, str(tmp_path / "adapter")):
        for output in ("merged", "merged.ckpt"):
            assert main(["convert", source, "--merge", "--output", str(tmp_path / output)]) == 0
            again = plmlight.load(tmp_path / output)
            assert again.adapter is None
            torch.testing.assert_close(again(IDS)["logits"], task(IDS)["logits"], atol=1e-5, rtol=0)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(theirs(IDS).logits, task(IDS)["logits"], atol=1e-5, rtol=0)


def test_what_has_no_adapter_to_write_or_merge(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_checkpoint(CausalLM(network=GPT(31, d_model=12, num_layers=1, num_heads=3)), tmp_path / "x.ckpt")
    source = str(tmp_path / "x.ckpt")
    assert "has no adapter: all" in refused([source, "--adapter", "--output", str(tmp_path / "y")], capsys)
    assert "has no adapter that could" in refused([source, "--merge", "--output", str(tmp_path / "y")], capsys)
    assert "give one of them" in refused([source, "--merge", "--adapter", "--output", str(tmp_path / "y")], capsys)
    made = CausalLM(network=GPT(31, d_model=12, num_layers=1, num_heads=3), adapter=PrefixTuning(2))
    write_checkpoint(made, tmp_path / "x.ckpt")
    assert "name it with --base" in refused([source, "--adapter", "--output", str(tmp_path / "y")], capsys)
    assert "cannot be merged" in refused([source, "--merge", "--output", str(tmp_path / "y")], capsys)
