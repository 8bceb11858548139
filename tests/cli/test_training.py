"""The four commands from their words to their files."""

from __future__ import annotations

import csv
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from plmlight.cli import main
from plmlight.cli.training_parser import classes_first
from plmlight.tasks import CausalLM, task_from_checkpoint

ROOT = Path(__file__).parents[2]

CONFIG = """
model:
  class_path: CausalLM
  init_args:
    network:
      class_path: GPT
      init_args: {d_model: 16, num_layers: 2, num_heads: 2, max_length: 16, dropout: 0.1}
    optimizer: {class_path: AdamW, init_args: {lr: 0.01}}
data:
  class_path: TextCorpus
  init_args: {files: corpus.txt, tokenizer_kind: character, document: line, batch_size: 4, validation_fraction: 0.1}
trainer:
  accelerator: cpu
  max_steps: 12
  log_every_n_steps: 1
  val_check_interval: 6
  check_val_every_n_epoch: null
  enable_model_summary: false
  enable_progress_bar: false
"""

OWN = '''
import os, signal
import lightning.pytorch as pl
import torch
from torch import nn
from torch.utils.data import DataLoader
from plmlight.nn import Decoder


class Signals(pl.Callback):
    """Sends this process a signal after a step."""

    def __init__(self, name: str, step: int) -> None:
        self.name, self.step = name, step

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == self.step:
            os.kill(os.getpid(), getattr(signal, self.name))


class Worse(pl.Callback):
    """What gets larger with every step."""

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("worse", float(trainer.global_step))


class Bigram(Decoder):
    """Sees one token back.

    Args:
        vocab_size: V.
        d_model: D.
    """

    def __init__(self, vocab_size: int, d_model: int = 8, max_length: int = 16, pad_token_id: int = 0) -> None:
        super().__init__(vocab_size, d_model, max_length, pad_token_id)
        self.table = nn.Embedding(vocab_size, d_model)

    @property
    def token_embedding(self):
        return self.table

    def forward(self, input_ids, attention_mask=None, cache=None, memory=None, memory_mask=None):
        return self.table(input_ids), cache

    def empty_cache(self, batch_size, dtype=None, device="cpu"):
        return ()

    def cache_names(self):
        return []


class Rows(pl.LightningDataModule):
    """Data without arguments, and without text."""

    vocab_size, pad_token_id = 23, 0

    def train_dataloader(self):
        return DataLoader([{"input_ids": torch.arange(1, 9)}] * 8, batch_size=2)
'''


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a corpus, a recipe and a user's own file."""
    lines = (f"line {i} has {i * 7 % 13} apples and {i * i % 17} pears\n" for i in range(120))
    (tmp_path / "corpus.txt").write_text("".join(lines))
    (tmp_path / "recipe.yaml").write_text(CONFIG)
    (tmp_path / "own_parts.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("own_parts", None)
    return tmp_path


def fit(*words: str, root: str = "runs/a") -> int:
    return main(["fit", "--config", "recipe.yaml", "--trainer.default_root_dir", root, *words])


def apart(*words: str, root: str = "runs/a") -> subprocess.CompletedProcess[str]:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "plmlight", "fit", "--config", "recipe.yaml", "--trainer.default_root_dir", root]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run([*command, *words], capture_output=True, text=True, env=environment, timeout=300)


def losses(root: str, version: int = 0) -> dict[int, str]:
    with open(f"{root}/logs/version_{version}/metrics.csv") as handle:
        return {int(row["step"]): row["train_loss"] for row in csv.DictReader(handle) if row["train_loss"]}


def checkpoint(path: str) -> dict[str, Any]:
    loaded: dict[str, Any] = torch.load(path, weights_only=True)
    return loaded


def assert_same(one: Any, other: Any, place: str = "") -> None:
    assert type(one) is type(other), place
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other), place
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), place
        for key in one:
            assert_same(one[key], other[key], f"{place}/{key}")
    elif isinstance(one, list | tuple):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            assert_same(a, b, f"{place}/{i}")
    else:
        assert one == other, place


