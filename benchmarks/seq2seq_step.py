"""Real target tokens/s of training a T5 with `fit`, against `transformers` T5ForConditionalGeneration with its Trainer.

    PLMLIGHT_DATA=... python benchmarks/seq2seq_step.py [--text full|variable] [--threads 1] [--rounds 3]

4 + 4 layers x 256, 4 heads, the published T5 vocabulary (32,128 rows), dropout 0.1, fused AdamW and clipping on both
sides, fp32. full: sources and targets of 64 tokens, made of Multi30k's sentences one after the other, 16 in a batch.
variable: summaries of dialogues (DialogSum, sources of up to 512 tokens), 8 in a batch there with padding to the
longest, and as many tokens in a batch here, rows of similar length together. Padding does not count. The sides take
turns, each turn in a process of its own; a turn's first steps are left out, and a ratio is the median over the rounds
of the ratio within a round.
"""

import argparse
import gzip
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from sides import TheirClock, fit, rate, take_turns, trainer_settings
from transformers import DataCollatorForSeq2Seq, T5Config, T5ForConditionalGeneration, T5Tokenizer, Trainer

LAYERS, WIDTH, HEADS = 4, 256, 4
SIZES = {"full": (64, 64, 16), "variable": (512, 128, 8)}
"""Tokens of a source, of a target, and rows in a batch there."""
STEPS = {"full": (16, 3), "variable": (40, 3)}
"""Steps of a turn, and how many are left out at its start."""


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
        print(rate(noted, STEPS[arguments.text][1]))
        return
    take_turns(__file__, list(SIDES), ["--text", arguments.text], arguments.threads, arguments.rounds)


def data() -> Path:
    return Path(os.environ["PLMLIGHT_DATA"])


def pairs(text: str) -> list[tuple[str, str]]:
    """Sources and targets."""
    if text == "variable":
        lines = (data() / "dialog" / "dialogsum.dev.jsonl").read_text(encoding="utf-8").splitlines()
        records = [json.loads(line) for line in lines if line.strip()]
        return [(" ".join(r["dialogue"].split()), " ".join(r["summary"].split())) for r in records]
    sides = []
    for language in ("de", "en"):
        with gzip.open(data() / "mt" / f"multi30k.train.{language}.gz", "rt", encoding="utf-8") as handle:
            sides.append([line.strip() for line in handle])
    groups = [range(first, first + 8) for first in range(0, 8000, 8)]  # enough for 64 tokens, which are cut
    return [(" ".join(sides[0][i] for i in group), " ".join(sides[1][i] for i in group)) for group in groups]


def ours(text: str, folder: Path) -> list[tuple[float, int]]:
    source, target, rows = SIZES[text]
    files = [folder / "source.txt", folder / "target.txt"]
    for side, file in enumerate(files):
        file.write_text("".join(pair[side] + "\n" for pair in pairs(text)), encoding="utf-8")
    batch = {"batch_size": rows} if text == "full" else {"max_tokens": mean_tokens(text)}
    config = {
        "model": {
            "class_path": "Seq2Seq",
            "init_args": {
                "network": {
                    "class_path": "T5",
                    "init_args": {
                        "d_model": WIDTH,
                        "num_layers": LAYERS,
                        "num_heads": HEADS,
                        "d_ff": 4 * WIDTH,
                        "max_length": source,
                        "dropout": 0.1,
                    },
                },
                "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-4}},
                "schedule": {"class_path": "Constant"},
            },
        },
        "data": {
            "class_path": "ParallelCorpus",
            "init_args": {
                "files": [str(file) for file in files],
                "tokenizer": str(data() / "tok" / "t5.spiece.model"),
                "max_target_length": target,
                "validation_fraction": 0.0,
                "cache_folder": str(folder / "cache"),
                **batch,
            },
        },
        "trainer": {"max_steps": STEPS[text][0]},
    }
    return fit(config, folder, count="labels")


def mean_tokens(text: str) -> int:
    """Padded tokens of an average batch of theirs: as many go into one of ours."""
    rows, (source, target, size) = their_rows(text), SIZES[text]
    widths = []
    for first in range(0, len(rows) - size + 1, size):
        batch = rows[first : first + size]
        widths.append(max(len(r["input_ids"]) for r in batch) + max(len(r["labels"]) for r in batch))
    return max(source + target, size * sum(widths) // len(widths))


def their_tokenizer() -> Any:
    return T5Tokenizer.from_pretrained(str(data() / "tok"), vocab_file=str(data() / "tok" / "t5.spiece.model"))


def their_rows(text: str) -> list[dict[str, list[int]]]:
    tokenizer, (source, target, _) = their_tokenizer(), SIZES[text]
    return [
        {
            "input_ids": tokenizer(first, truncation=True, max_length=source)["input_ids"],
            "labels": tokenizer(second, truncation=True, max_length=target)["input_ids"],
        }
        for first, second in pairs(text)
    ]


def theirs(text: str, folder: Path) -> list[tuple[float, int]]:
    tokens: list[int] = []
    config = T5Config(
        vocab_size=32128,
        d_model=WIDTH,
        d_kv=WIDTH // HEADS,
        d_ff=4 * WIDTH,
        num_layers=LAYERS,
        num_heads=HEADS,
        decoder_start_token_id=0,
    )
    model = T5ForConditionalGeneration(config)
    collator = DataCollatorForSeq2Seq(their_tokenizer(), model)

    def collate(examples: list[dict[str, list[int]]]) -> Any:
        tokens.append(sum(len(example["labels"]) for example in examples))
        return collator(examples)

    clock = TheirClock()
    settings = trainer_settings(
        folder, max_steps=STEPS[text][0], per_device_train_batch_size=SIZES[text][2], learning_rate=1e-4
    )
    Trainer(
        model=model, args=settings, train_dataset=their_rows(text), data_collator=collate, callbacks=[clock]
    ).train()
    return list(zip(clock.ends, tokens, strict=False))


SIDES = {"plmlight": ours, "transformers Trainer": theirs}


if __name__ == "__main__":
    main()
