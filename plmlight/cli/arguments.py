"""What all commands share: a parser whose errors are one line that names the key and the nearest valid one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar, Literal, NoReturn

from jsonargparse import ArgumentParser, Namespace

from plmlight.cli import complain
from plmlight.text.nearest import nearest

OPENED_AS = "open the model as this task: SentenceEmbedding gives the hidden states of any encoder"


class OneLineErrors(ArgumentParser):  # type: ignore[misc]
    """A jsonargparse parser that answers a mistake with one line on stderr and exit status 2."""

    called: ClassVar[str | None] = None
    """The command's name, where a parser makes others of its class that do not know it; ``prog`` by default."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Prints the mistake as one line and leaves the process.

        Args:
            message: what argparse or jsonargparse says.
            ex: the exception behind it.

        Raises:
            SystemExit: always, with status 2.
        """
        complain(f"{self.called or self.prog}: {self.explained(message)}")
        raise SystemExit(2) from ex

    def explained(self, message: str) -> str:
        """A mistake as one line."""
        return explain(message, option_names(self))


def parser(command: str, description: str) -> OneLineErrors:
    """The parser of one command.

    Args:
        command: its name, as in ``python -m plmlight COMMAND``.
        description: what it does, shown by ``--help``.

    Returns:
        A parser with ``--config FILE.yaml`` (repeatable, for any of its options) and no other option yet.
    """
    made = OneLineErrors(prog=f"plmlight {command}", description=description, allow_abbrev=False)
    made.add_argument("--config", action="config", help="a YAML file with values for any of the options below")
    return made


def parse(parser: OneLineErrors, argv: Sequence[str]) -> Namespace:
    """Parses the words after the command's name.

    Args:
        parser: what `parser` made, with the command's options added.
        argv: the words.

    Returns:
        The values by name.

    Raises:
        SystemExit: with status 2 after one line on stderr for a mistake, with status 0 for ``--help``.
    """
    return parser.parse_args(list(argv))


def option_names(parser: ArgumentParser) -> list[str]:
    """All options that a parser knows, as they are typed: ``--kind``, ``--data.files``.

    Args:
        parser: a parser.

    Returns:
        The long option strings, sorted.
    """
    strings = (string for action in parser._actions for string in action.option_strings)
    return sorted({string for string in strings if string.startswith("--")})


def explain(message: str, options: Iterable[str]) -> str:
    """Turns what (json)argparse says about a mistake into one line that ends in the nearest valid name.

    Args:
        message: the parser's message, often of several lines.
        options: the valid option strings, for unknown ones.

    Returns:
        One line.
    """
    text = re.sub(r"<class '(?:[\w.]+\.)?(\w+)'>", r"\1", " ".join(message.split()))
    if found := re.search(r"unrecognized arguments: (\S+)", text):
        name = found[1].partition("=")[0]
        if not name.startswith("-"):
            return f"unexpected argument {name!r}"
        return f"unknown option {name}{_near_option(name, options)}"
    if found := re.search(r"Option '([^']+)' is not accepted", text):
        return f"unknown key {found[1]!r}{nearest(found[1], (option.lstrip('-') for option in options))}"
    if found := re.search(r'Parser key "([^"]+)": Expected a (typing\.Literal\[.*?\])\. Got value: (.*)', text):
        return f"{found[1]}: {_not_one_of(found[3], [found[2]])}"
    several = r'Parser key "([^"]+)": Does not validate .* Errors: - (.*) Given value type: \w+ Given value: (.*)'
    if found := re.search(several, text):
        wanted = found[2].split(" - ")
        if all(re.fullmatch(r"Expected an? (typing\.Literal\[[^]]*\]|\w+)", each) for each in wanted):
            return f"{found[1]}: {_not_one_of(found[3], [each.split(maxsplit=2)[2] for each in wanted])}"
    if found := re.search(r'Parser key "([^"]+)": (?:Expected an? )?(.*)', text):
        return f"{found[1]}: " + re.sub(r"^(.*?)\. Got value: (.*)$", r"expected \1, got \2", found[2])
    return text.replace("the following arguments are required: ", "missing: ")


def _not_one_of(value: str, types: Sequence[str]) -> str:
    """What is wrong with the value of an argument of several types, one of which may be a choice of names."""
    names = [name for each in types for name in re.findall(r"'([^']*)'", each)]
    said = {"NoneType": "null", "bool": "true, false"}
    kinds = [said.get(each, each) for each in types if not each.startswith("typing.Literal")]
    if not names:
        return f"expected {' or '.join(kinds)}, got {value}"
    return f"{value!r} is not one of {', '.join([*map(repr, names), *kinds])}{_did_you_mean(value, names)}"


def _near_option(name: str, options: Iterable[str]) -> str:
    known = list(options)
    tail = _did_you_mean(name, known)
    return tail or f"; see --help for the {len(known)} options"


def _did_you_mean(value: str, options: Iterable[str]) -> str:
    tail = nearest(value, options)
    return tail if tail.startswith("; did you mean") else ""


def plain(values: Namespace) -> dict[str, Any]:
    """A parsed namespace as a dictionary, without the ``config`` files it came from.

    Args:
        values: what `parse` returned.

    Returns:
        The values by name.
    """
    mapping: dict[str, Any] = dict(values.as_dict())
    mapping.pop("config", None)
    return mapping


def add_text_arguments(options: OneLineErrors) -> None:
    """Adds ``files`` and how they are read, for the commands that take text."""
    options.add_argument(
        "files",
        type=str,
        nargs="+",
        help="text: .txt .md .rst .py .jsonl .csv .tsv .parquet files (plain, .gz, .bz2, .xz or .zst), folders, globs, "
        "URLs, dataset:PATH[:CONFIG][:SPLIT], or python-stdlib",
    )
    options.add_argument("--text_field", type=str, default="text", help="the field or column that holds the text")
    options.add_argument(
        "--document", type=Literal["file", "line", "paragraph"], default="file", help="a document of plain text"
    )


def add_running_arguments(options: OneLineErrors) -> None:
    """Adds where a model runs: ``provider``, ``threads`` and ``graph``, for the commands that run bundles."""
    add = options.add_argument_group("where it runs").add_argument
    add("--provider", type=str, default="auto", help="auto, cpu, cuda or tensorrt")
    add("--threads", type=int, default=None, help="threads of the CPU; all allowed by default")
    add("--graph", type=str, default=None, help="of a bundle: in_place or portable")
