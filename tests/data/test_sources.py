import itertools
import os
import sysconfig
from pathlib import Path

import fsspec
import pytest

from plmlight.data import sources as sources_module
from plmlight.data.readers import read
from plmlight.data.sources import Source, resolve


def names(found: list[Source], root: Path) -> list[str]:
    return [os.path.relpath(source.name, root) for source in found]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    for name in ("b.txt", "a/z.jsonl.gz", "a/c.md", ".hidden/x.txt", "picture.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("text")
    return tmp_path


def test_folder_is_read_by_name_without_hidden_and_foreign_files(corpus: Path) -> None:
    found = resolve(str(corpus))
    assert names(found, corpus) == ["a/c.md", "a/z.jsonl.gz", "b.txt"]
    assert [(source.kind, source.named) for source in found] == [("text", False), ("jsonl", False), ("text", False)]


def test_glob_and_list_keep_the_given_order(corpus: Path) -> None:
    found = resolve([str(corpus / "b.txt"), str(corpus / "**" / "*.md")])
    assert names(found, corpus) == ["b.txt", "a/c.md"]


def test_remote_file_systems(tmp_path: Path) -> None:
    with fsspec.open("memory://bucket/corpus/a.txt", "wb") as handle:
        handle.write(b"remote text")
    for spec in ("memory://bucket/corpus/a.txt", "memory://bucket/corpus", "memory://bucket/*/*.txt"):
        found = resolve(spec)
        assert [piece.text for piece in read(found)] == ["remote text"]
        assert found[0].identity() == resolve(spec)[0].identity()


def test_standard_library_is_this_pythons_without_its_tests() -> None:
    found = resolve("python-stdlib")
    relative = names(found, Path(sysconfig.get_paths()["stdlib"]))
    assert {"argparse.py", "json/decoder.py"} <= set(relative)
    assert not any(part in f"/{name}" for name in relative for part in ("site-packages", "/test/", "/tests/"))
    assert found == resolve(["python-stdlib"])
    assert sum(1 for _ in read(found)) > 300  # all of it is UTF-8


def test_saved_data_set(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict({"text": ["one", "two"], "n": [1, 2]})
    table.save_to_disk(str(tmp_path / "plain"))
    datasets.DatasetDict({"train": table, "dev": table.select([1])}).save_to_disk(str(tmp_path / "splits"))
    assert [piece.text for piece in read(resolve(f"dataset:{tmp_path}/plain"))] == ["one", "two"]
    assert [piece.text for piece in read(resolve(f"dataset:{tmp_path}/splits:dev"))] == ["two"]
    assert resolve(f"dataset:{tmp_path}/plain")[0].identity()
    with pytest.raises(ValueError, match="has no split 'devv'; did you mean 'dev'"):
        list(read(resolve(f"dataset:{tmp_path}/splits:devv")))


def test_data_set_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(ValueError, match="dataset:x: needs the package datasets"):
        list(read(resolve("dataset:x")))


def test_identity_is_the_contents_not_the_names(tmp_path: Path) -> None:
    for name, text in (("a.txt", "same"), ("b.txt", "same"), ("c.txt", "other")):
        (tmp_path / name).write_text(text)
    a, b, c = (source.identity() for source in resolve(str(tmp_path)))
    assert a == b != c


def test_hash_of_a_large_file_is_remembered_until_it_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources_module, "_REMEMBERED_FROM", 1)
    calls = itertools.count(1)
    monkeypatch.setattr(sources_module, "file_hash", lambda path: f"hash {next(calls)}")
    (tmp_path / "a.txt").write_text("long text")
    first = [resolve(str(tmp_path / "a.txt"))[0].identity(tmp_path / "memory") for _ in range(2)]
    (tmp_path / "a.txt").write_text("another text")
    last = resolve(str(tmp_path / "a.txt"))[0].identity(tmp_path / "memory")
    assert (first, last) == (["hash 1", "hash 1"], "hash 2")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("b.tx", r"b\.tx: no such file or folder; did you mean 'b\.txt'\?"),
        ("no/such/x.txt", r"no such file or folder; the folder .*no/such does not exist either"),
        ("*.jsonl", r"\*\.jsonl: no file matches"),
        ("python-stdlb", "did you mean 'python-stdlib'"),
    ],
)
def test_missing_files_name_the_nearest(corpus: Path, name: str, message: str) -> None:
    with pytest.raises(FileNotFoundError, match=message):
        resolve(name if name.startswith("python") else str(corpus / name))


def test_what_cannot_be_read_says_what_can(corpus: Path) -> None:
    with pytest.raises(ValueError, match=r"picture\.png: cannot read \.png; expected one of .*'\.parquet'"):
        resolve(str(corpus / "picture.png"))
    (corpus / "x.jsonll").write_text("")
    with pytest.raises(ValueError, match=r"cannot read \.jsonll; did you mean '\.jsonl'"):
        resolve(str(corpus / "x.jsonll"))
    (corpus / "pictures").mkdir()
    (corpus / "picture.png").rename(corpus / "pictures" / "picture.png")
    with pytest.raises(ValueError, match=r"the folder has no file to read \(only \.png\); readable are"):
        resolve(str(corpus / "pictures"))
    with pytest.raises(ValueError, match="no file was named"):
        resolve([])
