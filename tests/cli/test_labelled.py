"""``infer`` and ``evaluate`` on tasks with labels: a bundle and its checkpoint answer alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from plmlight import cli
from plmlight.cli.question import question
from plmlight.export import export_bundle
from plmlight.loading import write_checkpoint
from tests.runtime.labelled import LABELS, small_classifier

TEXTS = ["paris is the capital", "she opened the door", "天气很好", "the garden of france"] * 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    task = small_classifier()
    write_checkpoint(task, folder / "model.ckpt")
    assert export_bundle(task, None, folder / "bundle").passed
    lines = [json.dumps({"id": n, "text": text, "kind": LABELS[n % 3]}) for n, text in enumerate(TEXTS)]
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "wrong.jsonl").write_text(json.dumps({"text": "paris", "kind": "sports"}) + "\n")
    return folder


def test_a_person_sees_the_classes_of_a_text(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for model in ("model.ckpt", "bundle"):
        assert cli.main(["infer", str(folder / model), "--text", TEXTS[0]]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1]
    lines = [line.split("  ") for line in shown[0].splitlines()]
    assert sorted(label for _, label in lines) == sorted(LABELS)
    assert [score for score, _ in lines] == sorted((score for score, _ in lines), reverse=True)


def test_records_are_requests_and_keep_what_they_have(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = []
    for model in ("model.ckpt", "bundle"):
        words = ["--input", str(folder / "test.jsonl"), "--output", str(folder / "out.jsonl")]
        assert cli.main(["infer", str(folder / model), *words]) == 0
        found.append([json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()])
    assert [each["id"] for each in found[0]] == list(range(16))
    assert list(found[0][0]) == ["id", "text", "kind", "label", "score", "scores"]
    for mine, its in zip(*found, strict=True):
        assert mine["label"] == its["label"]
        assert mine["scores"] == pytest.approx(its["scores"], abs=1e-5)


def test_what_a_record_lacks_and_foreign_options_are_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "bare.jsonl").write_text('{"pair": "x"}\n')
    assert cli.main(["infer", str(folder / "model.ckpt"), "--input", str(folder / "bare.jsonl")]) == 2
    assert "request 0: expected a text under 'text', and it has 'pair'" in capsys.readouterr().err
    assert cli.main(["infer", str(folder / "model.ckpt"), "--text", "x", "--num_beams", "2"]) == 2
    assert "--num_beams is not for" in (error := capsys.readouterr().err)
    assert "classifies texts" in error


def evaluated(folder: Path, model: str, *words: str) -> dict[str, Any]:
    data = ["--data", str(folder / "test.jsonl"), "--label_field", "kind", "--samples", "50"]
    assert cli.main(["evaluate", str(folder / model), *data, *words, "--output", str(folder / "result.json")]) == 0
    found: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return found


def test_checkpoint_and_bundle_are_worth_the_same(folder: Path) -> None:
    texts = ["--texts", str(folder / "texts.jsonl")]
    found = evaluated(folder, "model.ckpt", "--baseline", str(folder / "bundle"), *texts)
    assert found["metric"] == "labels"
    assert found["counts"] == {"examples": 16}
    told = [json.loads(line) for line in (folder / "texts.jsonl").read_text().splitlines()]
    right = [each["answer"]["label"] == each["gold"] for each in told]
    assert found["values"]["accuracy"]["value"] == pytest.approx(100 * sum(right) / 16)
    assert found["values"]["accuracy"]["low"] <= found["values"]["accuracy"]["value"]
    assert found["comparison"]["accuracy"]["difference"]["value"] == 0
    assert f"f1_{LABELS[0]}" in found["values"]


def test_a_class_that_the_model_does_not_know_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--data", str(folder / "wrong.jsonl"), "--label_field", "kind"]
    assert cli.main(["evaluate", str(folder / "model.ckpt"), *words]) == 2
    assert "wrong.jsonl:1: the model knows no class 'sports'; did you mean 'sport'?" in capsys.readouterr().err


def test_the_hint_after_fit_asks_what_the_task_can_answer() -> None:
    assert question(small_classifier()) == '--text "a text"'
