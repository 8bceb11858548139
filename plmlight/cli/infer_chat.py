"""``infer --chat``: a dialogue with a model, line by line."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from plmlight.cli.decoding_options import DECODING
from plmlight.cli.infer_models import Answering, one_line_warnings
from plmlight.decoding import DecodingOptions, SequenceGenerator, TextGenerator
from plmlight.text import nearest

COMMANDS = ("/reset",)
YOU, MODEL = "you> ", "model> "


def chat(name: str, model: Answering, given: Mapping[str, Any]) -> int:
    """Reads lines from the standard input and answers each, until the input ends.

    Every line is a turn. A model reads as many of the last turns as it was trained with, one that follows instructions
    as many as it has room for; ``/reset`` forgets them all.

    Args:
        name: of the model, for messages.
        model: the model.
        given: decoding options and their values.

    Returns:
        0.

    Raises:
        ValueError: for a model that was not trained on them, or an option that is none of decoding.
    """
    if not isinstance(model, SequenceGenerator | TextGenerator) or not model.text_form.converses:
        raise ValueError(f"--chat is not for {name}, which was not trained on dialogues: give --text")
    foreign = [option for option in given if option not in (*DECODING, "system")]
    if foreign:
        raise ValueError(f"--{foreign[0]} does not go with --chat; the options of decoding do")
    cut = {"truncate_source": True} if isinstance(model, SequenceGenerator) else {}
    options = dataclasses.replace(model.options, **{**cut, **{k: v for k, v in given.items() if k != "system"}})
    system: str | None = given.get("system")
    model.text_form.dialogue(["x"], system)  # where it knows no system is an error before anything is read
    window = model.text_form.history or None
    last = "all turns are" if window is None else "the last turn is" if window == 1 else f"the last {window} turns are"
    print(f"# {name}: {last} remembered; /reset begins anew, Ctrl-D ends", file=sys.stderr)
    turns: list[str] = []
    while True:
        print(YOU, end="", flush=True)
        line = sys.stdin.readline()
        if not line:
            print()
            return 0
        text = line.strip()
        if text.startswith("/"):
            _command(text, turns)
        elif text:
            turns = _last([*turns, text], window)
            print(MODEL, end="", flush=True)
            with one_line_warnings("infer"):
                answer = _answer(model, turns, options, system)
            turns = _last([*turns, answer], window)


def _last(turns: list[str], window: int | None) -> list[str]:
    return turns if window is None else turns[-window:]


def _command(text: str, turns: list[str]) -> None:
    if text == "/reset":
        turns.clear()
        print("# forgotten", file=sys.stderr)
    else:
        print(f"# there is no command {text!r}{nearest(text, COMMANDS)}", file=sys.stderr)


def _answer(
    model: SequenceGenerator | TextGenerator, turns: list[str], options: DecodingOptions, system: str | None
) -> str:
    """Prints the next turn, while it is written unless a beam search has to end first."""
    how: dict[str, Any] = {}
    if isinstance(model, TextGenerator):
        source, how = model.conversation(turns, options, system), {"raw": True}
    else:
        source = model.text_form.dialogue(turns, system)
    if options.num_beams > 1 or options.num_return_sequences > 1:
        answer = model.generate([source], options, **how)[0][0].text
        print(answer.strip())
        return answer.strip()
    written = ""
    for piece in model.stream(source, options, **how):
        written += piece.text
        print(piece.text, end="", flush=True)
    print()
    return written.strip()
