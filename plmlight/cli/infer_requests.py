"""What ``infer`` asks a model: texts and requests, from the words of the command, a file or the standard input."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmlight.decoding import Record, TextAnalyser


@dataclass(frozen=True)
class Asked:
    """What a model is asked.

    Attributes:
        content: a text, or a record.
        where: where a record of a file stands, for messages.
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
    if file is None:
        if sys.stdin.isatty():
            raise ValueError("there is no text: give --text, --input, or texts on the standard input")
        content, name = sys.stdin.buffer.read(), "standard input"
    else:
        content, name = Path(file).read_bytes(), file
    lines = text_lines(content, name)
    found = list(_from_jsonl(lines, name)) if name.endswith((".jsonl", ".json")) else list(map(Asked, lines))
    if not found:
        raise ValueError(f"{name}: holds no text")
    return found


def text_lines(content: bytes, name: str) -> list[str]:
    """The lines of a file, without their ends.

    Args:
        content: UTF-8, with or without the mark that some editors write at the beginning.
        name: of the file, for messages.

    Raises:
        ValueError: for a byte that is not UTF-8.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name}: byte {error.start} is not UTF-8") from None
    return [line.removesuffix("\n") for line in io.StringIO(text, newline=None)]


def _from_jsonl(lines: list[str], name: str) -> Iterator[Asked]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{name}:{number}: not valid JSON: {error}") from error
        if not isinstance(record, dict):
            raise ValueError(f'{name}:{number}: expected an object with the text under "text" or "prompt"')
        yield Asked(record, f"{name}:{number}")
