"""What a sentence-transformers folder says beside its network: how hidden states become one vector."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plmlight.interop.folder import read_json
from plmlight.text import nearest

MODULES, POOLING, LENGTH = "modules.json", "1_Pooling", "sentence_bert_config.json"
_FLAGS = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token", "max": "pooling_mode_max_tokens"}
_PACKAGE = "sentence_transformers.models"


def read_pooling(folder: Path, cls_last: bool = False) -> dict[str, Any]:
    """The arguments of `SentenceEmbedding` that a folder decides; none where it is no sentence-transformers folder.

    Args:
        folder: holds modules.json, and a folder for each module that it names.
        cls_last: whether the network's ``cls`` is the last token of a text.

    Returns:
        ``pooling`` and ``normalise``, and ``max_length`` where it is told.

    Raises:
        ValueError: for a module, or a way of pooling, that is not known here, or a length that is none.
    """
    if not (folder / MODULES).exists():
        return {}
    found: dict[str, Any] = {"pooling": "mean", "normalise": False}
    for module in _modules(folder):
        kind = str(module.get("type")).rpartition(".")[2]
        if kind == "Pooling":
            found["pooling"] = _pooling(folder, str(module.get("path")), _flags(cls_last))
        elif kind == "Normalize":
            found["normalise"] = True
        elif kind != "Transformer":
            hint = nearest(kind, ("Transformer", "Pooling", "Normalize"))
            raise ValueError(f"{folder / MODULES}: the module {module.get('type')} is not known{hint}")
    length = read_json(folder / LENGTH, dict).get("max_seq_length") if (folder / LENGTH).exists() else None
    if length is None:
        return found
    if type(length) is not int or length < 1:
        raise ValueError(f"{folder / LENGTH}: max_seq_length is {length!r}, expected a number of tokens")
    return found | {"max_length": length}


def pooling_files(
    pooling: str, normalise: bool, d_model: int, cls_last: bool = False, max_length: int | None = None
) -> dict[str, str]:
    """The files that `read_pooling` reads, and sentence-transformers too.

    Args:
        pooling: mean, cls or max.
        normalise: whether vectors are scaled to length 1.
        d_model: D.
        cls_last: whether the network's ``cls`` is the last token of a text.
        max_length: the most tokens of a text that is embedded; None where the network's is meant.

    Returns:
        Their texts by name.

    Raises:
        ValueError: for a pooling that sentence-transformers does not have.
    """
    if pooling not in _FLAGS:
        raise ValueError(
            f"pooling {pooling!r} does not exist in sentence-transformers' format; write a checkpoint instead"
        )
    kinds = [("", "Transformer"), (POOLING, "Pooling"), *([("2_Normalize", "Normalize")] if normalise else [])]
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_PACKAGE}.{kind}"} for i, (path, kind) in enumerate(kinds)
    ]
    settings = {"word_embedding_dimension": d_model, **{flag: how == pooling for how, flag in _flags(cls_last).items()}}
    return {
        MODULES: json.dumps(modules, indent=2) + "\n",
        f"{POOLING}/config.json": json.dumps(settings, indent=2) + "\n",
        **({} if max_length is None else {LENGTH: json.dumps({"max_seq_length": max_length}) + "\n"}),
    }


def _flags(cls_last: bool) -> dict[str, str]:
    """What each way is called there, where the first token and the last are two ways."""
    return _FLAGS | ({"cls": "pooling_mode_lasttoken"} if cls_last else {})


def _modules(folder: Path) -> list[dict[str, Any]]:
    modules = read_json(folder / MODULES, list)
    if not all(isinstance(module, dict) for module in modules):
        raise ValueError(f"{folder / MODULES}: expected a list of JSON objects")
    return list(modules)


def _pooling(folder: Path, path: str, flags: dict[str, str]) -> str:
    if Path(path).name != path:
        raise ValueError(f"{folder / MODULES}: {path!r} is not the name of a folder in this one")
    file = folder / path / "config.json"
    settings = read_json(file, dict)
    flagged = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
    names = {flag: how for how, flag in flags.items()}
    names |= {"lasttoken" if flag.endswith("lasttoken") else how: how for how, flag in flags.items()}
    chosen = flagged if flagged or "pooling_mode" not in settings else [str(settings["pooling_mode"])]
    if len(chosen) != 1 or chosen[0] not in names:
        listed = ", ".join(chosen) or "none"
        raise ValueError(f"{file}: expected one of {', '.join(flags.values())} to be true, got {listed}")
    return names[chosen[0]]
