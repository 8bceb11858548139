from pathlib import Path

import pytest

from plmlight.text import file_hash, nearest, replace_file, replace_folder


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail() -> None:
        with replace_file(target, "w") as handle:
            handle.write("new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_written_file_takes_the_place_of_the_old(tmp_path: Path) -> None:
    with replace_file(tmp_path / "new" / "a.bin") as handle:
        handle.write(b"x")
    assert (tmp_path / "new" / "a.bin").read_bytes() == b"x"


def test_failed_folder_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("")

    def interrupt() -> None:
        with replace_folder(tmp_path / "out") as folder:
            (folder / "half").write_text("")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["out", "out/old"]


def test_folder_takes_the_place_of_the_old(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with replace_folder(tmp_path / "out") as folder:
            (folder / name).write_text("")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")] == ["out", "out/two"]


def test_folder_cannot_replace_a_file(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(ValueError, match="a folder was expected here"), replace_folder(tmp_path / "out"):
        pass


def test_file_hash_is_sha256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_hash(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_nearest_name() -> None:
    assert nearest("wordpice", ["wordpiece", "unigram"]) == "; did you mean 'wordpiece'?"
    assert nearest("zz", ["b", "a"]) == "; expected one of 'a', 'b'"
    assert nearest("zz", []) == ""
