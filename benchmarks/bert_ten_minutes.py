"""The masked-language-model loss that a BERT reaches in ten minutes on one core, here and with `transformers`.

    python benchmarks/bert_ten_minutes.py --text gcide.txt --tokenizer tokenizer.json --work runs/ten [--minutes 10]

Text: GCIDE, a dictionary of 40 MB, from Debian's package dict-gcide:

    apt-get download dict-gcide && dpkg-deb -x dict-gcide*.deb x
    zcat < x/usr/share/dictd/gcide.dict.dz | iconv -c -f utf-8 -t utf-8 > gcide.txt

Both sides train the same network (4 layers x 256, 4 heads, no dropout; bert-base-uncased's vocabulary, say) on the same
blocks of 128 tokens, 16 in a batch, with one thread. Each side first measures its steps a second and ends its schedule
after as many as fit into the time. plmlight is `fit` with configs/pretrain/bert-small-english.yaml; transformers is
BertForMaskedLM with its Trainer, fused AdamW, linear warm-up and decay, at the best of three learning rates in trials
of a tenth of the time. The loss is that of the same hidden tokens of the same held-out blocks, for both sides measured
by plmlight. Neither loading nor writing the marks of the curve counts as time.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
from sides import trainer_settings
from torch.utils.data import Dataset
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
)

import plmlight
from plmlight.cli.training import main as plmlight_command
from plmlight.data import TextCorpus
from plmlight.objectives import KeyedRandom

RECIPE = Path(__file__).parent.parent / "configs" / "pretrain" / "bert-small-english.yaml"
LENGTH, ROWS, MARKS = 128, 16, 10
LAYERS, WIDTH, HEADS = 4, 256, 4
RATES = (3e-4, 1e-3, 2e-3)
"""Learning rates that transformers chooses from."""


class Marks:
    """Counts training time, writes the model now and then, and says when the time is over.

    Args:
        folder: gets the models and marks.json.
        seconds: of training.
        first: steps that are left out, as the first ones are slow.
    """

    def __init__(self, folder: Path, seconds: float, first: int = 5) -> None:
        self.folder, self.seconds, self.first = folder, seconds, first
        self.steps, self.used, self.since = 0, 0.0, 0.0
        self.written: list[tuple[float, int, str]] = []

    def step(self, save: Any) -> bool:
        """Counts a step that has just ended; true when the time is over."""
        now = time.perf_counter()
        self.steps += 1
        if self.steps > self.first:
            self.used += now - self.since
        over = self.used >= self.seconds
        if over or self.used >= (len(self.written) + 1) * self.seconds / MARKS:
            self.mark(save)
        self.since = time.perf_counter()
        return over

    def mark(self, save: Any) -> None:
        """Writes the model."""
        path = self.folder / f"mark-{len(self.written)}"
        save(path)
        self.written.append((self.used, self.steps, path.name))
        (self.folder / "marks.json").write_text(json.dumps(self.written))


class Ours(pl.Callback):
    """Marks of a `fit`."""

    def __init__(self, folder: str, seconds: float) -> None:
        self.marks = Marks(Path(folder), seconds)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.marks.step(trainer.save_checkpoint):
            trainer.should_stop = True

    def on_train_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if self.marks.written[-1:] == [] or self.marks.written[-1][1] < self.marks.steps:
            self.marks.mark(trainer.save_checkpoint)


class Theirs(TrainerCallback):  # type: ignore[misc]
    """Marks of a Trainer."""

    def __init__(self, model: BertForMaskedLM, folder: Path, seconds: float) -> None:
        self.model, self.marks = model, Marks(folder, seconds)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        control.should_training_stop |= self.marks.step(self.model.save_pretrained)

    def on_train_end(self, *_: Any, **__: Any) -> None:
        if self.marks.written[-1:] == [] or self.marks.written[-1][1] < self.marks.steps:
            self.marks.mark(self.model.save_pretrained)


class Rows(Dataset[dict[str, Any]]):
    """The corpus's blocks for the Trainer."""

    def __init__(self, corpus: TextCorpus) -> None:
        self.blocks = corpus.blocks("fit")

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input_ids": self.blocks.batch(np.array([index]), 0)["input_ids"][0].tolist()}


def corpus_arguments(arguments: argparse.Namespace) -> dict[str, Any]:
    return {
        "files": [str(arguments.text.resolve())],
        "tokenizer": str(arguments.tokenizer.resolve()),
        "validation_fraction": 0.01,
        "validation_split": "tail",
        "end_of_document": False,
        "block_length": LENGTH,
        "overlap": 0,
        "batch_size": ROWS,
        "cache_folder": str((arguments.work / "cache").resolve()),
    }


def ours(arguments: argparse.Namespace, seconds: float, steps: int, folder: Path, rate: float) -> None:
    trainer = {
        "accelerator": "cpu",
        "max_steps": steps,
        "limit_val_batches": 0,
        "enable_checkpointing": False,
        "default_root_dir": str(folder.resolve()),
        "callbacks": [
            {"class_path": "bert_ten_minutes.Ours", "init_args": {"folder": str(folder.resolve()), "seconds": seconds}}
        ],
    }
    config = {"data": {"class_path": "TextCorpus", "init_args": corpus_arguments(arguments)}, "trainer": trainer}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.yaml").write_text(json.dumps(config))
    if status := plmlight_command("fit", ["--config", str(RECIPE), "--config", str(folder / "config.yaml")]):
        raise SystemExit(status)


