import json
from pathlib import Path

import pytest

from plmlight import cli
from tests.runtime.bundles import make_bundle, seal


def test_a_sound_bundle_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", str(make_bundle(tmp_path / "bundle"))]) == 0
    assert "passed on cpu, graph in_place" in capsys.readouterr().out
    assert cli.main(["selftest", str(tmp_path / "bundle"), "--graph", "portable"]) == 0


def test_a_changed_byte_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_bundle(tmp_path / "bundle")
    (folder / "tokenizer.json").write_text("{}")
    assert cli.main(["selftest", str(folder)]) == 1
    assert "tokenizer.json: changed since the verdict" in capsys.readouterr().out


def test_a_different_answer_is_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make_bundle(tmp_path / "bundle")
    lines = (folder / "golden.jsonl").read_text().splitlines()
    lines[1] = json.dumps({**json.loads(lines[1]), "token_ids": [0] * 9})
    (folder / "golden.jsonl").write_text("\n".join(lines) + "\n")
    seal(folder)
    assert cli.main(["selftest", str(folder)]) == 1
    printed = capsys.readouterr().out
    assert "golden 1  ok" in printed
    assert "golden 2  FAILED" in printed


def test_what_is_no_bundle_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", str(tmp_path)]) == 2
    assert "no manifest.json here" in capsys.readouterr().err