def test_fit_leaves_a_checkpoint_that_builds_its_task_without_the_data(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit() == 0
    said = capsys.readouterr().out
    assert "python -m plmlight export --checkpoint runs/a/last.ckpt --output bundles/a" in said
    assert "python -m plmlight infer bundles/a" in said
    (work / "corpus.txt").unlink()
    task = task_from_checkpoint("runs/a/last.ckpt")
    assert isinstance(task, CausalLM)
    assert task.tokenizer is not None
    assert task.network.vocab_size == task.tokenizer.get_vocab_size()
    assert not task.training
    assert Path("runs/a/best.ckpt").exists()
    with open("runs/a/logs/version_0/metrics.csv") as handle:
        columns = next(csv.reader(handle))
    assert {"train_loss", "val_loss", "val_perplexity", "val_bits_per_byte", "lr", "tokens_per_second", "mfu"} <= set(
        columns
    )


def test_fit_says_where_a_checkpoint_is_that_validation_liked_more(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    worse = (
        "--trainer.callbacks+=own_parts.Worse",
        "--trainer.callbacks+=Checkpoints",
        "--trainer.callbacks.monitor=worse",
    )
    assert fit(*worse, "--trainer.val_check_interval", "2", "--trainer.max_steps", "4") == 0
    told = "The checkpoint is runs/a/last.ckpt; runs/a/best.ckpt has a worse of 2 instead of 4. Next:"
    assert told in capsys.readouterr().out
    assert (checkpoint("runs/a/best.ckpt")["global_step"], checkpoint("runs/a/last.ckpt")["global_step"]) == (2, 4)


@pytest.mark.parametrize("which", ["runs/a/last.ckpt", "last"])
def test_a_run_that_ended_within_an_epoch_goes_on_with_the_rest_of_it(work: Path, which: str) -> None:
    epochs = ["--trainer.max_steps", "-1", "--trainer.max_epochs", "1", "--trainer.val_check_interval", "1.0"]
    epochs += ["--trainer.check_val_every_n_epoch", "1", "--model.schedule", "Constant"]
    assert fit(*epochs, root="runs/straight") == 0
    steps = checkpoint("runs/straight/last.ckpt")["global_step"]
    assert steps > 5
    assert fit(*epochs, "--trainer.max_steps", "5") == 0
    assert checkpoint("runs/a/last.ckpt")["global_step"] == 5
    assert fit(*epochs, "--ckpt_path", which) == 0
    one, other = checkpoint("runs/straight/last.ckpt"), checkpoint("runs/a/last.ckpt")
    assert other["global_step"] == steps
    for part in ("state_dict", "optimizer_states", "train_sums"):
        assert_same(one[part], other[part], part)


def test_a_validation_within_an_accumulation_leaves_what_a_run_goes_on_from_exactly(work: Path) -> None:
    words = (
        "--trainer.accumulate_grad_batches",
        "4",
        "--trainer.val_check_interval",
        "6",
        "--model.schedule",
        "Constant",
    )
    assert fit(*words, "--trainer.max_steps", "6", root="runs/straight") == 0
    keep = ("--trainer.callbacks+=own_parts.Signals", "--trainer.callbacks.name=SIGKILL", "--trainer.callbacks.step=3")
    killed = apart(*words, "--trainer.max_steps", "6", *keep, root="runs/killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint("runs/killed/last.ckpt")["global_step"] == 2
    assert fit(*words, "--trainer.max_steps", "6", "--ckpt_path", "runs/killed/last.ckpt", root="runs/killed") == 0
    one, other = checkpoint("runs/straight/last.ckpt"), checkpoint("runs/killed/last.ckpt")
    for part in ("state_dict", "optimizer_states"):
        assert_same(one[part], other[part], part)


def test_a_run_whose_folder_is_named_otherwise_keeps_its_best_checkpoint(work: Path) -> None:
    worse = ["--trainer.callbacks+=own_parts.Worse", "--trainer.callbacks+=Checkpoints"]
    worse += ["--trainer.callbacks.monitor=worse", "--trainer.val_check_interval", "2"]
    assert fit(*worse, "--trainer.max_steps", "4") == 0
    assert fit(*worse, "--trainer.max_steps", "6", "--ckpt_path", "last", root=str(work / "runs/a")) == 0
    assert (checkpoint("runs/a/best.ckpt")["global_step"], checkpoint("runs/a/last.ckpt")["global_step"]) == (2, 6)


def test_what_is_monitored_must_be_measured(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--trainer.callbacks+=Checkpoints", "--trainer.callbacks.monitor=val_los") == 2
    assert "monitor 'val_los' was not logged; did you mean 'val_loss'?" in capsys.readouterr().err


def test_block_length_follows_from_network_and_objective(work: Path) -> None:
    assert fit("--trainer.max_steps", "1") == 0
    saved = yaml.safe_load(Path("runs/a/logs/version_0/config.yaml").read_text())
    assert saved["data"]["init_args"]["block_length"] == 17
    assert saved["model"]["class_path"] == "plmlight.CausalLM"
    assert saved["model"]["init_args"]["network"]["class_path"] == "plmlight.GPT"
    assert "vocab_size" not in saved["model"]["init_args"]["network"]["init_args"]


def test_several_configs_are_merged_deeply(work: Path) -> None:
    (work / "more.yaml").write_text("model: {init_args: {network: {init_args: {num_layers: 1}}}}\n")
    assert fit("--config", "more.yaml", "--trainer.max_steps", "1") == 0
    network = checkpoint("runs/a/last.ckpt")["hyper_parameters"]["network"]["init_args"]
    assert (network["num_layers"], network["d_model"]) == (1, 16)


def test_another_optimizer_brings_its_own_defaults(work: Path) -> None:
    recipe = yaml.safe_load(CONFIG)
    del recipe["model"]["init_args"]["optimizer"]
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    assert fit("--model.optimizer", "Muon", "--trainer.max_steps", "1") == 0
    assert checkpoint("runs/a/last.ckpt")["hyper_parameters"]["optimizer"]["init_args"]["lr"] == 3e-3


def test_null_reaches_an_argument_two_classes_deep(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--model", "TextClassification", "--model.problem", "SingleLabel"]
    words += ["--model.problem.class_weights", "balanced", "--model.problem.class_weights", "null"]
    with pytest.raises(SystemExit, match="0"):
        main(["fit", *words, "--print_config"])
    assert (
        yaml.safe_load(capsys.readouterr().out)["model"]["init_args"]["problem"]["init_args"]["class_weights"] is None
    )


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_killed_run_goes_on_bit_for_bit(work: Path, workers: str) -> None:
    saves = ("--trainer.callbacks+=Checkpoints", "--trainer.callbacks.every_n_steps=5", "--data.num_workers", workers)
    assert fit(*saves, root="runs/straight") == 0
    kill = ("--trainer.callbacks+=own_parts.Signals", "--trainer.callbacks.name=SIGKILL", "--trainer.callbacks.step=8")
    killed = apart(*saves, *kill, root="runs/killed")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert checkpoint("runs/killed/last.ckpt")["global_step"] == 5
    assert fit(*saves, "--ckpt_path", "runs/killed/last.ckpt", root="runs/killed") == 0
    one, other = checkpoint("runs/straight/last.ckpt"), checkpoint("runs/killed/last.ckpt")
    assert one["global_step"] == other["global_step"] == 12
    for part in ("state_dict", "optimizer_states", "lr_schedulers", "train_sums"):
        assert_same(one[part], other[part], part)
    expected = losses("runs/straight")
    assert losses("runs/killed", version=1) == {step: expected[step] for step in range(5, 12)}


@pytest.mark.slow
def test_ctrl_c_leaves_a_checkpoint_and_says_how_to_go_on(work: Path) -> None:
    stop = ("--trainer.callbacks+=own_parts.Signals", "--trainer.callbacks.name=SIGINT", "--trainer.callbacks.step=7")
    stopped = apart(*stop)
    assert stopped.returncode == 130, stopped.stderr
    assert "--ckpt_path runs/a/last.ckpt" in stopped.stderr
    assert checkpoint("runs/a/last.ckpt")["global_step"] == 7
    assert fit("--ckpt_path", "runs/a/last.ckpt") == 0


@pytest.mark.slow
def test_the_command_to_go_on_with_runs_as_it_is_printed(work: Path) -> None:
    (work / "corpus.txt").rename("my corpus.txt")
    stop = ["--trainer.callbacks+=own_parts.Signals", "--trainer.callbacks.name=SIGINT", "--trainer.callbacks.step=7"]
    stopped = apart(*stop, "--data.files", "my corpus.txt", "--seeds", "3,4")
    assert stopped.returncode == 130, stopped.stderr
    words = shlex.split(stopped.stderr.partition("python -m plmlight ")[2])
    assert main(words) == 0
    assert checkpoint("runs/a/seed-3/last.ckpt")["global_step"] == 12


@pytest.mark.slow
def test_ctrl_c_stops_all_ranks_at_the_same_step(work: Path) -> None:
    """A terminal sends it to each process of the foreground group."""
    stop = ("--trainer.callbacks+=own_parts.Signals", "--trainer.callbacks.name=SIGINT", "--trainer.callbacks.step=7")
    ranks = ("--trainer.devices", "2", "--trainer.strategy", "ddp", "--trainer.log_every_n_steps", "5")
    stopped = apart(*stop, *ranks)
    assert stopped.returncode == 130, stopped.stderr
    assert stopped.stderr.count("--ckpt_path runs/a/last.ckpt") == 1
    assert checkpoint("runs/a/last.ckpt")["global_step"] == 10
    assert fit("--ckpt_path", "runs/a/last.ckpt") == 0


def test_a_users_own_network_by_class_path(work: Path) -> None:
    (work / "recipe.yaml").write_text(
        CONFIG.replace("GPT", "own_parts.Bigram").replace(
            "{d_model: 16, num_layers: 2, num_heads: 2, max_length: 16, dropout: 0.1}", "{d_model: 16}"
        )
    )
    assert fit("--trainer.max_steps", "2") == 0
    task = task_from_checkpoint("runs/a/last.ckpt")
    assert type(task.network).__name__ == "Bigram"


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers", "ignore:You defined a")
def test_a_users_own_data_needs_no_arguments(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = yaml.safe_load(CONFIG)
    recipe["data"] = {"class_path": "own_parts.Rows"}
    recipe["trainer"] |= {"max_steps": 2, "val_check_interval": None}
    (work / "own.yaml").write_text(yaml.safe_dump(recipe))
    assert main(["fit", "--config", "own.yaml", "--trainer.default_root_dir", "runs/own"]) == 0
    assert "The checkpoint is runs/own/last.ckpt" in capsys.readouterr().out


@pytest.mark.parametrize("bar", ["true", "false"])
def test_the_summary_of_a_model_is_shown_without_its_markup(
    bar: str, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = ("--trainer.enable_model_summary", "true", "--trainer.enable_progress_bar", bar)
    assert fit("--trainer.max_steps", "1", *shown) == 0
    said = capsys.readouterr().out
    assert "Total params: " in said
    assert "[bold]" not in said


def test_help_of_a_users_own_network(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["fit", "--model", "CausalLM", "--model.network.help", "own_parts.Bigram"])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert "Sees one token back" in said
    assert "d_model" in said


def test_validate_test_and_predict_need_only_a_checkpoint_and_text(
    work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert fit() == 0
    data = (
        "--data",
        "TextCorpus",
        "--data.files",
        "corpus.txt",
        "--data.document",
        "line",
        "--data.validation_fraction",
        "0.1",
    )
    quiet = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")
    path = ("--ckpt_path", "runs/a/last.ckpt")
    assert main(["validate", *path, *data, *quiet]) == 0
    assert "val_bits_per_byte" in capsys.readouterr().out
    assert main(["test", *path, *data, *quiet, "--data.test_files", "corpus.txt"]) == 0
    assert "test_loss" in capsys.readouterr().out
    assert main(["predict", *path, *data, *quiet, "--data.predict_files", "corpus.txt", "--output", "out.jsonl"]) == 0
    rows = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert rows
    assert rows[0].keys() == {"sample_ids", "loss", "tokens"}


@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_a_checkpoint_and_its_recipe_need_no_callbacks_of_training(
    command: str, work: Path, recwarn: pytest.WarningsRecorder
) -> None:
    assert fit() == 0
    files = ["--data.test_files", "corpus.txt", "--data.predict_files", "corpus.txt"]
    root = ["--trainer.default_root_dir", "runs/a"]
    assert main([command, "--config", "recipe.yaml", "--ckpt_path", "last", *root, *files]) == 0
    assert not [each for each in recwarn if "callbacks" in str(each.message)]


def test_the_configuration_that_a_run_saves_is_one_for_other_commands(work: Path) -> None:
    assert fit() == 0
    saved = ["--config", "runs/a/logs/version_0/config.yaml", "--ckpt_path", "last"]
    assert main(["validate", *saved]) == 0
    assert main(["fit", *saved]) == 0


WRONG = {
    "unknown option": (
        ["--trainer.max_step", "3"],
        "unknown option --trainer.max_step; did you mean '--trainer.max_steps'?",
    ),
    "unknown key": (["--model.network.d_modl", "3"], "unknown key 'd_modl'; did you mean 'd_model'?"),
    "unknown network": (["--model.network", "GTP"], "network: there is no class 'GTP'; did you mean 'GPT'?"),
    "unknown task": (["--model", "CasualLM"], "model: there is no class 'CasualLM'; did you mean 'CausalLM'?"),
    "unknown optimizer": (["--model.optimizer", "Adam"], "optimizer: there is no class 'Adam'; did you mean 'AdamW'?"),
    "unknown module": (
        ["--model.network", "nowhere.Net"],
        "there is no class 'nowhere.Net': No module named 'nowhere'",
    ),
    "linked key": (["--model.network.vocab_size", "9"], "model.network.vocab_size 9 was given, but it is taken from"),
    "wrong type": (["--model.network.d_model", "wide"], "d_model: expected int, got wide"),
    "constructor": (["--model.network.num_heads", "3"], "d_model 16 is not a multiple of num_heads 3"),
    "no such config": (["--config", "nope.yaml"], "nope.yaml"),
    "no such text": (["--data.files", "nope.txt"], "nope.txt: no such file or folder"),
    "no last checkpoint": (["--ckpt_path", "last"], "ckpt_path 'last': there is no runs/a/last.ckpt"),
    "no such checkpoint": (["--ckpt_path", "nope.ckpt"], "nope.ckpt: No such file or directory"),
    "foreign checkpoint": (["--ckpt_path", "corpus.txt"], "corpus.txt: not a checkpoint"),
    "no such device": (["--trainer.accelerator", "cuda"], "CUDA"),
}


@pytest.mark.parametrize(("words", "line"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line_and_status_2(
    work: Path, capsys: pytest.CaptureFixture[str], words: list[str], line: str
) -> None:
    try:
        status = fit(*words)
    except SystemExit as left:
        status = left.code  # type: ignore[assignment]
    assert status == 2
    said = [text for text in capsys.readouterr().err.splitlines() if text.startswith("plmlight fit: ")]
    assert len(said) == 1
    assert line in said[0]
    assert not Path("runs").exists()


def test_a_class_may_stand_after_what_is_said_of_it(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model, network, data = ["--model", "CausalLM"], ["--model.network", "GPT"], ["--data=TextCorpus"]
    sizes, files = ["--model.seed=3", "--model.network.d_model", "32"], ["--data.files", "corpus.txt"]
    printed = []
    for words in ([*model, *network, *sizes, *data, *files], [*sizes, *network, *files, *model, *data]):
        with pytest.raises(SystemExit) as left:
            main(["fit", *words, "--print_config"])
        assert left.value.code == 0
        printed.append(yaml.safe_load(capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert printed[0]["model"]["init_args"]["network"]["init_args"]["d_model"] == 32


def test_a_class_does_not_move_to_before_a_configuration() -> None:
    words = ["--config=a.yaml", "--model.seed", "1", "--config=b.yaml", "--model", "CausalLM"]
    assert classes_first(words) == words


@pytest.mark.parametrize("config", [["--config", "a.yaml"], ["-c=a.yaml"], ["--config=a.yaml", "--data", "TextCorpus"]])
def test_what_stands_before_its_configuration_is_refused(
    config: list[str], work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fit", "--data.files", "corpus.txt", *config]) == 2
    said = "plmlight fit: --data.files stands before the configuration that it changes: give --config FILE first"
    assert capsys.readouterr().err.splitlines() == [said]


@pytest.mark.parametrize("word", ["--data.files=3", "--model.max_length=3"])
def test_what_is_said_of_no_class_is_refused(word: str, work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", word]) == 2
    option = word.partition("=")[0]
    said = f"plmlight fit: {option} says something of a class that is not named: give {option.split('.')[0]} CLASS too"
    assert capsys.readouterr().err.splitlines() == [said]


def test_a_checkpoint_of_another_size_is_named(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fit("--trainer.max_steps", "1") == 0
    assert fit("--model.network.d_model", "32", "--ckpt_path", "runs/a/last.ckpt") == 2
    assert "does not fit this configuration: head.weight is" in capsys.readouterr().err


def test_validate_without_checkpoint_or_model(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--data", "TextCorpus", "--data.files", "corpus.txt"]) == 2
    assert "validate needs --ckpt_path" in capsys.readouterr().err


PRETRAINED = ("--model.network", "plmlight.GPT.from_pretrained", "--model.network.folder")


@pytest.fixture
def pretrained(work: Path) -> str:
    """A Hugging Face folder with a tokenizer, and a recipe that says nothing about the network."""
    assert fit("--trainer.max_steps", "2") == 0
    task = task_from_checkpoint("runs/a/last.ckpt")
    assert isinstance(task, CausalLM)
    task.save_pretrained("folder")
    recipe = yaml.safe_load(CONFIG)
    recipe["model"]["init_args"]["network"] = {"class_path": PRETRAINED[1], "init_args": {"folder": "folder"}}
    (work / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    return "folder"


@pytest.mark.parametrize("source", ["folder", "runs/a/last.ckpt"])
def test_fit_starts_from_pretrained_weights(work: Path, pretrained: str, source: str) -> None:
    words = ("--model.network.folder", source, "--data.tokenizer", pretrained, "--trainer.max_steps", "1")
    assert fit(*words, "--model.optimizer.lr", "0", root="runs/b") == 0
    network = checkpoint("runs/b/last.ckpt")["hyper_parameters"]["network"]
    assert network["class_path"] == "plmlight.GPT"
    assert (network["init_args"]["d_model"], network["init_args"]["max_length"]) == (16, 16)
    before, after = checkpoint("runs/a/last.ckpt")["state_dict"], checkpoint("runs/b/last.ckpt")["state_dict"]
    for name in before:
        assert torch.equal(before[name], after[name])


def test_another_tokenizer_than_the_pretrained_ones_is_refused(
    work: Path, pretrained: str, capsys: pytest.CaptureFixture[str]
) -> None:
    other = ("--data.tokenizer_kind", "byte-bpe", "--data.tokenizer_vocab_size", "300")
    assert fit(*other) == 2
    assert "tokens, but the network's vocab_size is" in capsys.readouterr().err
    (work / "corpus.txt").write_text("abc def\n" * 100)
    assert fit() == 2
    assert "the data's tokenizer is not that of folder" in capsys.readouterr().err


def test_data_takes_the_tokenizer_of_the_folder_that_a_network_comes_from(work: Path, pretrained: str) -> None:
    (work / "corpus.txt").write_text("abc def\n" * 100)  # of which another one would be trained
    assert fit("--data.tokenizer_kind", "byte-bpe") == 0, "no other tokenizer than the usual one was asked for"