def theirs(arguments: argparse.Namespace, seconds: float, steps: int, folder: Path, rate: float) -> None:
    config = BertConfig(
        vocab_size=plmlight.text.vocabulary_size(plmlight.text.load_tokenizer(arguments.tokenizer)),
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    model = BertForMaskedLM(config)
    folder.mkdir(parents=True, exist_ok=True)
    settings = trainer_settings(
        folder,
        max_steps=steps,
        per_device_train_batch_size=ROWS,
        learning_rate=rate,
        warmup_steps=max(1, steps // 20),
        weight_decay=0.01,
    )
    tokenizer = BertTokenizerFast(tokenizer_file=str(arguments.tokenizer))
    Trainer(
        model=model,
        args=settings,
        train_dataset=Rows(TextCorpus(**corpus_arguments(arguments))),
        data_collator=DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15),
        callbacks=[Theirs(model, folder, seconds)],
    ).train()


@torch.no_grad()
def loss(model: Path, arguments: argparse.Namespace, batches: int = 40) -> float:
    """The mean loss of fixed hidden tokens of held-out blocks."""
    task = plmlight.load(model)
    assert isinstance(task, plmlight.MaskedLM)
    corpus = TextCorpus(**corpus_arguments(arguments))
    task.tokenizer = corpus.tokenizer
    blocks = corpus.blocks("validate")
    total, count = 0.0, 0.0
    for first in range(0, min(batches * ROWS, len(blocks) - 1), ROWS):
        ids = np.arange(first, min(first + ROWS, len(blocks) - 1))
        batch = {"input_ids": blocks.batch(ids, 0)["input_ids"]}
        batch = task.prepare(batch, KeyedRandom(1, torch.from_numpy(ids), torch.tensor(0)))
        part, labels = task.parts(batch)["loss"]
        total, count = total + float(part), count + float(labels)
    return total / count


SIDES = {"plmlight": ours, "transformers": theirs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rates", type=float, nargs="+", default=list(RATES), help="what transformers chooses from")
    parser.add_argument("--side", choices=list(SIDES), help="one run of this side (what the script starts)")
    parser.add_argument("--seconds", type=float, default=0.0, help="of that run")
    parser.add_argument("--steps", type=int, default=0, help="of that run")
    parser.add_argument("--rate", type=float, default=0.0, help="learning rate of that run, for transformers")
    parser.add_argument("--folder", type=Path, help="of that run")
    arguments = parser.parse_args()
    if arguments.side:
        torch.set_num_threads(1)
        torch.manual_seed(0)
        run = SIDES[arguments.side]
        run(arguments, arguments.seconds, arguments.steps, arguments.folder, arguments.rate)
        return
    TextCorpus(**corpus_arguments(arguments))  # tokenised once, before any time is taken
    curves = {side: curve(side, arguments) for side in SIDES}
    for side, points in curves.items():
        print(side, " ".join(f"{seconds / 60:.1f} min: {value:.3f}" for seconds, _, value in points))
    (arguments.work / "curves.json").write_text(json.dumps(curves, indent=2))
    plot(curves, arguments.work / "curves.svg")


def curve(side: str, arguments: argparse.Namespace) -> list[tuple[float, int, float]]:
    """Seconds, steps and loss at each mark."""
    whole = arguments.minutes * 60
    used, steps, _ = started(side, arguments, whole / 20, 10**6, arguments.rates[0], "pace")[-1]
    pace = steps / used
    best = arguments.rates[0]
    if side == "transformers" and len(arguments.rates) > 1:
        trials = {}
        for rate in arguments.rates:
            marks = started(side, arguments, whole / 10, int(pace * whole / 10), rate, f"trial-{rate}")
            trials[rate] = loss(arguments.work / f"{side}-trial-{rate}" / marks[-1][2], arguments)
        best = min(trials, key=lambda rate: trials[rate])
        print("transformers' trials:", trials)
    marks = started(side, arguments, whole, int(pace * whole), best, "run")
    return [(used, steps, loss(arguments.work / f"{side}-run" / name, arguments)) for used, steps, name in marks]


def started(
    side: str, arguments: argparse.Namespace, seconds: float, steps: int, rate: float, name: str
) -> list[tuple[float, int, str]]:
    """The marks of one run, in a process of its own."""
    folder = arguments.work / f"{side}-{name}"
    words: list[object] = [sys.executable, Path(__file__).name, "--side", side, "--seconds", seconds, "--steps", steps]
    words += ["--rate", rate, "--folder", folder.resolve(), "--work", arguments.work.resolve()]
    words += ["--text", arguments.text.resolve(), "--tokenizer", arguments.tokenizer.resolve()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([str(word) for word in words], check=True, cwd=Path(__file__).parent, env=environment)
    marks: list[tuple[float, int, str]] = json.loads((folder / "marks.json").read_text())
    return marks


def plot(curves: dict[str, list[tuple[float, int, float]]], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for side, points in curves.items():
        axes.plot([seconds / 60 for seconds, _, _ in points], [value for _, _, value in points], "o-", label=side)
    axes.set(xlabel="minutes on one core", ylabel="loss of hidden tokens (nats)")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
