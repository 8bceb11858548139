"""Chat templates: ours as transformers applies them, theirs as texts around turns."""

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from plmlight import GPT, CausalLM
from plmlight import load as load_task
from plmlight.interop.chat_template import chat_form, read_chat_form
from plmlight.text import TextForm, train_tokenizer
from plmlight.text.chat import ChatForm

TALK = [
    {"role": "system", "content": "be brief"},
    {"role": "user", "content": " hello \n"},
    {"role": "assistant", "content": 'say "hi" {{ }} 你好'},
    {"role": "user", "content": "why?"},
]
CHATML = (
    "{% for m in messages %}{{'<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
DIALOGUE = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}"
FIRST = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% elif m['role'] == 'system' %}{{ raise_exception('no system') }}{% else %}{{ m['content'] }}{{ eos_token }}"
    "{% endif %}{% endfor %}"
)


def turns(talk: list[dict[str, str]]) -> list[tuple[str, str]]:
    return [(each["role"], each["content"]) for each in talk]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tokenizer = train_tokenizer(["### User: say hi to the cat\n\n### Assistant:"] * 9, "bpe", 300)
    task = CausalLM(GPT(tokenizer.get_vocab_size(), d_model=12, num_layers=1, num_heads=3, max_length=64))
    form = ChatForm(assistant='### "Assistant":\n', end="<|endoftext|>", opening="«talk» 🙂\n")
    task.tokenizer, task.text_form = tokenizer, TextForm(chat=form)
    task.save_pretrained(str(tmp_path / "model"))
    return tmp_path / "model"


def test_transformers_puts_the_same_around_turns(folder: Path) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    again = load_task(folder)
    assert isinstance(again, CausalLM)
    form = again.text_form.chat
    assert form == ChatForm(assistant='### "Assistant":\n', end="<|endoftext|>", opening="«talk» 🙂\n")
    for talk in (TALK, TALK[1:], TALK[:2]):
        asked: Any = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
        assert asked == form.prompt(turns(talk))


@pytest.mark.parametrize("template", [CHATML, DIALOGUE, FIRST], ids=["chatml", "dialogue", "instructions"])
def test_published_templates_become_texts(template: str, folder: Path) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    theirs.chat_template = template
    theirs.bos_token = theirs.eos_token = "<|endoftext|>"
    form = chat_form(template, {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"})
    talk = [{**each, "content": each["content"].strip()} for each in (TALK if template == CHATML else TALK[1:])]
    wanted = theirs.apply_chat_template(talk, tokenize=False, add_generation_prompt=True)
    assert form.prompt(turns(talk)) == wanted


def test_a_template_that_does_more_is_left_out(tmp_path: Path) -> None:
    assert read_chat_form(tmp_path) is None
    counting = "{% for m in messages %}{{ loop.index }}: {{ m.content }}{% endfor %}"
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": counting}))
    with pytest.warns(UserWarning, match="its chat template is left out, and texts stay as they are: it does more"):
        assert read_chat_form(tmp_path) is None
    (tmp_path / "chat_template.jinja").write_text("{% for")
    with pytest.warns(UserWarning, match="its chat template is left out"):
        assert read_chat_form(tmp_path) is None
    listed = [{"name": "tool_use", "template": counting}, {"name": "default", "template": CHATML}]
    (tmp_path / "chat_template.jinja").unlink()
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": listed}))
    found = read_chat_form(tmp_path)
    assert found is not None
    assert found.end == "<|im_end|>\n"


def test_a_token_that_is_null_is_no_text(tmp_path: Path) -> None:
    config = {"chat_template": "{{ bos_token }}" + CHATML, "bos_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = read_chat_form(tmp_path)
    assert found is not None
    assert found.opening == ""


def test_a_template_runs_in_a_sandbox() -> None:
    with pytest.raises(Exception, match="unsafe"):
        chat_form("{{ ''.__class__.__mro__ }}{% for m in messages %}{{ m.content }}{% endfor %}", {})
