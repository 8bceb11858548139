from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import plmlight
from plmlight import GPT, CausalLM
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
