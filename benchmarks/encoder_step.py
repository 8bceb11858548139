"""Real tokens/s of pretraining a BERT with `fit`, against `transformers` BertForMaskedLM with its Trainer.

    PLMLIGHT_DATA=... python benchmarks/encoder_step.py [--text full|variable] [--threads 1] [--rounds 3]

6 layers x 256, 4 heads, vocabulary of bert-base-uncased (30,522), dropout 0.1, fused AdamW and clipping on both sides,
fp32, masked language modelling at 15 %. full: blocks of 128 tokens, 16 in a batch. variable: each line of the text is
a row, 16 in a batch there with padding to the longest row, and the same number of tokens in a batch here, rows of
similar length together. Text: wikitext2.valid. Padding does not count. The sides take turns, each turn in a process of
its own; a turn's first steps are left out, and a ratio is the median over the rounds of the ratio within a round.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertTokenizerFast,
    DataCollatorForLanguageModeling,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from plmlight.cli.training import main as plmlight_command

LENGTH, ROWS, STEPS, SKIPPED = 128, 16, 16, 3
LAYERS, WIDTH, HEADS = 6, 256, 4


class Clock(pl.Callback):
    """Notes when each step ends and how many real tokens it had, and writes it down for `ours`."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)
        self.noted: list[tuple[float, int]] = []

    def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: dict[str, Tensor], index: int) -> None:
        mask = batch.get("attention_mask")
        tokens = batch["input_ids"].numel() if mask is None else int((mask != 0).sum())
        self.noted.append((time.perf_counter(), tokens))

    def on_train_end(self, *_: object) -> None:
        self.file.write_text(json.dumps(self.noted))


class TheirClock(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", choices=["full", "variable"], default="full")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--side", choices=list(SIDES), help="one turn of this side alone (what the rounds run)")
    arguments = parser.parse_args()
    if arguments.side:
        torch.set_num_threads(arguments.threads)
        torch.manual_seed(0)
        with tempfile.TemporaryDirectory() as folder:
            noted = SIDES[arguments.side](arguments.text, Path(folder))
        print(sum(tokens for _, tokens in noted[SKIPPED:]) / (noted[-1][0] - noted[SKIPPED - 1][0]))
        return
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(arguments.rounds):
        for side, turns in rates.items():
            turns.append(in_a_process(side, arguments.text, arguments.threads))
    for side, turns in rates.items():
        ratios = [mine / theirs for mine, theirs in zip(rates["plmlight"], turns, strict=True)]
        print(
            f"{side}: {statistics.median(turns):.0f} real tokens/s, plmlight is {statistics.median(ratios):.2f} of it "
            f"({min(ratios):.2f} to {max(ratios):.2f})"
        )


def in_a_process(side: str, text: str, threads: int) -> float:
    """Real tokens/s of one turn."""
    words = [sys.executable, Path(__file__).name, "--side", side, "--text", text, "--threads", str(threads)]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(words, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    return float(done.stdout.split()[-1])


def lines() -> list[str]:
    """The text's lines that are no headings, each a document."""
    text = (Path(os.environ["PLMLIGHT_DATA"]) / "lm" / "wikitext2.valid.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.split("\n") if line.strip() and not line.strip().startswith("=")]


def vocabulary() -> Path:
    return Path(os.environ["PLMLIGHT_DATA"]) / "tok" / "bert-base-uncased.tokenizer.json"


def ours(text: str, folder: Path) -> list[tuple[float, int]]:
    file, noted = folder / "text.txt", folder / "noted.json"
    file.write_text("\n".join(lines()), encoding="utf-8")
    common = {
        "files": [str(file)],
        "tokenizer": str(vocabulary()),
        "document": "line",
        "validation_fraction": 0.0,
        "cache_folder": str(folder / "cache"),
    }
    data = {
        "full": {
            "class_path": "TextCorpus",
            "init_args": {**common, "end_of_document": False, "block_length": LENGTH, "overlap": 0, "batch_size": ROWS},
        },
        "variable": {
            "class_path": "DocumentCorpus",
            "init_args": {**common, "max_length": LENGTH, "max_tokens": LENGTH * ROWS},
        },
    }[text]
    network = {"d_model": WIDTH, "num_layers": LAYERS, "num_heads": HEADS, "max_length": LENGTH, "dropout": 0.1}
    config = {
        "model": {
            "class_path": "MaskedLM",
            "init_args": {
                "network": {"class_path": "BERT", "init_args": network},
                "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-4}},
                "schedule": {"class_path": "Constant"},
            },
        },
        "data": data,
        "trainer": {
            "max_steps": STEPS,
            "gradient_clip_val": 1.0,
            "accelerator": "cpu",
            "default_root_dir": str(folder),
            "callbacks": [{"class_path": "encoder_step.Clock", "init_args": {"file": str(noted)}}],
        },
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    if status := plmlight_command("fit", ["--config", str(folder / "config.yaml")]):
        raise SystemExit(status)
    return [(moment, tokens) for moment, tokens in json.loads(noted.read_text())]


def theirs(text: str, folder: Path) -> list[tuple[float, int]]:
    tokenizer = BertTokenizerFast(tokenizer_file=str(vocabulary()))
    if text == "full":
        ids = [i for line in lines() for i in tokenizer(line, add_special_tokens=False)["input_ids"]]
        rows = [{"input_ids": ids[k : k + LENGTH]} for k in range(0, len(ids) - LENGTH, LENGTH)]
    else:
        rows = [{"input_ids": tokenizer(line, truncation=True, max_length=LENGTH)["input_ids"]} for line in lines()]
    tokens: list[int] = []
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=0.15)

    def collate(examples: list[dict[str, list[int]]]) -> Any:
        tokens.append(sum(len(example["input_ids"]) for example in examples))
        return collator(examples)

    config = BertConfig(
        hidden_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=4 * WIDTH,
        max_position_embeddings=LENGTH,
    )
    clock = TheirClock()
    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=ROWS,
        learning_rate=1e-4,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_steps=50,
    )
    Trainer(
        model=BertForMaskedLM(config), args=settings, train_dataset=rows, data_collator=collate, callbacks=[clock]
    ).train()
    return list(zip(clock.ends, tokens, strict=False))


SIDES = {"plmlight": ours, "transformers Trainer": theirs}


if __name__ == "__main__":
    main()
