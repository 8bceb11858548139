"""Two or more ways to train the same, taking turns, each turn in a process of its own."""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
from torch import Tensor
from transformers import TrainerCallback, TrainingArguments

from plmlight.cli.training import main as plmlight_command


class Clock(pl.Callback):
    """Notes when each step of `fit` ends and how many real tokens or rows it had, and writes it down at the end.

    Args:
        file: where to.
        count: what counts: ``input_ids`` that are no padding, ``labels``, or ``rows``.
    """

    def __init__(self, file: str, count: str = "input_ids") -> None:
        self.file, self.count = Path(file), count
        self.noted: list[tuple[float, int]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: dict[str, Tensor], index: int) -> None:
        mask = batch.get("attention_mask")
        if self.count == "rows":
            tokens = len(batch["input_ids"])
        elif self.count == "labels":
            tokens = int((batch["labels"] >= 0).sum())
        else:
            tokens = batch["input_ids"].numel() if mask is None else int((mask != 0).sum())
        self.noted.append((time.perf_counter(), tokens))

    def on_train_end(self, *_: object) -> None:
        self.file.write_text(json.dumps(self.noted))


class TheirClock(TrainerCallback):  # type: ignore[misc]
    """Notes when each step of the Trainer ends."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def fit(config: dict[str, Any], folder: Path, count: str = "input_ids") -> list[tuple[float, int]]:
    """Runs the command `fit` and gives the end and the real tokens (see `Clock`) of each step."""
    noted = folder / "noted.json"
    trainer = {
        "accelerator": "cpu",
        "gradient_clip_val": 1.0,
        "default_root_dir": str(folder),
        "callbacks": [{"class_path": "sides.Clock", "init_args": {"file": str(noted), "count": count}}],
    }
    (folder / "config.yaml").write_text(json.dumps({**config, "trainer": trainer | config["trainer"]}))
    if status := plmlight_command("fit", ["--config", str(folder / "config.yaml")]):
        raise SystemExit(status)
    return [(moment, tokens) for moment, tokens in json.loads(noted.read_text())]


def trainer_settings(folder: Path, **settings: Any) -> TrainingArguments:
    """The Trainer with fused AdamW and clipping, on the CPU, saving and reporting nothing."""
    return TrainingArguments(
        output_dir=str(folder),
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_steps=50,
        **settings,
    )


def rate(noted: list[tuple[float, int]], skipped: int) -> float:
    """Tokens/s after the first steps."""
    return sum(tokens for _, tokens in noted[skipped:]) / (noted[-1][0] - noted[skipped - 1][0])


def take_turns(
    script: str, sides: list[str], words: list[str], threads: int, rounds: int, unit: str = "tokens/s"
) -> None:
    """Runs ``script --side SIDE WORDS``, whose last word is a number of units; prints what each said, and ratios.

    A ratio of plmlight is the median over the rounds of the ratio within a round.
    """
    rates: dict[str, list[float]] = {side: [] for side in sides}
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    for _ in range(rounds):
        for side, turns in rates.items():
            command = [sys.executable, Path(script).name, "--side", side, "--threads", str(threads), *words]
            done = subprocess.run(command, cwd=Path(script).parent, env=environment, capture_output=True, text=True)
            if done.returncode != 0:
                raise SystemExit(f"{side} failed:\n{done.stderr}")
            print(f"{side}: {done.stdout.splitlines()[-1]}", flush=True)
            turns.append(float(done.stdout.split()[-1]))
    for side, turns in rates.items():
        ratios = [mine / theirs for mine, theirs in zip(rates["plmlight"], turns, strict=True)]
        print(
            f"{side}: {statistics.median(turns):.0f} {unit}, plmlight is {statistics.median(ratios):.3f} of it "
            f"({min(ratios):.3f} to {max(ratios):.3f})"
        )
