"""Arguments of a network in terms of config.json, and the other way round."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from plmlight.text import nearest


@dataclass(frozen=True)
class Setting:
    """One argument of a network's constructor in terms of config.json.

    Attributes:
        ours: the argument.
        read: from config.json to the argument's value; raises ValueError naming the key it cannot honour.
        write: from the value, and all arguments, to keys of config.json; raises ValueError with the reason when the
            family cannot express it.
    """

    ours: str
    read: Callable[[Mapping[str, Any]], Any]
    write: Callable[[Any, Mapping[str, Any]], dict[str, Any]]


def same(ours: str, *theirs: str, default: Any) -> Setting:
    """A value that means the same on both sides.

    Args:
        ours: the argument.
        theirs: the keys of config.json; where there are several they must agree.
        default: what the reference takes when a key is absent; its type is the type that is asked for.
    """

    def read(config: Mapping[str, Any]) -> Any:
        values = {key: config.get(key, default) for key in theirs}
        for key, value in values.items():
            if value is not None or default is not None:
                _check_number(key, value, float if isinstance(default, float) else int)
        if len(set(values.values())) > 1:
            listed = ", ".join(f"{key} {value}" for key, value in values.items())
            raise ValueError(f"{listed} differ, but there is one {ours} here; give {ours}, or make them equal")
        return values[theirs[0]]

    return Setting(ours, read, lambda value, _: dict.fromkeys(theirs, value))


def choice(ours: str, theirs: str, default: str, names: Mapping[str, str]) -> Setting:
    """A value out of a few, with other names there.

    Args:
        ours: the argument.
        theirs: the key of config.json.
        default: what the reference takes when the key is absent.
        names: their names to ours; the first of several is the one that is written.
    """

    def read(config: Mapping[str, Any]) -> str:
        value = config.get(theirs, default)
        if value not in names:
            raise ValueError(f"{theirs} {value!r} is not known{nearest(str(value), names)}")
        return names[value]

    def write(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
        for their_name, our_name in names.items():
            if our_name == value:
                return {theirs: their_name}
        raise ValueError(f"{ours} {value!r} has no name there{nearest(str(value), names.values())}")

    return Setting(ours, read, write)


def flag(ours: str, theirs: str, default: bool) -> Setting:
    """True or false, meaning the same on both sides.

    Args:
        ours: the argument.
        theirs: the key of config.json.
        default: what the reference takes when the key is absent.
    """

    def read(config: Mapping[str, Any]) -> bool:
        value = config.get(theirs, default)
        if not isinstance(value, bool):
            raise ValueError(f"{theirs} is {value!r}, expected true or false")
        return value

    return Setting(ours, read, lambda value, _: {theirs: value})


def always(ours: str, value: Any) -> Setting:
    """A value that config.json does not hold, because the family has no other.

    Args:
        ours: the argument.
        value: its only one.
    """

    def write(given: Any, _: Mapping[str, Any]) -> dict[str, Any]:
        if given != value:
            raise ValueError(f"{ours} is {given!r}, and always {value!r} there")
        return {}

    return Setting(ours, lambda _: value, write)


def width(theirs: str, default: int) -> Setting:
    """``d_ff``, which is 4 ``d_model`` here where it is not given.

    Args:
        theirs: the key of config.json.
        default: what the reference takes when the key is absent.
    """

    def write(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {theirs: 4 * arguments["d_model"] if value is None else value}

    return Setting("d_ff", same("d_ff", theirs, default=default).read, write)


def padding(default: int) -> Setting:
    """``pad_token_id``; the default where it is null."""

    def read(config: Mapping[str, Any]) -> int:
        value = config.get("pad_token_id")
        value = default if value is None else value
        _check_number("pad_token_id", value, int)
        return int(value)

    return Setting("pad_token_id", read, lambda value, _: {"pad_token_id": value})


def start(default: int | None) -> Setting:
    """``decoder_start_token_id``; the beginning of a text where it is null, as in the reference's generation.

    Args:
        default: what the reference takes when the key is absent.
    """

    def read(config: Mapping[str, Any]) -> int:
        key = "decoder_start_token_id"
        value = config.get(key, default)
        value = config.get("bos_token_id") if value is None else value
        if value is None:
            raise ValueError(f"{key} is missing: give it the id that the decoder reads first")
        _check_number(key, value, int)
        return int(value)

    def write(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        return {"decoder_start_token_id": arguments["pad_token_id"] if value is None else value}

    return Setting("decoder_start_token_id", read, write)


def _check_number(key: str, value: Any, kind: type) -> None:
    accepted = int | float if kind is float else int
    if isinstance(value, bool) or not isinstance(value, accepted) or value < 0:
        expected = "a number" if kind is float else "a whole number"
        raise ValueError(f"{key} is {value!r}, expected {expected} of at least 0")
