from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from importlib import import_module
from pydoc import locate
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.cli import LightningArgumentParser

from plmlight.adapters import Adapter
from plmlight.cli.arguments import OneLineErrors
from plmlight.nn import Network
from plmlight.objectives import Objective, RateSchedule, SentencePairObjective
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks import Auxiliary, Problem, Task
from plmlight.text import nearest

ROLES: dict[str, type] = {
    "model": Task,
    "data": pl.LightningDataModule,
    "network": Network,
    "objective": Objective,
    "pair_objective": SentencePairObjective,
    "rate": RateSchedule,
    "optimizer": OptimizerFactory,
    "schedule": Schedule,
    "adapter": Adapter,
    "problem": Problem,
    "auxiliary": Auxiliary,
    "callbacks": pl.Callback,
}
"""What class each key wants, to offer the nearest name for a wrong one."""

CONFIG = {"--config", "-c"}
"""Options that name a configuration."""


class TrainingParser(LightningArgumentParser, OneLineErrors):
    """Lightning's parser, whose errors are one line with the nearest valid name, and exit status 2."""

    def add_function_arguments(self, function: Any, *args: Any, linked_targets: Any = None, **kwargs: Any) -> list[str]:
        """Adds a function's arguments: ``plmlight.GPT.from_pretrained`` in the place of a class.

        jsonargparse 4.53 passes ``linked_targets`` to functions as it does to classes, but takes it for classes only.
        """
        added: list[str] = super().add_function_arguments(function, *args, **kwargs)
        return added

    def parse_args(self, args: Any = None, *more: Any, **named: Any) -> Any:
        """Parses words.

        jsonargparse 4.53 hands a null to an argument two classes deep (``--model.problem.class_weights null``) as the
        word None, which is no null in YAML.
        """
        if isinstance(args, list) and len(args) == 1 and str(args[0]).endswith("=None"):
            args = [f"{str(args[0]).removesuffix('None')}null"]
        return super().parse_args(args, *more, **named)

    def explained(self, message: str) -> str:
        """A mistake as one line, with the nearest class for a wrong one."""
        return explain_class(message) or super().explained(message)


def classes_first(argv: Sequence[str]) -> list[str]:
    """Moves each class before what is said of it, as ``--data.files`` is a mistake to the parser before ``--data``.

    Args:
        argv: the words of a command.

    Returns:
        The words. Nothing moves to before a configuration, which may name another class.

    Raises:
        ValueError: for what is said of a class that is named nowhere, or in a configuration after it.
    """
    words = list(argv)
    for option in dict.fromkeys(map(_option, argv)):
        if option.split(".")[0] not in ("--model", "--data"):
            continue
        options = list(map(_option, words))
        place = options.index(option)
        said = f"{option.removesuffix('.class_path')}."
        first = next((n for n in range(place) if options[n].startswith(said)), place)
        if not CONFIG & set(options[first:place]):
            end = place + (1 if "=" in words[place] else 2)
            words[first:end] = words[place:end] + words[first:place]
    options = list(map(_option, words))
    for part in ("--model", "--data"):
        named = CONFIG | {part, f"{part}.class_path"}
        of_it = [each for each in options if each.startswith(f"{part}.") and not each.endswith(".help")]
        if of_it and not named & set(options):
            raise ValueError(f"{of_it[0]} says something of a class that is not named: give {part} CLASS too")
        if of_it and not named & set(options[: options.index(of_it[0])]):
            raise ValueError(f"{of_it[0]} stands before the configuration that it changes: give --config FILE first")
    return words


def _option(word: str) -> str:
    """A word without the value that may stand in it."""
    return word.partition("=")[0]


def explain_class(message: str) -> str | None:
    """One line for a class that does not exist or does not fit, or None for any other mistake."""
    text = " ".join(message.split())
    key = re.search(r'Parser key "([^"]+)"', text)
    missing = re.search(r"Problem with given class_path '([^']+)': (.*?)(?: - |$)", text)
    if key is None:
        return None
    if missing is not None:
        return f"{key[1]}: there is no class {missing[1]!r}: {missing[2]} (looked for in this folder and on PYTHONPATH)"
    if other := re.search(
        r"Expected a path but (\S+) .*Import path .*does not correspond to a subclass of (\w+)", text
    ):
        return f"{key[1]}: {other[1]!r} does not fit here: it is no {other[2]}"
    wrong = re.search(r"Expected a dot import path string: (\S+)", text)
    if wrong is None:
        return None
    name, role = wrong[1].strip("'\""), ROLES.get(key[1].split(".")[-1])
    if role is None:
        return f"{key[1]}: there is no class {name!r}"
    # an argument that may be left out says what it wants: a Masking, which not every Objective is
    wanted = [cls for path in re.findall(r"<class '([\w.]+)'>", text) if isinstance(cls := locate(path), type)]
    fitting = set(_names_below(next((cls for cls in wanted if issubclass(cls, role)), role)))
    what = f"{name!r} does not fit here" if name in _names_below(role) else f"there is no class {name!r}"
    return f"{key[1]}: {what}{nearest(name, sorted(fitting - {name}))}"


def _names_below(role: type) -> Iterable[str]:
    below: list[type] = role.__subclasses__()
    for cls in below:
        if not getattr(cls, "__abstractmethods__", None) and _is_public(cls):
            yield cls.__name__
        yield from _names_below(cls)


def _is_public(cls: type) -> bool:
    """Whether a class may be named in a configuration: a user's own, or what a package but nn hands out."""
    package = cls.__module__.split(".")[:2]
    if package[0] != "plmlight":
        return not cls.__name__.startswith("_")
    return package[-1] != "nn" and getattr(import_module(".".join(package)), cls.__name__, None) is cls
