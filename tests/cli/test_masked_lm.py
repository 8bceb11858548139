"""Masked language models from words to checkpoint: what is linked, what is refused."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from plmlight.cli import main
from plmlight.interop import read_checkpoint
from plmlight.objectives import (
    LinearRate,
    NextSentencePrediction,
    SpanMasking,
    TranslationLanguageModelling,
    WholeWordMasking,
)
from plmlight.tasks import MaskedLM, task_from_checkpoint

NETWORK = "{class_path: BERT, init_args: {d_model: 16, num_layers: 1, num_heads: 2, d_ff: 32, max_length: 16}}"
CONFIG = f"""
model:
  class_path: MaskedLM
  init_args:
    network: {NETWORK}
data:
  class_path: TextCorpus
  init_args: {{files: corpus.txt, tokenizer_kind: wordpiece, tokenizer_vocab_size: 80, batch_size: 4, \
validation_fraction: 0.1}}
trainer:
  accelerator: cpu
  max_steps: 2
  log_every_n_steps: 1
  limit_val_batches: 2
  enable_model_summary: false
  enable_progress_bar: false
"""

OWN = '''
from torch.utils.data import DataLoader
from plmlight.data import TextCorpus


class Paired(TextCorpus):
    """Blocks whose halves are pairs.

    Args:
        files: text.
        pairs: which pairs.
        max_length: of a sample.
    """

    def __init__(self, files: str, pairs: str = "none", max_length: int | None = None) -> None:
        super().__init__(files, tokenizer_kind="wordpiece", tokenizer_vocab_size=80, block_length=max_length)
        self.pairs = pairs

    def _paired(self, batches):
        made = [dict(batch) for batch in batches]
        if self.pairs != "none":
            made = [{**batch, "pair_labels": batch["sample_ids"] % 2} for batch in made]
        return DataLoader(made, batch_size=None)

    def train_dataloader(self):
        return self._paired(super().train_dataloader())

    def val_dataloader(self):
        return self._paired(super().val_dataloader())
'''


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus, a recipe and a user's own data."""
    lines = (f"line {i} has {i * 7 % 13} apples and {i * i % 17} pears.\n" for i in range(120))
    (tmp_path / "corpus.txt").write_text("".join(lines))
    (tmp_path / "recipe.yaml").write_text(CONFIG)
    (tmp_path / "own_data.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_data", None)
    return tmp_path


def fit(*words: str) -> int:
    return main(["fit", "--config", "recipe.yaml", "--trainer.default_root_dir", "runs/a", *words])


def task() -> MaskedLM:
    made = task_from_checkpoint("runs/a/last.ckpt")
    assert isinstance(made, MaskedLM)
    return made


def saved() -> Any:
    return yaml.safe_load(Path("runs/a/logs/version_0/config.yaml").read_text())


