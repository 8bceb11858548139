"""``infer`` on encoder-decoders: a bundle and its checkpoint answer alike; prefixes; a dialogue in the terminal."""

import io
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from plmlight import cli, runtime
from plmlight.cli.question import question
from plmlight.text import TextForm
from tests.runtime.bundles import seal
from tests.runtime.sequences import DIALOGUE, small_sequence

NEW = ["--max_new_tokens", "6"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from plmlight.loading import write_checkpoint

    path = tmp_path_factory.mktemp("infer") / "sequence.ckpt"
    write_checkpoint(small_sequence(), path)
    return path


@pytest.fixture(scope="module")
def talking_bundle(translating_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same graphs with the form of a dialogue."""
    folder = Path(shutil.copytree(translating_bundle, tmp_path_factory.mktemp("infer") / "talking"))
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | {"text_form": DIALOGUE.as_json()}))
    seal(folder)
    return folder


def records(capsys: pytest.CaptureFixture[str], *words: object) -> list[dict[str, Any]]:
    assert cli.main(["infer", *map(str, words)]) == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("beams", ["1", "3"])
def test_a_single_text_is_answered_with_text(
    translating_bundle: Path, beams: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["infer", str(translating_bundle), "--text", "the door", "--num_beams", beams, *NEW]
    assert cli.main(words) == 0
    (wanted,) = runtime.load(translating_bundle).translate(["the door"], num_beams=int(beams), max_new_tokens=6)
    assert capsys.readouterr().out == f"{wanted}\n"


def test_a_terminal_shows_a_line_a_text(translating_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stdout", screen)
    texts = ["the door", "a garden"]
    assert cli.main(["infer", str(translating_bundle), "--text", texts[0], "--text", texts[1], *NEW]) == 0
    assert screen.getvalue() == "".join(
        f"{each}\n" for each in runtime.load(translating_bundle).translate(texts, max_new_tokens=6)
    )


def test_checkpoint_and_bundle_answer_alike(
    translating_bundle: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["--text", "the door", "--text", "she opened it", "--num_beams", "3", "--num_return_sequences", "2", *NEW]
    found = [records(capsys, model, *words) for model in (translating_bundle, checkpoint)]
    assert [record["source"] for record in found[0]] == ["the door"] * 2 + ["she opened it"] * 2
    for mine, its in zip(*found, strict=True):
        assert mine["token_ids"] == its["token_ids"]
        assert mine["score"] == pytest.approx(its["score"], abs=1e-4)


def test_a_prefix_is_named(translating_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--text", "the door", "--text", "it", *NEW]
    named = records(capsys, translating_bundle, *words, "--prefix", "german")
    plain = ["--text", "translate to German: the door", "--text", "translate to German: it", *NEW]
    written = records(capsys, translating_bundle, *plain)
    assert [record["token_ids"] for record in named] == [record["token_ids"] for record in written]
    assert [record["source"] for record in named] == ["the door", "it"]


def talk(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str, *words: str) -> int:
    monkeypatch.setattr(sys, "stdin", io.StringIO(text))
    return cli.main(["infer", str(folder), "--chat", *NEW, *words])


def test_a_dialogue_keeps_its_last_turns(
    talking_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(monkeypatch, talking_bundle, "hello\n\n the door \nwhy\n/reset\nhello\n") == 0
    printed = capsys.readouterr()
    model = runtime.load(talking_bundle)
    turns: list[str] = []
    for line in ("hello", "the door", "why"):
        turns += [line, model.reply([*turns, line], max_new_tokens=6).strip()]
    answers = [line.partition("model> ")[2].strip() for line in printed.out.splitlines() if "model> " in line]
    assert answers == [turns[1], turns[3], turns[5], turns[1]]
    assert printed.out.startswith("you> model> ")
    assert "the last 3 turns are remembered" in printed.err
    assert "forgotten" in printed.err


def test_a_dialogue_with_beams(
    talking_bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert talk(monkeypatch, talking_bundle, "hello\n/rest\n", "--num_beams", "2") == 0
    printed = capsys.readouterr()
    wanted = runtime.load(talking_bundle).reply(["hello"], max_new_tokens=6, num_beams=2).strip()
    assert f"model> {wanted}\n" in printed.out
    assert "there is no command '/rest'" in printed.err
    assert "/reset" in printed.err.splitlines()[-1]


def test_a_source_that_is_cut_is_said(translating_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["infer", str(translating_bundle), "--text", "q" * 99, "--truncate_source", *NEW]
    assert cli.main(words) == 0
    printed = capsys.readouterr().err
    assert printed.startswith("plmlight infer: 1 of 1 sources were longer than the 61 tokens")
    assert printed.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--text", "a", "--prefix", "germn"], "prefix 'germn' is unknown; did you mean 'german'?"),
        (["--text", "q" * 99], "source 0 has 100 tokens, but the model reads at most 61"),
        (["--text", "a", "--echo"], "--echo is not for"),
        (["--text", "a", "--token_type_id", "1"], "which turns texts into other texts: its own options are"),
        (["--chat"], "which was not trained on dialogues"),
        (["--chat", "--text", "a"], "--chat reads lines and answers each: --text does not go with it"),
        (["--chat", "--question", "a"], "--chat reads lines and answers each: --question does not go with it"),
        (["--text", "a", "--graph", "in_place"], "no graph 'in_place'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(
    translating_bundle: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["infer", str(translating_bundle), *words]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    assert printed.startswith("plmlight infer: ")
    assert message in printed


def test_selftest_replays_the_golden_requests(translating_bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", str(translating_bundle)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("golden") == 4
    assert "passed on cpu, graph portable" in printed


def test_what_to_ask_next_fits_the_form_of_the_text() -> None:
    assert question(small_sequence(form=DIALOGUE)) == "--chat"
    assert question(small_sequence()) == '--text "a text" --prefix "german"'
    assert question(small_sequence(form=TextForm())) == '--text "a text" --num_beams 4'
