"""Reading a bundle and refusing one that is not what was proven."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmlight.text import file_hash, nearest

FORMAT = 2
"""The version of the manifest that this runtime reads."""

_REQUIRED = ("format", "task", "graphs", "default_graph", "tokenizer", "max_length")


@dataclass(frozen=True)
class Bundle:
    """A bundle on disk.

    Attributes:
        folder: where it is.
        manifest: what ``manifest.json`` says.
    """

    folder: Path
    manifest: Mapping[str, Any]

    def graph(self, name: str | None = None) -> tuple[str, Mapping[str, Any]]:
        """The description of a graph.

        Args:
            name: a key of the manifest's ``graphs``; its ``default_graph`` by default.

        Returns:
            The name and the description.

        Raises:
            ValueError: when there is no such graph.
        """
        name = name or str(self.manifest["default_graph"])
        graphs: Mapping[str, Any] = self.manifest["graphs"]
        if name not in graphs:
            raise ValueError(f"{self.folder}: the bundle has no graph {name!r}{nearest(name, graphs)}")
        return name, graphs[name]

    def files(self) -> list[str]:
        """The names of the files that the manifest speaks of."""
        names = [name for graph in self.manifest["graphs"].values() for name in graph.get("files", [graph["file"]])]
        names += [self.manifest[key]["file"] for key in ("tokenizer", "target_tokenizer") if self.manifest.get(key)]
        return sorted({*names, "manifest.json"})


def read_bundle(folder: str | Path) -> Bundle:
    """Reads a bundle's manifest; `verify` says whether the bundle may be used.

    Args:
        folder: the bundle.

    Raises:
        ValueError: when this is no bundle, or one of a version or shape that is not known here.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder")
    if not (folder / "manifest.json").is_file():
        raise ValueError(f"{folder}: no manifest.json here, so it is not a bundle")
    manifest = _json(folder / "manifest.json")
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{folder / 'manifest.json'}: format {manifest.get('format')!r} is not known here, which reads {FORMAT}: "
            f"the bundle was written by plmlight {manifest.get('plmlight', '?')}; export it again"
        )
    lacks = [key for key in _REQUIRED if key not in manifest]
    if lacks:
        raise ValueError(f"{folder / 'manifest.json'}: the key {lacks[0]!r} is missing")
    bundle = Bundle(folder, manifest)
    for name in bundle.files():
        if Path(name).name != name:
            raise ValueError(f"{folder / 'manifest.json'}: {name!r} is not a plain file name")
    return bundle


def verify(bundle: Bundle) -> None:
    """Compares a bundle with its verdict, byte for byte.

    Args:
        bundle: what `read_bundle` returned.

    Raises:
        ValueError: when the verdict is missing or failed, or when a file is missing, changed or not in the verdict.
    """
    path = bundle.folder / "verdict.json"
    if not path.is_file():
        raise ValueError(f"{path}: missing, so the bundle was never proven; export it again")
    verdict = _json(path)
    if verdict.get("passed") is not True:
        failed = [check.get("name", "?") for check in verdict.get("checks", []) if not check.get("passed")]
        raise ValueError(f"{path}: the bundle failed its verdict ({', '.join(failed) or 'no check passed'})")
    recorded: Mapping[str, Mapping[str, Any]] = verdict.get("files", {})
    for name, proven in recorded.items():
        file = bundle.folder / name
        if not file.is_file():
            raise ValueError(f"{file}: missing, but the verdict was given with it")
        size = file.stat().st_size
        if size != proven["bytes"]:
            raise ValueError(f"{file}: changed since the verdict: {size} bytes instead of {proven['bytes']}")
        if file_hash(file) != proven["sha256"]:
            raise ValueError(f"{file}: changed since the verdict: its SHA-256 differs")
    unproven = [name for name in bundle.files() if name not in recorded]
    if unproven:
        raise ValueError(f"{bundle.folder / unproven[0]}: the verdict does not speak of this file; export again")


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object was expected")
    return content
