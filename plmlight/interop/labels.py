"""What config.json says of a classifier or tagger beside its network: the names of its classes, and what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plmlight.interop.folder import CONFIG, read_config

_PROBLEMS = {
    "single-label": ("SingleLabel", "single_label_classification"),
    "multi-label": ("MultiLabel", "multi_label_classification"),
    "regression": ("Regression", "regression"),
}
"""What runs here under a name, the class that learns it, and their ``problem_type``."""
_DROPOUTS = ("classifier_dropout", "classifier_dropout_prob", "hidden_dropout_prob")
_MAX_LENGTH = {"max_length": "max_text_length"}
"""Keys of our own: their ``max_length`` is that of what a model writes."""
_LENGTHS = {**_MAX_LENGTH, "stride": "text_stride"}
_TAGS = {**_MAX_LENGTH, "scheme": "tag_scheme", "unit": "tag_unit", "constrained": "constrained_tags"}
"""Keys of our own, of taggers."""


def read_labels(folder: Path) -> dict[str, Any]:
    """The arguments of `TextClassification` that a folder decides.

    Args:
        folder: holds config.json.

    Returns:
        ``labels``, ``problem`` (as `plmlight.nn.build` takes it), and ``head_dropout``, ``max_length`` and ``stride``
        where they are there.

    Raises:
        ValueError: for names that are not those of classes 0, 1, ..., or a ``problem_type`` that is not known.
    """
    config = read_config(folder)
    where = folder / CONFIG
    labels = _names(config, str(where))
    kind = config.get("problem_type")
    if kind is None:  # as theirs decides where nothing is said
        kind = "regression" if len(labels) == 1 else "single_label_classification"
    names = {theirs: ours for ours, theirs in _PROBLEMS.values()}
    if kind not in names:
        raise ValueError(f"{where}: problem_type is {kind!r}, expected one of {', '.join(names)}")
    arguments = {"thresholds": dict(zip(labels, config["thresholds"], strict=True))} if "thresholds" in config else {}
    found: dict[str, Any] = {
        "labels": labels,
        "problem": {"class_path": f"plmlight.{names[kind]}", "init_args": arguments},
    }
    return found | _dropout(config) | _ours(config, _LENGTHS)


def read_tags(folder: Path) -> dict[str, Any]:
    """The arguments of `TokenClassification` that a folder decides.

    Args:
        folder: holds config.json.

    Returns:
        ``labels``, ``constrained`` (not unless it says so: a published tagger gives each word its own best tag), and
        ``head_dropout``, ``max_length``, ``scheme`` and ``unit`` where they are there.

    Raises:
        ValueError: for names that are not those of tags 0, 1, ....
    """
    config = read_config(folder)
    labels = _names(config, str(folder / CONFIG))
    return {"labels": labels, "constrained": False} | _dropout(config) | _ours(config, _TAGS)


def label_settings(labels: Sequence[str], facts: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """The keys of config.json that `read_labels` reads, and ``transformers`` too.

    Args:
        labels: the names of the classes.
        facts: what the task says of itself.
        dropout: of the head.

    Returns:
        The keys and their values, some of which are our own, which theirs leaves alone.
    """
    told = _told(labels, dropout) | {"problem_type": _PROBLEMS[facts["problem"]][1]}
    return told | _theirs(facts, {"thresholds": "thresholds", **_LENGTHS})


def tag_settings(labels: Sequence[str], facts: Mapping[str, Any], dropout: float) -> dict[str, Any]:
    """The keys of config.json that `read_tags` reads; see `label_settings`.

    Args:
        labels: the names of the tags.
        facts: what the task says of itself.
        dropout: of the head.

    Returns:
        The keys and their values.
    """
    return _told(labels, dropout) | _theirs(facts, _TAGS)


def _told(labels: Sequence[str], dropout: float) -> dict[str, Any]:
    return {
        "id2label": {str(number): name for number, name in enumerate(labels)},
        "label2id": {name: number for number, name in enumerate(labels)},
        "classifier_dropout": dropout,
        "classifier_dropout_prob": dropout,
    }


def _dropout(config: Mapping[str, Any]) -> dict[str, Any]:
    dropouts = [config[key] for key in _DROPOUTS if config.get(key) is not None]
    return {"head_dropout": dropouts[0]} if dropouts else {}


def _ours(config: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {ours: config[theirs] for ours, theirs in names.items() if config.get(theirs) is not None}


def _theirs(facts: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {theirs: facts[ours] for ours, theirs in names.items() if facts.get(ours) is not None}


def _names(config: Mapping[str, Any], where: str) -> list[str]:
    named = config.get("id2label")
    if named is None:
        return [f"LABEL_{number}" for number in range(config.get("num_labels", 2))]
    expected = [str(number) for number in range(len(named))] if isinstance(named, Mapping) else []
    if not expected or {str(number) for number in named} != set(expected):
        raise ValueError(
            f"{where}: id2label is {str(named)[:60]}, expected the name of each class by its number, from 0"
        )
    by_number = {str(number): str(name) for number, name in named.items()}
    return [by_number[number] for number in expected]