def test_a_masked_model_is_trained_on_blocks(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit() == 0
    assert 'python -m plmlight infer bundles/a --text "a text with one [MASK] in it"' in capsys.readouterr().out
    assert saved()["data"]["init_args"]["block_length"] == 16
    assert task().tokenizer is not None
    assert read_checkpoint("runs/a/last.ckpt")["hyper_parameters"]["objective"]["init_args"]["rate"] == 0.15
    words = ["--ckpt_path", "runs/a/last.ckpt", "--data", "TextCorpus", "--data.files", "corpus.txt"]
    words += ["--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false"]
    assert main(["validate", *words, "--data.validation_fraction", "0.1"]) == 0
    assert "val_perplexity" in capsys.readouterr().out
    assert main(["predict", *words, "--data.predict_files", "corpus.txt", "--output", "out.jsonl"]) == 0
    assert Path("out.jsonl").read_text().startswith('{"sample_ids": 0, "loss": ')


def test_objectives_are_named_on_the_command_line(work: Path) -> None:
    assert fit("--model.objective", "SpanMasking", "--model.objective.rate", "0.2", "--model.objective.p", "0.5") == 0
    objective = task().objective
    assert isinstance(objective, SpanMasking)
    assert (objective.rate, objective.p) == (0.2, 0.5)


def test_a_rate_may_be_a_schedule(work: Path) -> None:
    rate = {"class_path": "LinearRate", "init_args": {"start": 0.4, "end": 0.2}}
    objective = {"class_path": "WholeWordMasking", "init_args": {"rate": rate}}
    (work / "more.yaml").write_text(yaml.safe_dump({"model": {"init_args": {"objective": objective}}}))
    assert fit("--config", "more.yaml", "--model.objective.rate.init_args.end", "0.1") == 0
    made = task().objective
    assert isinstance(made, WholeWordMasking)
    assert isinstance(made.rate, LinearRate)
    assert (made.rate.start, made.rate.end) == (0.4, 0.1)


OWN_DATA = ("--data", "own_data.Paired", "--data.files", "corpus.txt")


def paired(work: Path, *words: str) -> int:
    recipe = yaml.safe_load(CONFIG)
    del recipe["data"]
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return fit(*OWN_DATA, *words)


def test_pairs_and_length_follow_from_the_model(work: Path) -> None:
    assert paired(work, "--model.pair_objective", "NextSentencePrediction", "--trainer.val_check_interval", "1") == 0
    data = saved()["data"]["init_args"]
    assert (data["pairs"], data["max_length"]) == ("next", 16)
    made = task()
    assert isinstance(made.pair_objective, NextSentencePrediction)
    assert made.pair_head is not None
    header = Path("runs/a/logs/version_0/metrics.csv").read_text().splitlines()[0].split(",")
    assert {"val_pair_accuracy", "val_pair_loss", "val_mlm_loss"} <= set(header)
    words = ["--ckpt_path", "runs/a/last.ckpt", *OWN_DATA, "--trainer.accelerator", "cpu"]
    assert main(["validate", *words, "--trainer.enable_progress_bar", "false"]) == 0


def test_without_a_pair_objective_no_pairs_are_drawn(work: Path) -> None:
    assert paired(work, "--data.max_length", "12") == 0
    data = saved()["data"]["init_args"]
    assert (data["pairs"], data["max_length"]) == ("none", 12)


DOCUMENTS = "".join(
    "".join(f"The {n} running foxes jumped over {(n + k) % 7} houses. " for k in range(2 + n % 4)) + "\n\n"
    for n in range(60)
)


@pytest.mark.parametrize(
    ("network", "objective", "pair_objective", "pairs"),
    [
        ("BERT", "WholeWordMasking", "NextSentencePrediction", "next"),
        ("ALBERT", "SpanMasking", "SentenceOrderPrediction", "order"),
    ],
)
def test_documents_give_the_pairs_that_are_learned(
    work: Path, network: str, objective: str, pair_objective: str, pairs: str
) -> None:
    (work / "documents.txt").write_text(DOCUMENTS)
    words = ["--model", "MaskedLM", "--model.network", network, "--model.network.max_length", "32"]
    words += ["--model.network.d_model", "16", "--model.network.num_layers", "1", "--model.network.num_heads", "2"]
    words += ["--model.objective", objective, "--model.pair_objective", pair_objective, "--data", "DocumentCorpus"]
    words += ["--data.files", "documents.txt", "--data.tokenizer_vocab_size", "80", "--data.validation_fraction", "0.2"]
    (work / "recipe.yaml").write_text(yaml.safe_dump({"trainer": yaml.safe_load(CONFIG)["trainer"]}))
    assert fit(*words, "--trainer.val_check_interval", "1") == 0
    data = saved()["data"]["init_args"]
    assert (data["pairs"], data["max_length"]) == (pairs, 32)
    assert type(task().objective).__name__ == objective
    with open("runs/a/logs/version_0/metrics.csv") as handle:
        rows = [row for row in csv.DictReader(handle) if row["val_pair_accuracy"]]
    assert len(rows) == 2
    for row in rows:
        assert float(row["val_loss"]) == pytest.approx(float(row["val_mlm_loss"]) + float(row["val_pair_loss"]))


def test_a_translation_is_learned_from_parallel_text(work: Path) -> None:
    for language, word in (("en", "apples"), ("de", "Äpfel")):
        (work / f"text.{language}").write_text("".join(f"{n} {word} {n * 3 % 7} .\n" for n in range(100)))
    words = ["--model", "MaskedLM", "--model.network", "XLM", "--model.network.num_token_types", "2"]
    words += ["--model.network.d_model", "16", "--model.network.num_layers", "1", "--model.network.num_heads", "2"]
    words += ["--model.network.max_length", "24", "--model.objective", "TranslationLanguageModelling"]
    words += ["--data", "plmlight.data.ParallelCorpus", "--data.files", "[text.en, text.de]"]
    words += ["--data.tokenizer_vocab_size", "80"]
    (work / "recipe.yaml").write_text(yaml.safe_dump({"trainer": yaml.safe_load(CONFIG)["trainer"]}))
    assert fit(*words) == 0
    assert saved()["data"]["init_args"]["max_length"] == 24
    assert isinstance(task().objective, TranslationLanguageModelling)


def line_of(capsys: pytest.CaptureFixture[str], run: Any) -> str:
    """The one line on stderr of a command that ends with status 2 and leaves nothing behind."""
    try:
        status = run()
    except SystemExit as left:
        status = left.code
    assert status == 2
    said = [text for text in capsys.readouterr().err.splitlines() if text.startswith("plmlight fit: ")]
    assert len(said) == 1
    assert not Path("runs").exists()
    return said[0]


def test_other_pairs_than_the_objectives_are_refused(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--data.pairs", "order", "--model.pair_objective", "NextSentencePrediction")
    expected = "data.pairs order was given, but NextSentencePrediction learns from pairs next: leave it out"
    assert expected in line_of(capsys, lambda: paired(work, *words))


WRONG = {
    "no mask": (["--data.tokenizer_kind", "byte-bpe", "--data.tokenizer_vocab_size", "300"], "named [MASK] or <mask>"),
    "objective": (
        ["--model.objective", "WholeWordMaskin"],
        "objective: there is no class 'WholeWordMaskin'; did you mean",
    ),
    "pair objective": (
        ["--model.pair_objective", "NextSentencePredicton"],
        "pair_objective: there is no class 'NextSentencePredicton'; did you mean 'NextSentencePrediction'?",
    ),
    "rate": (["--model.objective", "SpanMasking", "--model.objective.rate", "1.5"], "rate 1.5: expected more than 0"),
    "rate schedule": (
        ["--model.objective", "SpanMasking", "--model.objective.rate", "LinearRat"],
        "rate: there is no class 'LinearRat'; did you mean 'LinearRate'?",
    ),
    "objective's key": (
        ["--model.objective", "SpanMasking", "--model.objective.max_spa", "3"],
        "did you mean 'max_span'?",
    ),
    "objective of another task": (
        ["--model.objective", "CausalLanguageModelling"],
        "objective: 'CausalLanguageModelling' does not fit here; did you mean 'MaskedLanguageModelling'?",
    ),
    "network of another role": (
        ["--model.network", "GPT"],
        "network: 'GPT' does not fit here; expected one of 'ALBERT'",
    ),
    "path of another role": (
        ["--model.network", "plmlight.GPT"],
        "network: 'plmlight.GPT' does not fit here: it is no Encoder",
    ),
}


def test_no_block_is_offered_as_a_network(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = line_of(capsys, lambda: fit("--model.network", "Quux"))
    assert said.count("'ALBERT'") == 1
    assert "PostNormEncoder" not in said


@pytest.mark.parametrize(("words", "line"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line_and_status_2(
    work: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert line in line_of(capsys, lambda: fit(*words))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--model.pair_objective", "NextSentencePrediction"], "NextSentencePrediction needs pair_labels"),
        (["--model.objective", "TranslationLanguageModelling"], "the batch has no token_type_ids and no position_ids"),
    ],
)
def test_data_that_does_not_fit_the_objective_is_one_line(
    work: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    assert fit(*words) == 2
    assert line in capsys.readouterr().err


def test_masks_do_not_depend_on_the_number_of_workers(work: Path) -> None:
    assert fit() == 0
    alone = read_checkpoint("runs/a/last.ckpt")["state_dict"]
    assert fit("--data.num_workers", "2") == 0
    for name, value in read_checkpoint("runs/a/last.ckpt")["state_dict"].items():
        assert torch.equal(alone[name], value)
