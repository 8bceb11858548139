"""Where text comes from: names of files, folders, globs, URLs and data sets become a list of sources."""

from __future__ import annotations

import hashlib
import os
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import fsspec

from plmlight.text import file_hash, nearest, replace_file

Kind = Literal["text", "jsonl", "csv", "tsv", "parquet", "dataset"]
KINDS: dict[str, Kind] = {
    ".txt": "text",
    ".md": "text",
    ".rst": "text",
    ".py": "text",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
}
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
NAMED_CORPORA = ("python-stdlib",)
DATASET = "dataset:"
_REMEMBERED_FROM = 64 * 2**20  # hashing less than this takes no time that anyone would notice


@dataclass(frozen=True)
class Source:
    """One file, or one split of a Hugging Face data set.

    Args:
        name: its path, URL or ``dataset:`` name, as messages show it.
        kind: how it is read.
        size: the bytes it holds, None when not known.
        named: whether the user named it, rather than a folder or glob that it lies in: then it may not be empty.
        encoding: of its text.
    """

    name: str
    kind: Kind
    size: int | None = None
    named: bool = True
    encoding: str = "utf-8"

    def identity(self, memory: Path | None = None) -> str:
        """A hash of the content, without the name.

        Args:
            memory: a folder that remembers the hashes of large local files by path, size and time of change.

        Returns:
            SHA-256 of a local file's bytes; the file system's own key of a remote file; a data set's fingerprint.
        """
        if self.kind == "dataset":
            return str(open_dataset(self.name)._fingerprint)
        system, path = fsspec.core.url_to_fs(self.name)
        if "file" not in _protocols(system):
            return str(system.ukey(path))
        if memory is None or (self.size or 0) < _REMEMBERED_FROM:
            return file_hash(path)
        status = os.stat(path)
        key = hashlib.sha256(repr((path, status.st_size, status.st_mtime_ns, status.st_ino)).encode()).hexdigest()
        if not (memory / key).exists():
            found = file_hash(path)
            with replace_file(memory / key, "w") as handle:
                handle.write(found)
        return (memory / key).read_text()


def resolve(files: str | Sequence[str], kind: Kind | None = None) -> list[Source]:
    """Finds what the user named.

    Args:
        files: one name or several, read in the given order. A name is

            - a file: ``.txt .md .rst .py`` (plain text), ``.jsonl .ndjson``, ``.csv .tsv`` (with a header; only
              .csv has quotes) or ``.parquet``; all but parquet may be compressed: ``.gz .bz2 .xz .zst``;
            - a folder (everything readable below it, by name) or a glob (``corpus/**/*.txt``);
            - any of these on a remote file system that fsspec knows: ``s3://bucket/corpus/*.jsonl.zst``;
            - ``dataset:PATH[:CONFIG][:SPLIT]``: a Hugging Face data set, of the hub or a folder written by
              ``save_to_disk``; the split is ``train`` unless given;
            - ``python-stdlib``: the source text of this Python's standard library.

        kind: what each file is, whatever its name says; None goes by the name.

    Returns:
        The sources, never none.

    Raises:
        FileNotFoundError: when there is no such file, naming the nearest that exists.
        ValueError: for a file of an unknown kind, or a folder with nothing to read.
    """
    names = [files] if isinstance(files, str) else list(files)
    if not names:
        raise ValueError("files: no file was named")
    return [source for name in names for source in _resolve_one(name, kind)]


def is_folder(name: str) -> bool:
    """Whether a name is that of a folder, here or remote.

    Args:
        name: see `resolve`.
    """
    system, path = fsspec.core.url_to_fs(os.path.expanduser(name))
    return bool(system.isdir(path))


def _resolve_one(name: str, kind: Kind | None) -> list[Source]:
    if name == "python-stdlib":
        return _standard_library()
    if name.startswith(DATASET):
        return [Source(name, "dataset")]
    system, path = fsspec.core.url_to_fs(os.path.expanduser(name))
    if system.isdir(path):
        return _below(system, path, name, system.find(path, withdirs=False, detail=True))
    if system.exists(path):
        return [Source(name, kind or _kind(name), system.size(path))]
    if any(character in name for character in "*?["):
        found = {file: entry for file, entry in system.glob(path, detail=True).items() if entry["type"] == "file"}
        if not found:
            raise FileNotFoundError(f"{name}: no file matches")
        entries = [(file, found[file]["size"]) for file in sorted(found)]
        return [Source(_full(system, file), kind or _kind(file), size, named=False) for file, size in entries]
    raise FileNotFoundError(f"{name}: no such file or folder{_nearest_sibling(system, path, name)}")


