"""Objects that remember how they were built, so that a checkpoint can build them again."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any

_RECORD = "_constructor_arguments"


class Configured:
    """Remembers the arguments of its constructor.

    Networks, objectives, optimiser factories and schedules derive from it. ``config_of(x)`` then gives
    ``{"class_path": ..., "init_args": ...}``, the form that jsonargparse writes into a YAML file and that a checkpoint
    stores, whether the object was built from the command line or in Python; ``build`` is its inverse.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "__init__" in cls.__dict__:
            cls.__init__ = _recording(cls.__init__)  # type: ignore[method-assign]


def _recording(constructor: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(constructor)

    @functools.wraps(constructor)
    def recorded(self: Any, *args: Any, **kwargs: Any) -> None:
        if _RECORD not in self.__dict__:  # the outermost constructor speaks: a subclass calls its parent's later
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            arguments = dict(list(bound.arguments.items())[1:])
            # object.__setattr__: torch.nn.Module accepts no attribute that may hold modules before its own __init__
            object.__setattr__(self, _RECORD, arguments)
        constructor(self, *args, **kwargs)

    return recorded


def class_path(cls: type) -> str:
    """The shortest public path of a class: ``plmlight.GPT`` rather than ``plmlight.networks.gpt.GPT``."""
    if cls.__module__.partition(".")[0] == "plmlight":
        package = cls.__module__
        while "." in package:
            package = package.rpartition(".")[0]
            short = f"{package}.{cls.__qualname__}"
            if getattr(importlib.import_module("plmlight"), cls.__qualname__, None) is cls:
                return f"plmlight.{cls.__qualname__}"
            if getattr(importlib.import_module(package), cls.__qualname__, None) is cls:
                return short
    return f"{cls.__module__}.{cls.__qualname__}"


def config_of(value: Any) -> Any:
    """The plain form of a constructor argument: numbers, strings, lists and dictionaries only.

    Args:
        value: a `Configured` object, or anything that may stand in its constructor.

    Returns:
        ``{"class_path", "init_args"}`` for a `Configured` object, else the value itself with its containers plain.

    Raises:
        ValueError: for an object that cannot be rebuilt from plain data.
    """
    if isinstance(value, Configured):
        arguments = getattr(value, _RECORD, {})
        return {"class_path": class_path(type(value)), "init_args": {k: config_of(v) for k, v in arguments.items()}}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {config_of(k): config_of(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [config_of(v) for v in value]
    raise ValueError(
        f"{type(value).__name__} cannot be stored in a checkpoint: derive {type(value).__qualname__} from "
        "plmlight.nn.Configured, or pass numbers, strings, lists and dictionaries"
    )


def reconfigure(value: Configured, **arguments: Any) -> None:
    """Notes that an object is now what its constructor would make of other arguments.

    Args:
        value: the object, whose owner has changed it.
        arguments: the new ones by name.
    """
    getattr(value, _RECORD).update(arguments)


def build(config: Any) -> Any:
    """Builds what `config_of` described.

    Only classes that derive from `Configured` are called, so that a foreign checkpoint cannot name a function to run.

    Args:
        config: what `config_of` returned.

    Returns:
        The object, newly constructed.

    Raises:
        ValueError: for a class that cannot be imported, or that is not `Configured`, or arguments it does not take.
    """
    if isinstance(config, Mapping) and "class_path" in config:
        cls = _resolve(config["class_path"])
        arguments = {k: build(v) for k, v in config.get("init_args", {}).items()}
        try:
            inspect.signature(cls).bind(**arguments)
        except TypeError as error:
            raise ValueError(f"{config['class_path']}: {error}") from None
        return cls(**arguments)
    if isinstance(config, Mapping):
        return {k: build(v) for k, v in config.items()}
    if isinstance(config, list | tuple):
        return [build(v) for v in config]
    return config


def _resolve(path: str) -> type:
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ValueError(f"class_path {path!r} cannot be imported: is its file on PYTHONPATH?") from None
    if not (isinstance(found, type) and issubclass(found, Configured)):
        raise ValueError(f"class_path {path!r} is not a class derived from plmlight.nn.Configured")
    return found
