"""Training models that read one text and write another, from words to files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from plmlight.cli import main
from plmlight.tasks import Seq2Seq, task_from_checkpoint
from plmlight.text import TextForm, save_tokenizer, train_tokenizer

CONFIG = """
model:
  class_path: Seq2Seq
  init_args:
    network: {class_path: Transformer, init_args: {d_model: 16, num_layers: 1, num_heads: 2, max_length: 24}}
data:
  class_path: ParallelCorpus
  init_args: {files: pairs.tsv, tokenizer_vocab_size: 90, max_tokens: 400, validation_fraction: 0.1}
trainer:
  accelerator: cpu
  max_steps: 3
  log_every_n_steps: 1
  enable_model_summary: false
  enable_progress_bar: false
"""

TURNS = [f"hello {i} __eou__ how are you {i} ? __eou__ fine __eou__ good __eou__\n" for i in range(40)]


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pairs, dialogues and a recipe."""
    (tmp_path / "pairs.tsv").write_text("".join(f"the number {i}\tdie Zahl {i} ist es\n" for i in range(200)))
    records = (json.dumps({"dialogue": f"a {i} b", "summary": f"{i}"}) for i in range(60))
    (tmp_path / "records.jsonl").write_text("\n".join(records))
    (tmp_path / "turns.txt").write_text("".join(TURNS))
    (tmp_path / "recipe.yaml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def fit(*words: str) -> int:
    return main(["fit", "--config", "recipe.yaml", "--trainer.default_root_dir", "runs/a", *words])


def fit_with(data: dict[str, Any], *words: str) -> int:
    recipe = yaml.safe_load(CONFIG)
    Path("recipe.yaml").write_text(yaml.safe_dump({**recipe, "data": data}))
    return fit(*words)


def task() -> Seq2Seq:
    made = task_from_checkpoint("runs/a/last.ckpt")
    assert isinstance(made, Seq2Seq)
    return made


def saved() -> Any:
    return yaml.safe_load(Path("runs/a/logs/version_0/config.yaml").read_text())


def test_form_and_lengths_follow_from_the_model(work: Path) -> None:
    assert fit("--data.prefix", "to German: ", "--data.languages", "[en, de]") == 0
    data = saved()["data"]["init_args"]
    assert (data["form"], data["max_length"], data["max_target_length"]) == ("apart", 24, 24)
    made = task()
    assert made.tokenizer is not None
    assert made.target_tokenizer is None
    assert made.network.target_vocab_size == made.network.vocab_size == made.tokenizer.get_vocab_size()
    assert made.text_form == TextForm({"en-de": "to German: "})


def test_a_target_vocabulary_and_its_checkpoint(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--data.target_tokenizer", "own", "--data.target_tokenizer_vocab_size", "40") == 0
    made = task()
    assert made.tokenizer is not None
    assert made.target_tokenizer is not None
    assert made.network.vocab_size == made.tokenizer.get_vocab_size()
    assert made.network.target_vocab_size == made.target_tokenizer.get_vocab_size()
    words = ["--ckpt_path", "runs/a/last.ckpt", "--data", "ParallelCorpus", "--data.files", "pairs.tsv"]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main(["validate", *words, "--data.validation_fraction", "0.1"]) == 0
    assert "val_loss" in capsys.readouterr().out
    assert main(["validate", *words, "--data.validation_fraction", "0"]) == 2
    assert "ParallelCorpus has no text to validate on: set validation_files\n" in capsys.readouterr().err
    assert main(["test", *words, "--data.test_files", "pairs.tsv"]) == 0
    save_tokenizer(train_tokenizer(["die Zahl"], "byte"), "other")
    assert main(["test", *words, "--data.test_files", "pairs.tsv", "--data.target_tokenizer", "other"]) == 2
    assert "the tokenizer of targets" in capsys.readouterr().err


def test_dialogues_and_their_checkpoint(work: Path) -> None:
    data = {"class_path": "DialogueData", "init_args": {"files": "turns.txt", "tokenizer_vocab_size": 60, "history": 2}}
    assert fit_with(data, "--data.roles", "[<a>, <b>]", "--data.validation_fraction", "0.1") == 0
    assert task().text_form == TextForm(roles=("<a>", "<b>"), history=2)
    words = ["--ckpt_path", "runs/a/last.ckpt", "--data", "DialogueData", "--data.files", "turns.txt"]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main(["test", *words, "--data.test_files", "turns.txt"]) == 0


MIXTURE = {
    "class_path": "TaskMixture",
    "init_args": {
        "tasks": {
            "translate": {"files": "pairs.tsv", "prefix": "to German: "},
            "sum": {"files": "records.jsonl", "source_field": "dialogue", "target_field": "summary", "prefix": "sum: "},
        },
        "temperature": 2.0,
        "tokenizer_kind": "unigram",
        "tokenizer_vocab_size": 90,
        "max_tokens": 400,
    },
}


def test_a_mixture_of_tasks(work: Path) -> None:
    assert fit_with(MIXTURE) == 0
    assert task().text_form == TextForm({"translate": "to German: ", "sum": "sum: "})
    assert saved()["data"]["init_args"]["tasks"]["sum"]["target_field"] == "summary"


def test_spans_are_taken_from_blocks_that_leave_no_padding(work: Path) -> None:
    arguments = {"files": "text.txt", "tokenizer_kind": "t5", "tokenizer_vocab_size": 160, "batch_size": 2}
    data = {"class_path": "TextCorpus", "init_args": {**arguments, "validation_fraction": 0.1}}
    Path("text.txt").write_text("".join(f"line {i} of some text\n" for i in range(300)))
    network = {"class_path": "T5", "init_args": {"d_model": 16, "num_layers": 1, "num_heads": 2, "max_length": 24}}
    model = {"class_path": "SpanCorruptionLM", "init_args": {"network": network}}
    trainer = yaml.safe_load(CONFIG)["trainer"]
    Path("recipe.yaml").write_text(yaml.safe_dump({"model": model, "data": data, "trainer": trainer}))
    assert fit() == 0
    length = saved()["data"]["init_args"]["block_length"]
    objective: Any = task().objective
    assert length == objective.source_length(24) > 24


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data.files", "[a.txt, b.txt]"], "a.txt has 3 lines, but b.txt has 2: line by line"),
        (["--data.files", "[a.txt, c.txt]"], "c.txt:2: is empty, but a.txt:2 is not"),
        (["--data.files", "records.jsonl"], "records.jsonl:1: there is no field 'source'; expected one of"),
        (["--data.files", "records.jsonl", "--data.source_field", "dialog"], "field 'dialog'; did you mean 'dialogue'"),
        (["--data.too_long", "error", "--model.network.max_length", "9"], "tokens, more than max_length 9"),
        (["--data.too_long", "cut"], "'cut' is not one of 'truncate', 'drop', 'error'"),
        (["--data.tokenizer", "endless.json"], "the tokenizer has no token that ends a text"),
        (["--model.network.target_vocab_size", "9"], "model.network.target_vocab_size 9 was given, but it is taken"),
        (["--data.max_tokens", "9"], "max_tokens 9: a batch must hold one sample"),
    ],
)
def test_what_does_not_fit_is_one_line_and_leaves_nothing(
    work: Path, words: list[str], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE({"a": 0}, [])).save("endless.json")
    for name, text in (("a.txt", "a\nb\nc"), ("b.txt", "a\nb"), ("c.txt", "a\n\nc")):
        Path(name).write_text(text)
    try:
        status = fit(*words)
    except SystemExit as error:  # of the parser
        status = int(str(error.code))
    assert status == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("plmlight fit: ")
    assert message in lines[-1]
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tasks": {}}, "tasks: a mixture needs at least one task"),
        ({"tasks": {"a": {"files": "pairs.tsv", "rate": -1.0}}}, "tasks.a: rate -1 must be more than 0"),
    ],
)
def test_a_mixture_that_is_none_is_refused(
    work: Path, changes: dict[str, Any], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert fit_with({**MIXTURE, "init_args": {**MIXTURE["init_args"], **changes}}) == 2  # type: ignore[dict-item]
    assert message in capfd.readouterr().err.splitlines()[-1]


def test_a_form_that_does_not_fit_the_model_is_refused(work: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe = yaml.safe_load(CONFIG)
    network = {"class_path": "BERT", "init_args": {"d_model": 16, "num_layers": 1, "num_heads": 2, "max_length": 24}}
    recipe["model"] = {"class_path": "MaskedLM", "init_args": {"network": network}}
    Path("recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert fit("--data.form", "apart") == 2
    assert "data.form apart was given, but MaskedLM reads both sides joined" in capfd.readouterr().err
