"""Texts with what is said of them: a class, some labels, a number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from plmlight.data.label_files import FileFormat, entries
from plmlight.text import ClassName, label_name, nearest
from plmlight.text.vectors import is_number

ProblemKind = Literal["single-label", "multi-label", "regression"]
Label = str | tuple[str, ...] | float
"""A class, any number of labels, or a number."""


@dataclass(frozen=True)
class LabelledExample:
    """A text, or two, with what is said of it, and where it stands.

    Attributes:
        where: file and line.
        text: the text.
        pair: the second text.
        label: None where nothing is said.
    """

    where: str
    text: str
    pair: str | None = None
    label: Label | None = None

    @property
    def gold(self) -> Label | None:
        """The truth, that an answer is compared with."""
        return self.label

    @property
    def texts(self) -> tuple[str, ...]:
        """One or two."""
        return (self.text,) if self.pair is None else (self.text, self.pair)

    def request(self) -> dict[str, Any]:
        """What a classifier is asked (see `plmlight.decoding.TextClassifier`)."""
        return {"text": self.text} | ({} if self.pair is None else {"pair": self.pair})


def label_names(labels: Sequence[ClassName] | str | None) -> list[str] | None:
    """The names of classes.

    Args:
        labels: the names, numbers or true and false among them, or a file with one a line; None where not given.

    Returns:
        The names in order.

    Raises:
        ValueError: for a file that is not there or empty, or a name that is there twice.
    """
    if labels is None:
        return None
    where = labels if isinstance(labels, str) else "labels"
    if isinstance(labels, str):
        path = Path(labels).expanduser()
        if not path.is_file():
            raise ValueError(f"labels: {labels} is no file; give one with a name a line, or a list of names")
        names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    else:
        names = [label_name(name) for name in labels]
    if not names:
        raise ValueError(f"{where}: there is no name of a class")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{where}: the class {twice[0]!r} is there twice")
    return names


@dataclass
class LabelReader:
    """Reads examples.

    Args:
        texts: the fields of one or two texts: names, or numbers of columns from 1.
        label: the field of the label.
        problem: what labels are.
        separator: between labels, where a field of text holds several.
        file_format: see `plmlight.data.label_files.entries`.
        encoding: of files.
        skip: leave examples out that cannot be used, instead of raising an error.

    Attributes:
        skipped: where something was left out, and why.
    """

    texts: tuple[str | int, ...] = ("text",)
    label: str | int = "label"
    problem: ProblemKind = "single-label"
    separator: str = ","
    file_format: FileFormat = "auto"
    encoding: str = "utf-8"
    skip: bool = False
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def read(self, files: str | Sequence[str], labelled: bool = True) -> list[LabelledExample]:
        """Reads files.

        Args:
            files: see `plmlight.data.label_files.entries`.
            labelled: whether there are labels.

        Returns:
            The examples, in order.

        Raises:
            ValueError: for a file that cannot be read, or an example that cannot be used, naming file and line.
        """
        found = []
        label = self.label if labelled else None
        for where, values in entries(files, self.texts, label, self.file_format, self.encoding, self.refuse):
            try:
                found.append(self._example(where, values, labelled))
            except ValueError as error:
                self.refuse(where, str(error))
        return found

    def refuse(self, where: str, why: str) -> None:
        """Leaves an example out, or stops.

        Raises:
            ValueError: where nothing is to be left out.
        """
        if not self.skip:
            raise ValueError(f"{where}: {why}") from None  # what is shown is the first of a chain
        self.skipped.append((where, why))

    def _example(self, where: str, values: tuple[Any, ...], labelled: bool) -> LabelledExample:
        texts = values[: len(self.texts)]
        for name, text in zip(self.texts, texts, strict=True):
            told = f"field {name!r}" if len(texts) > 1 or not isinstance(text, str) else "the text"
            if not isinstance(text, str):
                raise ValueError(f"{told} is {type(text).__name__}, expected a text")
            if not text.strip():
                raise ValueError(f"{told} is empty")
        label = self._label(values[-1]) if labelled else None
        return LabelledExample(where, texts[0], texts[1] if len(texts) > 1 else None, label)

    def _label(self, value: Any) -> Label:
        if self.problem == "multi-label":
            given = value.split(self.separator) if isinstance(value, str) else value
            if not isinstance(given, list):
                told = "missing" if value is None else repr(value)
                raise ValueError(f"the labels are {told}, expected a list, or names with {self.separator!r} between")
            return tuple(dict.fromkeys(name for each in given if (name := label_name(each))))
        if self.problem == "regression":
            if isinstance(value, bool) or not is_number(str(value)) or not isfinite(float(value)):
                raise ValueError(f"the label {value!r} is no number")
            return float(value)
        if isinstance(value, list):
            raise ValueError("the label is a list; learn several labels of a text with the problem MultiLabel")
        name = label_name(value)
        if not name:
            raise ValueError("there is no label")
        return name


def found_names(labels: Sequence[Label | None]) -> list[str]:
    """The names of the classes that examples have: in the order of numbers if all are numbers, else of the alphabet."""
    names = {name for label in labels for name in (label if isinstance(label, tuple) else (label,)) if name is not None}
    texts = {str(name) for name in names}
    return sorted(texts, key=lambda name: (float(name), name) if all(map(is_number, texts)) else (0.0, name))


def known_label(label: Label | None, names: Sequence[str], numbered: bool) -> Label | None:
    """A label by the names of the classes.

    Args:
        label: as it was read.
        names: of the classes.
        numbered: whether a class may be told by its number from 0, where no name is a number itself.

    Returns:
        The label.

    Raises:
        ValueError: for one that is not known.
    """
    if isinstance(label, tuple):
        return tuple(str(known_label(each, names, numbered)) for each in label)
    if label is None or not isinstance(label, str) or label in names:
        return label
    if numbered and label.isdecimal() and not any(map(is_number, names)):
        if int(label) < len(names):
            return names[int(label)]
        raise ValueError(f"the label {label} is not known: expected a number from 0 to {len(names) - 1}, or a name")
    raise ValueError(f"the label {label!r} is not known{nearest(label, names)}")
