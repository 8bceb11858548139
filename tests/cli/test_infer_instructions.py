"""``infer`` on models that follow instructions: checkpoint, folder and bundle know what stands around them."""

import io
import json
import sys
from pathlib import Path

import pytest
import torch

from plmlight import GPT, CausalLM, InstructionData, LoRA, cli, runtime
from plmlight.cli.question import question
from plmlight.decoding import DecodingOptions, TextGenerator
from plmlight.export import export_bundle
from plmlight.loading import load, write_checkpoint
from plmlight.tasks.generation import TorchLanguageModel

NEW = ["--max_new_tokens", "6", "--temperature", "0"]
WORDS = ("yes", "no", "maybe", "never", "often")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("instructions")
    lines = [json.dumps({"prompt": f"say {word}", "response": f"{word} sir"}) for word in WORDS]
    (folder / "x.jsonl").write_text("\n".join(lines) + "\n")
    data = InstructionData(
        str(folder / "x.jsonl"), validation_fraction=0, tokenizer_vocab_size=300, cache_folder=str(folder / "cache")
    )
    torch.manual_seed(0)
    network = GPT(data.vocab_size, d_model=24, num_layers=2, num_heads=3, max_length=128)
    task = CausalLM(network, adapter=LoRA(rank=2))
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    task.tokenizer, task.text_form = data.tokenizer, data.text_form
    write_checkpoint(task.eval(), folder / "model.ckpt")
    assert export_bundle(task, None, folder / "bundle").passed
    merged = task.merged()
    assert isinstance(merged, CausalLM)
    merged.save_pretrained(str(folder / "hf"))
    return folder


def generator(folder: Path) -> TextGenerator:
    task = load(folder / "model.ckpt")
    assert isinstance(task, CausalLM)
    assert task.tokenizer is not None
    assert task.text_form.chat is not None
    end = task.tokenizer.token_to_id(task.text_form.chat.end)
    return TextGenerator(TorchLanguageModel(task), task.tokenizer, DecodingOptions(eos_token_id=end))


def test_an_instruction_is_answered_the_same_everywhere(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = generator(folder)  # which knows nothing of instructions
    asked = "### User:\nsay yes\n\n### Assistant:\n"
    wanted = plain.generate([asked], max_new_tokens=6, temperature=0)[0][0].text
    assert wanted != plain.generate(["say yes"], max_new_tokens=6, temperature=0)[0][0].text
    for model in ("model.ckpt", "hf", "bundle"):
        assert cli.main(["infer", str(folder / model), "--text", "say yes", *NEW]) == 0
        assert capsys.readouterr().out == wanted + "\n", model
    (found,) = runtime.load(folder / "bundle").generate(["say yes"], max_new_tokens=6, temperature=0)
    assert found[0].text == wanted


def test_a_text_may_stay_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wanted = generator(folder).generate(["say yes"], max_new_tokens=6, temperature=0)[0][0].text
    for model in ("model.ckpt", "hf", "bundle"):
        assert cli.main(["infer", str(folder / model), "--text", "say yes", "--raw", *NEW]) == 0
        assert capsys.readouterr().out == wanted + "\n", model
    (found,) = runtime.load(folder / "bundle").generate(["say yes"], raw=True, max_new_tokens=6, temperature=0)
    assert found[0].text == wanted


def test_a_conversation(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    plain, said = generator(folder), []
    task = load(folder / "model.ckpt")
    assert isinstance(task, CausalLM)
    end = task.text_form.chat.end if task.text_form.chat is not None else ""
    told = "be brief\n\n"
    for line in ("hello", "say no"):
        told += f"### User:\n{line}\n\n### Assistant:\n"
        said.append(plain.generate([told], max_new_tokens=6, temperature=0)[0][0].text.strip())
        told += said[-1] + end
    for model in ("model.ckpt", "bundle"):
        monkeypatch.setattr(sys, "stdin", io.StringIO("hello\nsay no\n"))
        assert cli.main(["infer", str(folder / model), "--chat", "--system", "be brief", *NEW]) == 0
        printed = capsys.readouterr()
        assert printed.out.split("you> model> ")[1:] == [f"{said[0]}\n", f"{said[1]}\nyou> \n"], model
        assert "all turns are remembered" in printed.err
    model = runtime.load(folder / "bundle")
    assert model.reply(["hello"], system="be brief", max_new_tokens=6, temperature=0).strip() == said[0]


def test_old_turns_make_room(folder: Path) -> None:
    model = runtime.load(folder / "bundle")
    turns = ["first " * 9, "second", "third " * 9, "fourth", "fifth"]
    options = DecodingOptions(max_new_tokens=20)
    text = model.conversation(turns, options)
    assert "first" not in text
    assert "fifth" in text
    assert len(model.encode(text, raw=True)) + 20 <= 128


def test_what_does_not_fit(folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["infer", str(folder / "bundle"), "--text", "a", "--system", "b"]) == 2
    assert "--system is not for" in capsys.readouterr().err
    plain = load(folder / "model.ckpt")
    assert question(plain) == '--text "an instruction"'
    with pytest.raises(ValueError, match="was not trained on instructions"):
        generator(folder).reply(["a"])
    with pytest.raises(ValueError, match="put brackets around the one turn"):
        runtime.load(folder / "bundle").reply("a")
