"""``infer`` and ``evaluate`` on tasks with labels: a bundle and its checkpoint answer alike."""

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from plmlight import cli
from plmlight.cli.question import question
from plmlight.cli.training_cli import TrainingCLI
from plmlight.export import export_bundle
from plmlight.loading import load, write_checkpoint
from plmlight.networks import BERT
from plmlight.tasks import (
    QuestionAnswering,
    RelationExtraction,
    SemanticRoleLabelling,
    Task,
    TokenClassification,
)
from tests.runtime.encoders import small_embedder
from tests.runtime.labelled import LABELS, ready, small_classifier

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
    assert "bare.jsonl:1: expected a text under 'text', and it has 'pair'" in capsys.readouterr().err
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where caches and runs go."""
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def predicted(checkpoint: Path, *words: str) -> list[dict[str, Any]]:
    off = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    assert cli.main(["predict", "--ckpt_path", str(checkpoint), *words, *off, "--output", "found.jsonl"]) == 0
    return [json.loads(line) for line in Path("found.jsonl").read_text().splitlines()]


def test_predict_answers_as_infer_does(folder: Path, quick: Path) -> None:
    train = quick / "train.jsonl"
    train.write_text("".join(json.dumps({"text": "a", "label": label}) + "\n" for label in LABELS))
    asked = quick / "asked.jsonl"
    asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in [*TEXTS[:4], "paris " * 60]))
    files = ["--data.files", str(train), "--data.predict_files", str(asked), "--data.validation_fraction", "0"]
    found = predicted(folder / "model.ckpt", "--data", "LabelledText", *files, "--data.batch_size", "2")
    assert cli.main(["infer", str(folder / "model.ckpt"), "--input", str(asked), "--output", "told.jsonl"]) == 0
    told = [json.loads(line) for line in Path("told.jsonl").read_text().splitlines()]
    assert [each.pop("sample_ids") for each in found] == [0, 1, 2, 3, 4]
    for mine, its in zip(found, told, strict=True):
        assert (mine["text"], mine["label"]) == (its["text"], its["label"])
        assert mine["scores"] == pytest.approx(its["scores"], abs=1e-5)


def tiny(**sizes: Any) -> BERT:
    return BERT(**({"vocab_size": 101, "d_model": 24, "num_layers": 1, "num_heads": 3, "max_length": 37} | sizes))


def test_predict_tags_words_without_tags_and_reads_long_texts_in_parts(quick: Path) -> None:
    write_checkpoint(ready(TokenClassification(tiny(), ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"])), quick / "t.ckpt")
    (quick / "train.txt").write_text("she O\nopened O\nparis B-LOC\n")
    (quick / "asked.jsonl").write_text(
        json.dumps({"text": "the garden of paris. " * 9}) + "\n" + json.dumps({"tokens": ["the", "door"]}) + "\n"
    )
    (quick / "asked.txt").write_text("paris\nis\n\nfrance\n")
    files = ["--data.files", "train.txt", "--data.predict_files", "[asked.jsonl,asked.txt]"]
    found = predicted(quick / "t.ckpt", "--data", "TaggedText", *files, "--data.validation_fraction", "0")
    assert [len(each["tags"]) for each in found] == [45, 2, 2, 1]
    assert found[2]["tokens"] == ["paris", "is"]
    for span in found[0]["spans"]:
        assert found[0]["text"][span["start"] : span["end"]] == span["text"]


def test_predict_answers_questions_once_whatever_their_windows(quick: Path) -> None:
    write_checkpoint(ready(QuestionAnswering(tiny(max_length=64), 40, 8)), quick / "q.ckpt")
    context = "Paris is the capital of France. " * 9
    known = {"id": "a", "question": "What is Paris?", "context": context, "answers": [{"text": "P", "answer_start": 0}]}
    (quick / "train.jsonl").write_text(json.dumps(known) + "\n")
    asked = [{"id": f"q{n}", "question": "What is the capital?", "context": context[n:]} for n in (0, 3)]
    (quick / "asked.jsonl").write_text("".join(json.dumps(each) + "\n" for each in asked))
    files = ["--data.files", "train.jsonl", "--data.predict_files", "asked.jsonl", "--data.validation_fraction", "0"]
    found = predicted(quick / "q.ckpt", "--data", "SquadData", *files)
    assert [each["id"] for each in found] == ["q0", "q3"]
    for each in found:
        assert each["answer"] == each["context"][each["start"] : each["end"]] != ""


def test_predict_names_relations_and_where_one_cannot_be_found(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = ready(RelationExtraction(tiny(), ["A(e1,e2)", "A(e2,e1)", "Other"], [5, 6, 7, 8]))
    write_checkpoint(task, quick / "r.ckpt")
    text = "the <e1>garden</e1> of <e2>paris</e2>"
    lines = [json.dumps({"text": text, "label": label}) + "\n" for label in task.labels]
    (quick / "train.jsonl").write_text("".join(lines))
    (quick / "asked.jsonl").write_text(json.dumps({"text": text}) + "\n")
    far = json.dumps({"text": f"<e1>a</e1>{' b' * 50} <e2>c</e2>"}) + "\n"
    (quick / "far.jsonl").write_text(json.dumps({"text": text}) + "\n" + far)
    files = ["--data.files", "train.jsonl", "--data.validation_fraction", "0"]
    words = ["--data", "RelationData", *files, "--data.predict_files"]
    (found,) = predicted(quick / "r.ckpt", *words, "asked.jsonl")
    assert found["text"][slice(*found["head"])] == "garden"
    assert sorted(found["scores"]) == task.labels
    assert found["label"] in task.labels
    assert cli.main(["infer", "r.ckpt", "--text", text, "--output", "told.jsonl"]) == 0
    told = json.loads(Path("told.jsonl").read_text())
    assert told["scores"] == pytest.approx(found["scores"], abs=1e-6)  # both read the checkpoint's markers
    assert task.tokenizer is not None
    other = ["--data.markers", json.dumps([task.tokenizer.id_to_token(place) for place in (8, 7, 6, 5)])]
    assert cli.main(["predict", "--ckpt_path", "r.ckpt", *words, "asked.jsonl", *other]) == 2
    assert "the data's markers are [8, 7, 6, 5], the checkpoint's [5, 6, 7, 8]" in capsys.readouterr().err
    assert cli.main(["predict", "--ckpt_path", "r.ckpt", *words, "far.jsonl"]) == 2
    assert "far.jsonl:2: the entities and what is between them are" in capsys.readouterr().err
    (kept,) = predicted(quick / "r.ckpt", *words, "far.jsonl", "--data.on_error", "skip")
    assert kept["label"] == found["label"]


def test_what_cannot_be_used_is_left_out_of_an_evaluation(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = ["A(e1,e2)", "A(e2,e1)", "Other"]
    for name, length in (("r.ckpt", 37), ("long.ckpt", 100)):
        write_checkpoint(ready(RelationExtraction(tiny(max_length=length), labels, [5, 6, 7, 8])), quick / name)
    texts = ["<e1>a</e1> <e2>c</e2>", "<e1>a</e1>", f"<e1>a</e1>{' b' * 50} <e2>c</e2>"]
    (quick / "r.jsonl").write_text("".join(json.dumps({"text": text, "label": "Other"}) + "\n" for text in texts))
    words = ["evaluate", "r.ckpt", "--data", "r.jsonl", "--samples", "20", "--output", "result.json"]
    assert cli.main(words) == 2
    assert "r.jsonl:2: the marker <e2> is missing" in capsys.readouterr().err
    assert cli.main([*words, "--on_error", "skip"]) == 0
    assert json.loads(Path("result.json").read_text())["counts"] == {"examples": 1, "left out": 2}
    said = capsys.readouterr()
    assert "1 examples, 2 left out" in said.out
    (told,) = [line for line in said.err.splitlines() if "left out" in line]
    assert told.startswith("2 examples are left out (r.jsonl:2: the marker <e2> is missing, ...): see ")
    listed = [json.loads(line)["where"] for line in Path(told.split(": see ")[1]).read_text().splitlines()]
    assert listed == ["r.jsonl:2", "r.jsonl:3"]
    assert cli.main([*words, "--on_error", "skip", "--baseline", "long.ckpt"]) == 2
    assert "long.ckpt: leaves out other examples than r.ckpt" in capsys.readouterr().err


def test_roles_are_predicted_and_asked_about_by_their_predicate(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = ready(SemanticRoleLabelling(tiny(), ["B-A0", "B-A1", "B-V", "I-A0", "I-A1", "I-V", "O"], [101, 102]))
    assert question(task) == '--text "She [gave] the keys to her brother yesterday."'
    write_checkpoint(task, quick / "s.ckpt")
    (quick / "train.txt").write_text("she - (A0*)\nopened open (V*)\nparis - (A1*)\n\n" * 3)
    (quick / "asked.txt").write_text("she -\nopened open\nthe -\ndoor -\n")
    (quick / "asked.jsonl").write_text(json.dumps({"tokens": ["she", "opened", "the", "door"], "predicate": 1}) + "\n")
    (quick / "marked.txt").write_text("she [opened] the door\n")
    files = ["--data.files", "train.txt", "--data.predict_files", "[asked.txt,asked.jsonl,marked.txt]"]
    found = predicted(quick / "s.ckpt", "--data", "RoleData", *files, "--data.validation_fraction", "0")
    assert [each.get("predicate", each.get("text")) for each in found] == [1, 1, "she [opened] the door"]
    assert found[2]["tags"] == found[0]["tags"]
    assert found[0]["tags"] == found[1]["tags"]
    assert cli.main(["infer", "s.ckpt", "--input", "asked.jsonl", "--output", "told.jsonl"]) == 0
    (told,) = [json.loads(line) for line in Path("told.jsonl").read_text().splitlines()]
    assert told["tags"] == found[0]["tags"]
    capsys.readouterr()
    assert cli.main(["infer", "s.ckpt", "--text", "she [opened] the door"]) == 0
    shown = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    assert [line[1] for line in shown] == [span["label"] for span in told["spans"]]
    assert cli.main(["infer", "s.ckpt", "--text", "she opened the door"]) == 2
    assert "no predicate is marked: write one [predicate] in the text" in capsys.readouterr().err
    assert cli.main(["evaluate", "s.ckpt", "--data", "train.txt", "--samples", "50", "--output", "result.json"]) == 0
    measured = json.loads(Path("result.json").read_text())["values"]
    assert measured["f1"]["low"] <= measured["f1"]["value"] <= measured["f1"]["high"]


@pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")
def test_tags_are_learned_by_the_command_and_tested_with_the_checkpoint(quick: Path) -> None:
    (quick / "train.txt").write_text("she O\nopened O\nparis B-LOC\n\nparis B-LOC\nis O\n\n" * 8)
    (quick / "other.txt").write_text("she O\nmet O\nfrance B-PER\n")
    data = ["--data", "TaggedText", "--data.files", "train.txt", "--data.tokenizer_kind", "word"]
    data += ["--data.batch_size", "4", "--data.max_length", "12"]
    sizes = ["--model.network.d_model", "8", "--model.network.max_length", "16"]
    model = ["--model", "TokenClassification", "--model.network", "BiLSTM", *sizes, "--model.crf", "true"]
    off = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    run = ["--trainer.max_epochs", "2", "--trainer.default_root_dir", "run", "--trainer.log_every_n_steps", "1"]
    assert cli.main(["fit", *model, "--model.optimizer", "AdamW", *data, *off, *run]) == 0
    task = load(quick / "run" / "last.ckpt")
    assert isinstance(task, TokenClassification)
    assert (task.labels, task.unit, task.max_length, task.network.max_length) == (["B-LOC", "O"], "word", 12, 16)
    assert cli.main(["infer", "run/last.ckpt", "--text", "she opened paris", "--output", "told.jsonl"]) == 0
    (told,) = [json.loads(line) for line in Path("told.jsonl").read_text().splitlines()]
    assert len(told["tags"]) == 3
    words = ["--ckpt_path", "run/last.ckpt", *data, *off, "--data.test_files"]
    assert cli.main(["test", *words, "train.txt"]) == 0
    assert cli.main(["test", *words, "other.txt"]) == 2


@pytest.mark.parametrize("command", ["validate", "test"])
@pytest.mark.parametrize("bar", ["true", "false"])
def test_names_of_classes_are_no_markup(
    command: str, bar: str, quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(ready(TokenClassification(tiny(), ["B-:x:", "B-[/b]", "O"])), quick / "t.ckpt")
    (quick / "x.txt").write_text("she O\nparis B-[/b]\nfrance B-:x:\n")
    words = ["--ckpt_path", "t.ckpt", "--trainer.enable_progress_bar", bar, "--trainer.accelerator", "cpu"]
    files = "validation_files" if command == "validate" else "test_files"
    assert cli.main([command, *words, "--data", "TaggedText", f"--data.{files}", "x.txt"]) == 0
    said = capsys.readouterr().out
    assert "_f1_[/b]" in said
    assert "_f1_:x:" in said


def test_what_was_measured_is_written_and_shown_whatever_classes_are_called(
    quick: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint(ready(TokenClassification(tiny(), ["B-:x:", "B-[/b]", "O"])), quick / "t.ckpt")
    (quick / "x.txt").write_text("she O\nparis B-[/b]\nfrance B-:x:\n")
    assert cli.main(["evaluate", "t.ckpt", "--data", "x.txt", "--samples", "0", "--output", "result.json"]) == 0
    assert "f1_[/b]" in json.loads(Path("result.json").read_text())["values"]
    said = capsys.readouterr().out
    assert "f1_[/b]" in said
    assert "f1_:x:" in said


def test_a_checkpoint_needs_no_text_to_train_on(folder: Path, quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = quick / "asked.jsonl"
    asked.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[:4]))
    found = predicted(folder / "model.ckpt", "--data.predict_files", str(asked))
    with_training = quick / "train.jsonl"
    with_training.write_text("".join(json.dumps({"text": "a", "label": label}) + "\n" for label in LABELS))
    files = ["--data.files", str(with_training), "--data.validation_fraction", "0"]
    assert found == predicted(folder / "model.ckpt", *files, "--data.predict_files", str(asked))
    quiet = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu", "--trainer.default_root_dir", "run"]
    path = ["--ckpt_path", str(folder / "model.ckpt"), "--data.label_field", "kind", *quiet]
    assert cli.main(["test", *path, "--data.test_files", str(folder / "test.jsonl")]) == 0
    assert cli.main(["validate", *path, "--data.validation_files", str(folder / "test.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "test_accuracy" in said
    assert "val_accuracy" in said
    pages = [(quick / "run" / f"report-{name}.html").read_text() for name in ("test", "validate")]
    assert "val_accuracy" in pages[1]
    assert "The validation set." in pages[1]
    assert all(label in page for page in pages for label in LABELS)
    assert cli.main(["validate", *path]) == 2
    assert "LabelledText has no text to validate on: set validation_files" in capsys.readouterr().err


def test_other_tasks_need_no_text_to_train_on_either(quick: Path) -> None:
    tagger = TokenClassification(tiny(), ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"], unit="character")
    write_checkpoint(ready(tagger), quick / "t.ckpt")
    (quick / "asked.jsonl").write_text(json.dumps({"text": "天气"}) + "\n")
    (found,) = predicted(quick / "t.ckpt", "--data.predict_files", "asked.jsonl")
    assert len(found["tags"]) == 2
    write_checkpoint(ready(QuestionAnswering(tiny(max_length=64), 40, 8)), quick / "q.ckpt")
    (quick / "asked.jsonl").write_text(json.dumps({"question": "What?", "context": "Paris is the capital."}) + "\n")
    (found,) = predicted(quick / "q.ckpt", "--data.predict_files=asked.jsonl")
    assert found["question"] == "What?"
    relations = RelationExtraction(tiny(), ["A(e1,e2)", "A(e2,e1)", "Other"], [5, 6, 7, 8])
    write_checkpoint(ready(relations), quick / "r.ckpt")
    (quick / "asked.jsonl").write_text(json.dumps({"text": "the <e1>garden</e1> of <e2>paris</e2>"}) + "\n")
    (found,) = predicted(quick / "r.ckpt", "--data.predict_files", "asked.jsonl")
    assert found["label"] in relations.labels
    roles = SemanticRoleLabelling(tiny(), ["B-A0", "B-V", "I-A0", "I-V", "O"], [101, 102])
    write_checkpoint(ready(roles), quick / "s.ckpt")
    (quick / "asked.jsonl").write_text(json.dumps({"tokens": ["she", "opened", "it"], "predicate": 1}) + "\n")
    (found,) = predicted(quick / "s.ckpt", "--data.predict_files", "asked.jsonl")
    assert len(found["tags"]) == 3


TRAINED: dict[str, tuple[Callable[[], Task], dict[str, Any], list[str]]] = {
    "texts": (lambda: small_classifier(max_length=12), {"text": "paris " * 30, "label": LABELS[0]}, []),
    "pairs": (
        lambda: small_classifier(max_length=12),
        {"sentence1": "paris " * 30, "sentence2": "paris", "label": LABELS[0]},
        ["--data", "LabelledPairs"],
    ),
    "questions": (
        lambda: ready(QuestionAnswering(tiny(), 12, 2)),
        {"question": "What?", "context": "Paris", "answers": {"text": ["Paris"], "answer_start": [0]}},
        [],
    ),
    "relations": (
        lambda: ready(RelationExtraction(tiny(), ["A(e1,e2)", "Other"], [5, 6, 7, 8], max_length=12)),
        {"text": "the <e1>garden</e1> of <e2>paris</e2>", "label": "Other"},
        [],
    ),
    "tags": (
        lambda: ready(TokenClassification(tiny(), ["A", "B"], max_length=12)),
        {"tokens": ["paris"] * 30, "tags": ["A"] * 30},
        [],
    ),
    "vectors": (
        lambda: small_embedder(max_length=12),
        {"sentence1": "paris " * 30, "sentence2": "paris"},
        [],
    ),
    "roles": (
        lambda: ready(SemanticRoleLabelling(tiny(), ["B-A0", "B-V", "I-A0", "I-V", "O"], [101, 102], max_length=12)),
        {"tokens": ["she", "opened", "it"], "predicate": 1, "tags": ["B-A0", "B-V", "O"]},
        [],
    ),
}


@pytest.mark.parametrize("case", TRAINED)
def test_a_checkpoint_is_tested_on_texts_as_long_as_those_of_its_training(
    case: str, quick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, record, words = TRAINED[case]
    write_checkpoint(make(), quick / "model.ckpt")
    (quick / "test.jsonl").write_text(json.dumps(record) + "\n")
    found: list[int] = []

    def run(command: TrainingCLI) -> int:
        found.append(command.datamodule.max_length)
        return 0

    monkeypatch.setattr(TrainingCLI, "run", run)
    command = ["test", "--ckpt_path", "model.ckpt", *words, "--data.test_files", "test.jsonl"]
    assert cli.main(command) == cli.main([*command, "--data.max_length=20"]) == 0
    assert found == [12, 20]


def test_training_needs_text(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["fit", "--model", "TextClassification", "--model.network", "BERT", "--data", "LabelledText"]
    assert cli.main(words) == 2
    assert "LabelledText has no text to fit on: set files" in capsys.readouterr().err


def test_the_hint_after_fit_asks_what_the_task_can_answer() -> None:
    assert question(small_classifier()) == '--text "a text"'


def test_fit_says_how_a_model_of_pairs_is_asked(quick: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (quick / "train.csv").write_text("sentence1,sentence2,label\n" + "a,b,yes\na,c,no\n" * 4)
    words = ["--data", "LabelledPairs", "--data.files", "train.csv", "--data.batch_size", "4"]
    sizes = ["--model.network.d_model", "8", "--model.network.max_length", "16", "--model.network.num_heads", "2"]
    run = ["--trainer.max_steps", "1", "--trainer.default_root_dir", "runs/pairs", "--trainer.log_every_n_steps", "1"]
    off = ["--trainer.enable_progress_bar=false", "--trainer.accelerator=cpu"]
    model = ["--model", "TextClassification", "--model.network", "BERT", *sizes]
    assert cli.main(["fit", *model, *words, *run, *off]) == 0
    told = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert told[3:] == ["infer", "bundles/pairs", "--text", "a text", "--pair", "another text"]
    assert cli.main(["infer", "runs/pairs/last.ckpt", *told[5:]]) == 0


def test_two_texts_are_asked_about_in_one_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = str(folder / "model.ckpt")
    assert cli.main(["infer", model, "--text", TEXTS[0], "--pair", TEXTS[1]]) == 0
    assert len(capsys.readouterr().out.splitlines()) == len(LABELS)
    for words, message in (
        (["--pair", "x"], "it goes with one --text"),
        (["--question", "x"], "needs --question and the --context"),
        (["--context", "x", "--text", "y"], "needs --question and the --context"),
        (["--question", "x", "--context", "y", "--input", "z"], "--input has whole requests"),
        (["--question", "x", "--context", "y"], "expected a text under 'text', and it has 'question', 'context'"),
    ):
        assert cli.main(["infer", model, *words]) == 2
        assert message in capsys.readouterr().err


def test_a_question_is_asked_about_a_context(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=64)
    task = ready(QuestionAnswering(network, 48, 8))
    assert question(task) == '--question "a question" --context "a text that answers it"'
    write_checkpoint(task, tmp_path / "qa.ckpt")
    context = "paris is the capital of france"
    assert cli.main(["infer", str(tmp_path / "qa.ckpt"), "--question", "the capital", "--context", context]) == 0
    assert capsys.readouterr().out.strip()
    assert cli.main(["infer", str(tmp_path / "qa.ckpt"), "--text", "the capital"]) == 2
    assert "give --question and --context" in capsys.readouterr().err
