import io
import sys
from pathlib import Path
from typing import Literal

import pytest

from plmlight import cli
from plmlight.cli.arguments import OneLineErrors, parse, parser, plain


def command() -> OneLineErrors:
    made = parser("demo", "Shows the arguments.")
    made.add_argument("files", nargs="+", type=str)
    made.add_argument("--kind", type=Literal["bpe", "byte"], default="bpe")
    made.add_argument("--number", type=int, default=3)
    made.add_argument("--limit", type=int | None, default=None)
    made.add_argument("--form", type=Literal["BIO", "BMES"] | None, default=None)
    return made


def complaint(argv: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(command(), argv)
    assert caught.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["a", "--knd", "bpe"], "unknown option --knd; did you mean '--kind'?"),
        (["a", "--num", "4"], "unknown option --num; did you mean '--number'?"),
        (["a", "--zzzzzz=1"], "unknown option --zzzzzz; see --help for the 8 options"),
        (["a", "--kind", "bpee"], "kind: 'bpee' is not one of 'bpe', 'byte'; did you mean 'bpe'?"),
        (["a", "--number", "x"], "number: expected int, got x"),
        (["a", "--limit", "x"], "limit: expected int or null, got x"),
        (["a", "--form", "BIOO"], "form: 'BIOO' is not one of 'BIO', 'BMES', null; did you mean 'BIO'?"),
        ([], "missing: files"),
        (["a", "--number"], "argument --number: expected one argument"),
    ],
)
def test_mistake_is_one_line(argv: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(argv, capsys) == f"plmlight demo: {line}\n"


def test_unknown_key_in_config_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("numbr: 4\n")
    line = complaint(["a", "--config", str(tmp_path / "c.yaml")], capsys)
    assert line == "plmlight demo: unknown key 'numbr'; did you mean 'number'?\n"


def test_values_from_config_and_words(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("number: 4\n")
    values = plain(parse(command(), ["a", "b", "--config", str(tmp_path / "c.yaml"), "--kind", "byte"]))
    assert values == {"files": ["a", "b"], "kind": "byte", "number": 4, "limit": None, "form": None}


@pytest.mark.parametrize(
    "argv", [["exprot"], ["infer", "missing", "--topp", "1"], ["prepare", "missing", "--output", "x"]]
)
def test_a_mistake_is_one_write_so_that_those_of_several_ranks_do_not_mix(
    argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[str] = []

    class Spy(io.StringIO):
        def write(self, text: str) -> int:
            writes.append(text)
            return len(text)

    monkeypatch.setattr(sys, "stderr", Spy())
    try:
        status = cli.main(argv)
    except SystemExit as error:  # argparse's own mistakes
        status = int(error.code or 0)
    assert status == 2
    assert len(writes) == 1
    assert writes[0].endswith("\n")
