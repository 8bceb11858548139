"""What ``infer`` asks a model: texts and requests, from the words of the command, a file or the standard input."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmlight.decoding import Record, TextAnalyser
from plmlight.decoding.analysis import located

STANDARD_INPUT = "standard input"


@dataclass(frozen=True)
class Asked:
    """What a model is asked.

    Attributes:
        content: a text, or a record.
        where: where it stands in a file, for messages; empty where it was given as words of the command.
    """

    content: str | Record
    where: str = ""

    @property
    def text(self) -> str:
        """The text alone.

        Raises:
            ValueError: where there is none.
        """
        if isinstance(self.content, str):
            return self.content
        found = [self.content[key] for key in ("text", "prompt") if key in self.content]
        if not found or not isinstance(found[0], str):
            raise ValueError(f'{self.where}: expected an object with the text under "text" or "prompt"')
        return found[0]

    def request(self, model: TextAnalyser) -> Record:
        """The whole record, as a task with labels may need more than a text."""
        return model.request(self.content) if isinstance(self.content, str) else self.content


@contextmanager
def told_by_place(requests: Sequence[Asked]) -> Iterator[None]:
    """Lets errors about requests say where in a file those stand.

    Args:
        requests: all that are asked.

    Raises:
        ValueError: as it came, with the place of its request for the number.
    """
    try:
        yield
    except ValueError as error:
        places = [each.where or f"request {number}" for number, each in enumerate(requests)]
        raise located(error, places) from None


def check_words(values: Any) -> None:
    """Refuses texts in the words of the command that the shell gave as other bytes than UTF-8.

    Args:
        values: ``text``, ``pair``, ``question``, ``context``, ``prefix`` and ``system``.

    Raises:
        ValueError: naming the option.
    """
    for name in ("text", "pair", "question", "context", "prefix", "system"):
        value = values[name] or ()
        for text in [value] if isinstance(value, str) else value:
            try:
                text.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"--{name}: character {error.start} is not UTF-8, in {text!r:.60}") from None


def asked_of_pairs(values: Any) -> list[Asked]:
    """Requests of two texts that were given as words of the command.

    Args:
        values: ``text``, ``pair``, ``question``, ``context`` and ``input``.

    Returns:
        The requests; none where a text has no other beside it.

    Raises:
        ValueError: for words that do not go together.
    """
    if values.question is None and values.context is None and values.pair is None:
        return []
    if values.input is not None:
        raise ValueError("--input has whole requests: --pair, --question and --context do not go with it")
    if values.pair is not None:
        if values.question or values.context or not values.text or len(values.text) > 1:
            raise ValueError("--pair is the second of two texts: it goes with one --text, and nothing else")
        return [Asked({"text": values.text[0], "pair": values.pair})]
    if values.text or not values.question or values.context is None:
        raise ValueError("a question needs --question and the --context that it is about, and no --text")
    return [Asked({"question": question, "context": values.context}) for question in values.question]


def asked(given: Sequence[str] | None, file: str | None) -> list[Asked]:
    """Texts that were given as words of the command, or those of a file or the standard input.

    Args:
        given: the words.
        file: its name; the standard input by default.

    Returns:
        At least one.

    Raises:
        ValueError: for two sources or none, or a file that holds nothing or what cannot be read.
    """
    if given and file:
        raise ValueError("--text and --input are two sources of texts: give one of them")
    if given:
        return [Asked(text) for text in given]
    found = _from_standard_input() if file is None else list(_from_file(file))
    if not found:
        raise ValueError(f"{file or STANDARD_INPUT}: holds no text")
    return found


def _from_standard_input() -> list[Asked]:
    if sys.stdin.isatty():
        raise ValueError("there is no text: give --text, --input, or texts on the standard input")
    try:
        text = sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{STANDARD_INPUT}: byte {error.start} is not UTF-8") from None
    found = enumerate(io.StringIO(text, newline=None), 1)
    return [Asked(line.removesuffix("\n"), f"{STANDARD_INPUT}:{number}") for number, line in found]


def _from_file(file: str) -> Iterator[Asked]:
    # from here, as what they need takes longer to import than all else
    from plmlight.data.lines import lines
    from plmlight.data.records import objects
    from plmlight.data.sources import Source

    if {".jsonl", ".json"} & set(Path(file).suffixes):
        for where, record in objects(Source(file, "jsonl"), "text"):
            yield Asked(record, where)
    else:
        for number, line in enumerate(lines(Source(file, "text")), 1):
            yield Asked(line, f"{file}:{number}")
