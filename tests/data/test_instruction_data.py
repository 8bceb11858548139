import json
from pathlib import Path
from typing import Any

import pytest
import torch

from plmlight import GPT, CausalLM, InstructionData
from plmlight.heads.cross_entropy import IGNORED
from plmlight.loading import write_checkpoint
from plmlight.objectives import CausalLanguageModelling, KeyedRandom
from plmlight.tasks import task_from_checkpoint

PLAIN = [{"prompt": f"say {word}", "response": word} for word in ("yes", "no", "maybe", "never", "often")]
CHAT = {
    "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "how are you"},
        {"role": "assistant", "content": "fine"},
    ]
}


def data(folder: Path, *entries: Any, **given: Any) -> InstructionData:
    path = folder / "x.jsonl"
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    settings: dict[str, Any] = {"validation_fraction": 0, "tokenizer_vocab_size": 300, "cache_folder": str(folder)}
    return InstructionData(str(path), **settings | given)


def learned(made: InstructionData, row: int = 0) -> tuple[str, str]:
    """The text of a row, and that of its labels."""
    found = made.samples("fit").rows[row]
    labels = [label for label in found["labels"] if label != IGNORED]
    decode = made.tokenizer.decode
    return decode(found["input_ids"], skip_special_tokens=False), decode(labels, skip_special_tokens=False)


def test_the_answer_and_its_end_are_learned(tmp_path: Path) -> None:
    text, answer = learned(data(tmp_path, *PLAIN))
    end = answer.removeprefix("yes")
    assert end
    assert text == f"### User:\nsay yes\n\n### Assistant:\nyes{end}"


def test_every_turn_of_the_assistant_is_learned(tmp_path: Path) -> None:
    text, answers = learned(data(tmp_path, CHAT))
    end = answers.removeprefix("hi").partition("fine")[0]
    assert answers == f"hi{end}fine{end}"
    before = "be brief\n\n### User:\nhello\n\n### Assistant:\n"
    assert text == f"{before}hi{end}### User:\nhow are you\n\n### Assistant:\nfine{end}"


def test_the_loss_is_that_of_the_answer_alone(tmp_path: Path) -> None:
    made = data(tmp_path, *PLAIN, batch_size=2)
    batch = next(iter(made.train_dataloader()))
    ready = CausalLanguageModelling().corrupt(batch, KeyedRandom(0, batch["sample_ids"], batch["epoch"], 0.0))
    given, labels = batch["labels"], ready["labels"]
    assert torch.equal(labels, given[:, 1:].masked_fill(batch["attention_mask"][:, 1:] == 0, IGNORED))
    changed = batch["input_ids"].masked_fill((given == IGNORED) & (batch["attention_mask"] == 1), 7)
    again = CausalLanguageModelling().corrupt({**batch, "input_ids": changed}, KeyedRandom(0, None, None, 0.0))
    assert torch.equal(again["labels"], labels), "the prompt has no part in what is to be predicted"
    task = CausalLM(GPT(made.vocab_size, d_model=12, num_layers=1, num_heads=3, max_length=64, dropout=0.0)).eval()
    total, count = task.parts(ready)["loss"]
    assert count == (given != IGNORED).sum()
    logits = task(ready["input_ids"], ready["attention_mask"])["logits"].log_softmax(-1)
    rows, places = (labels != IGNORED).nonzero(as_tuple=True)
    torch.testing.assert_close(total, -logits[rows, places, labels[rows, places]].sum(), atol=1e-4, rtol=0)


def test_the_form_is_that_of_the_question_and_goes_along(tmp_path: Path) -> None:
    made = data(tmp_path, *PLAIN)
    task = CausalLM(GPT(made.vocab_size, d_model=12, num_layers=1, num_heads=3, max_length=64))
    task.tokenizer, task.text_form = made.tokenizer, made.text_form
    write_checkpoint(task, tmp_path / "x.ckpt")
    again = task_from_checkpoint(tmp_path / "x.ckpt")
    assert isinstance(again, CausalLM)
    form = again.text_form
    assert form.source("say yes") == "### User:\nsay yes\n\n### Assistant:\n"
    found = made.samples("fit").rows[0]
    prompt = [token for token, label in zip(found["input_ids"], found["labels"], strict=True) if label == IGNORED]
    assert made.tokenizer.encode(form.source("say yes")).ids == prompt


def test_what_is_too_long_is_left_out(tmp_path: Path) -> None:
    long = {"prompt": "x " * 50, "response": "yes"}
    made = data(tmp_path, *PLAIN, long, max_length=40)
    assert len(made.samples("fit")) == len(PLAIN)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        ({"prompt": "a"}, "x.jsonl:1: expected fields 'prompt' and 'response', or 'messages'; there is prompt"),
        ({"prompt": "a", "response": " "}, "x.jsonl:1: response: the content is ' ', expected a text"),
        ({"messages": "a"}, "x.jsonl:1: field 'messages' is str, expected a list of turns"),
        ({"messages": [{"role": "asistant", "content": "a"}]}, "turn 1: the role is 'asistant'; did you mean"),
        ({"messages": [{"role": "assistant", "content": "a"}]}, "turn 1 is an assistant's, but the one before it"),
        ({"messages": [{"role": "user", "content": "a"}]}, "has no turn of an assistant"),
    ],
)
def test_what_cannot_be_learned_from(entry: Any, error: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=error.replace("?", r"\?")):
        data(tmp_path, entry)


def test_a_form_without_a_place_for_the_text(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"user 'x': expected \{content\} in it, once"):
        data(tmp_path, *PLAIN, user="x")


@pytest.mark.parametrize("stage", ["fit", "validate"])
def test_no_answer_within_the_length_is_an_error(stage: Any, tmp_path: Path) -> None:
    made = data(tmp_path, *PLAIN, validation_fraction=0.4, max_length=3)
    with pytest.raises(ValueError, match=rf"none of [23] examples to {stage} on is left; max_length is 3"):
        made.samples(stage)


def test_what_is_left_out_of_a_part_that_was_held_out_is_said_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("plmlight.data.instruction_data.rank_zero_info", said.append)
    long = {"prompt": "say yes and no and maybe and never " * 9, "response": "often"}
    made = data(tmp_path, *PLAIN, long, long, long, validation_fraction=0.5, max_length=40)
    made.samples("validate")
    assert len(said) == 1
    assert said[0].startswith(f"{tmp_path / 'x.jsonl'}: ")
