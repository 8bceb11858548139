"""transformers' chat templates as plain texts around turns: nothing that answers needs Jinja."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any, NoReturn

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from plmlight.text.chat import CONTENT, ChatForm

TEMPLATE = "chat_template.jinja"
_U, _A, _N, _S = "<#said#>", "<#told#>", "<#next#>", "<#rule#>"


def read_chat_form(folder: Path) -> ChatForm | None:
    """What stands around the turns of a conversation with a published model.

    Args:
        folder: with ``chat_template.jinja``, or a ``chat_template`` in tokenizer_config.json.

    Returns:
        The texts; None where there is no template, or, with a warning, where it does more than put texts around turns.
    """
    config: dict[str, Any] = {}
    if (folder / "tokenizer_config.json").exists():
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    template = (folder / TEMPLATE).read_text("utf-8") if (folder / TEMPLATE).exists() else config.get("chat_template")
    if isinstance(template, list):  # several by name
        template = {each.get("name"): each.get("template") for each in template}.get("default")
    if not isinstance(template, str):
        return None
    special = {name: value for name, value in config.items() if name.endswith("_token")}
    special = {name: value.get("content") if isinstance(value, dict) else value for name, value in special.items()}
    special = {name: value for name, value in special.items() if value is not None}  # of null, "None" would be made
    try:
        return chat_form(template, special)
    except (ValueError, TemplateError) as error:
        warnings.warn(f"{folder}: its chat template is left out, and texts stay as they are: {error}", stacklevel=2)
        return None


def chat_form(template: str, special: dict[str, Any]) -> ChatForm:
    """Finds the texts that a template puts around turns, by what it makes of some.

    Args:
        template: in Jinja; it runs in a sandbox.
        special: tokens by the names that templates call them: ``bos_token``, ...

    Returns:
        The texts.

    Raises:
        ValueError: for a template that does more.
        TemplateError: for one that cannot be run.
    """
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = _raise
    compiled = environment.from_string(template)

    def made(*said: tuple[str, str], asks: bool = False) -> str:
        messages = [{"role": role, "content": content} for role, content in said]
        return compiled.render(messages=messages, add_generation_prompt=asks, **special)

    user, answer, after = ("user", _U), ("assistant", _A), ("user", _N)
    first, asked, told = made(user), made(user, asks=True), made(user, answer)
    begun, _, closed = first.partition(_U)
    end = told.partition(_A)[2]
    before = made(user, answer, after).partition(_A + end)[2].partition(_N)[0]
    found = {"user": before + CONTENT + closed, "assistant": asked.removeprefix(first), "end": end}
    found["opening"] = begun.removesuffix(before)
    try:
        with_rule = made(("system", _S), user)
    except (ValueError, TemplateError):
        with_rule = ""  # it knows no such turn
    if _S in with_rule:
        start, _, rest = with_rule.partition(_S)
        found["system"] = start.removeprefix(found["opening"]) + CONTENT + rest.partition(before + _U)[0]
    form = ChatForm(**found)
    talk = [*([("system", _S)] if _S in with_rule else []), user, answer, after]
    for turns in ([user], [user, answer, after], talk):
        if form.prompt(turns) != made(*turns, asks=True):
            raise ValueError("it does more than put texts around turns")
    return form


def _raise(message: str) -> NoReturn:
    raise ValueError(message)
