"""Dialogues, and what is made of them: the turns so far, and the turn that answers them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from plmlight.data.lines import lines
from plmlight.data.records import objects
from plmlight.data.shards import FORMAT
from plmlight.data.sources import Source, named_kind, resolve
from plmlight.text import TextForm, nearest

END_OF_TURN = "__eou__"
"""What ends a turn in plain text, where each line is a dialogue (Li et al. 2017, arXiv:1710.03957: DailyDialog)."""


TURNS = ("turns", "text")
"""The usual names, in .jsonl, of the list of turns, and of the text where a turn is an object."""


def dialogue_sources(files: str | Sequence[str]) -> list[Source]:
    """Finds files of dialogues.

    Args:
        files: plain text or .jsonl.

    Returns:
        The sources.

    Raises:
        ValueError: for files of other kinds.
    """
    sources = []
    for source in resolve(files, kind="text"):
        kind = "dataset" if source.kind == "dataset" else named_kind(source.name)
        if kind in ("csv", "parquet", "dataset"):
            raise ValueError(f"{source.name}: dialogues are read from plain text and .jsonl, not from {kind}")
        sources.append(replace(source, kind="jsonl" if kind == "jsonl" else "text"))
    return sources


@dataclass(frozen=True)
class Dialogues:
    """Files with dialogues, read as pairs: a history of turns, and the next turn.

    Args:
        sources: plain text, a dialogue in each line with ``__eou__`` after each turn; or .jsonl, where a field holds a
            list of turns: strings, or objects with a string.
        field: of the list.
        turn_field: of the string, where turns are objects.
        form: makes the text of a history.
    """

    sources: Sequence[Source]
    field: str
    turn_field: str
    form: TextForm

    def dialogues(self) -> Iterator[list[str]]:
        """Streams the turns of each dialogue, without white space around.

        Raises:
            ValueError: for an empty turn, or what holds no turns, naming file and line.
        """
        for source in self.sources:
            for where, turns in self._objects(source) if source.kind == "jsonl" else self._lines(source):
                for number, turn in enumerate(turns, 1):
                    if not turn:
                        raise ValueError(f"{where}: turn {number} is empty")
                yield turns

    def _lines(self, source: Source) -> Iterator[tuple[str, list[str]]]:
        for number, line in enumerate(lines(source), 1):
            if not line.strip():
                continue
            turns = [turn.strip() for turn in line.strip().removesuffix(END_OF_TURN).split(END_OF_TURN)]
            if len(turns) == 1 and END_OF_TURN not in line:
                raise ValueError(f"{source.name}:{number}: has no {END_OF_TURN}, which ends each turn of a dialogue")
            yield f"{source.name}:{number}", turns

    def _objects(self, source: Source) -> Iterator[tuple[str, list[str]]]:
        for where, entry in objects(source, self.field):
            if self.field not in entry:
                raise ValueError(f"{where}: there is no field {self.field!r}{nearest(self.field, map(str, entry))}")
            turns = entry[self.field]
            if not isinstance(turns, list):
                raise ValueError(f"{where}: field {self.field!r} is {type(turns).__name__}, expected a list of turns")
            yield where, [self._turn(turn, f"{where}: turn {number}") for number, turn in enumerate(turns, 1)]

    def _turn(self, turn: Any, where: str) -> str:
        if isinstance(turn, dict):
            if self.turn_field not in turn:
                tail = nearest(self.turn_field, map(str, turn))
                raise ValueError(f"{where}: there is no field {self.turn_field!r}{tail}")
            turn = turn[self.turn_field]
        if not isinstance(turn, str):
            raise ValueError(f"{where} is {type(turn).__name__}, expected a string")
        return turn.strip()

    def groups(self) -> Iterator[Sequence[tuple[str, str]]]:
        """For each dialogue its histories with their answers; nothing for a dialogue of one turn."""
        for turns in self.dialogues():
            pairs = [(self.form.dialogue(turns[:place]), turns[place]) for place in range(1, len(turns))]
            if pairs:
                yield pairs

    def texts(self, side: int | None) -> Iterator[str]:
        """All turns, once."""
        return (turn for turns in self.dialogues() for turn in turns)

    def identity(self, contents: list[Any]) -> list[Any]:
        """That they are dialogues, and how they are read."""
        return ["dialogues", FORMAT, contents, self.field, self.turn_field, self.form.as_json()]