def _below(system: Any, folder: str, name: str, found: dict[str, Any]) -> list[Source]:
    readable, other = [], set()
    for file in sorted(found):
        relative = PurePosixPath(file).relative_to(PurePosixPath(folder))
        if any(part.startswith(".") for part in relative.parts):
            continue
        suffix, _ = _suffixes(file)
        if suffix in KINDS:
            readable.append(Source(_full(system, file), KINDS[suffix], found[file]["size"], named=False))
        else:
            other.add(suffix or file)
    if not readable:
        seen = f" (only {', '.join(sorted(other)[:5])})" if other else ""
        raise ValueError(f"{name}: the folder has no file to read{seen}; readable are {' '.join(sorted(KINDS))}")
    return readable


def _standard_library() -> list[Source]:
    root = Path(sysconfig.get_paths()["stdlib"])
    skipped = {"site-packages", "dist-packages", "test", "tests", "idle_test"}
    files = []
    for folder, below, names in os.walk(root):
        below[:] = set(below) - skipped
        files += [Path(folder, name) for name in names if name.endswith(".py")]
    if not files:
        raise ValueError(f"python-stdlib: this Python has no source text under {root}; name a file of your own instead")
    return [Source(str(file), "text", file.stat().st_size, named=False) for file in sorted(files)]


def _suffixes(name: str) -> tuple[str, str]:
    """The suffix that tells the kind, and the one that tells the compression, each perhaps empty."""
    path = PurePosixPath(name.lower())
    compression = path.suffix if path.suffix in COMPRESSIONS else ""
    return PurePosixPath(path.name.removesuffix(compression)).suffix, compression


def compression(name: str) -> str:
    """The suffix that tells how a file is compressed.

    Args:
        name: a path or URL.

    Returns:
        ``.gz .bz2 .xz .zst``, or nothing.
    """
    return _suffixes(name)[1]


def named_kind(name: str) -> Kind | None:
    """What a file is by its name.

    Args:
        name: a path or URL, perhaps of a compressed file.

    Returns:
        The kind, None where the name does not tell.
    """
    return KINDS.get(_suffixes(name)[0])


def _kind(name: str) -> Kind:
    suffix, compressed = _suffixes(name)
    if suffix not in KINDS:
        raise ValueError(f"{name}: cannot read {suffix or 'a file without an extension'}{nearest(suffix, KINDS)}")
    if compressed and KINDS[suffix] == "parquet":
        raise ValueError(f"{name}: a parquet file is compressed inside; unpack the {compressed} first")
    return KINDS[suffix]


def _nearest_sibling(system: Any, path: str, name: str) -> str:
    tail = nearest(name, NAMED_CORPORA)
    if tail.startswith("; did you mean"):
        return tail
    folder = str(PurePosixPath(path).parent)
    if not system.isdir(folder):
        return f"; the folder {folder} does not exist either"
    names = {PurePosixPath(entry).name for entry in system.ls(folder, detail=False)}
    tail = nearest(PurePosixPath(path).name, names)
    return tail if tail.startswith("; did you mean") else ""


def _full(system: Any, path: str) -> str:
    return path if "file" in _protocols(system) else str(system.unstrip_protocol(path))


def _protocols(system: Any) -> tuple[str, ...]:
    return (system.protocol,) if isinstance(system.protocol, str) else tuple(system.protocol)


def open_dataset(name: str) -> Any:
    """Opens a Hugging Face data set.

    Args:
        name: ``dataset:PATH[:CONFIG][:SPLIT]``.

    Returns:
        The ``datasets.Dataset``.

    Raises:
        ValueError: when the package or the split is missing.
    """
    try:
        import datasets
    except ImportError:
        raise ValueError(f"{name}: needs the package datasets (pip install datasets)") from None
    path, *rest = name.removeprefix(DATASET).split(":")
    if len(rest) > 2 or not path:
        raise ValueError(f"{name}: expected dataset:PATH[:CONFIG][:SPLIT]")
    split = rest[-1] if rest else "train"
    if not Path(path).is_dir() or not any((Path(path) / mark).exists() for mark in ("state.json", "dataset_dict.json")):
        return datasets.load_dataset(path, rest[0] if len(rest) == 2 else None, split=split)
    saved = datasets.load_from_disk(path)
    if not isinstance(saved, datasets.DatasetDict):
        return saved
    if split not in saved:
        raise ValueError(f"{name}: has no split {split!r}{nearest(split, saved)}")
    return saved[split]
