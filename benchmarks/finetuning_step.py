"""Examples/s of fine-tuning MiniLM on TREC's questions with `fit`, against `transformers` and its Trainer.

    PLMLIGHT_DATA=... python benchmarks/finetuning_step.py --minilm FOLDER [--rounds 3] [--epochs 1]

32 questions in a batch of real lengths, dropout 0.1, fused AdamW and clipping on both sides, each in its default
precision; theirs pads each batch to its longest question (DataCollatorWithPadding), ours puts questions of similar
length together. The sides take turns, each turn in a process of its own, and a ratio is the median over the rounds of
the ratio within a round. The last 500 questions of the training set are held out: with --epochs 4 the accuracy on them
that each turn prints says whether both learn equally well.
"""

import argparse
import os
import tempfile
from pathlib import Path

import torch
from sides import TheirClock, fit, rate, take_turns, trainer_settings
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding, Trainer

import plmlight

LENGTH, ROWS, LEARNING_RATE, WARMUP, SKIPPED = 64, 32, 1e-4, 50, 3
"""Tokens of a question at most, questions in a batch, settings of both optimisers, steps left out at the start."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minilm", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", choices=list(SIDES), help="one turn of this side alone (what the rounds run)")
    arguments = parser.parse_args()
    minilm = arguments.minilm.resolve()
    if not arguments.side:
        words = ["--minilm", str(minilm), "--epochs", str(arguments.epochs)]
        take_turns(__file__, list(SIDES), words, arguments.threads, arguments.rounds, "examples/s")
        return
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        noted, accuracy = SIDES[arguments.side](minilm, arguments.epochs, Path(folder))
    print(f"accuracy {accuracy:.1f} on the questions held out; examples/s", rate(noted, SKIPPED))


def questions() -> tuple[list[tuple[str, int]], list[tuple[str, int]]]:
    """To train on, and held out."""
    content = (Path(os.environ["PLMLIGHT_DATA"]) / "cls" / "trec.train.all").read_bytes().decode("latin-1")
    rows = [line.split(" ", 1) for line in content.splitlines() if line.strip()]
    found = [(text, int(label)) for label, text in rows]
    return found[:-500], found[-500:]


def ours(minilm: Path, epochs: int, folder: Path) -> tuple[list[tuple[float, int]], float]:
    files = {}
    for name, part in zip(("train", "validation"), questions(), strict=True):
        files[name] = folder / f"{name}.tsv"
        files[name].write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for text, label in part), "utf-8")
    optimizer = {"class_path": "AdamW", "init_args": {"lr": LEARNING_RATE, "weight_decay": 0.01}}
    network = {"class_path": "plmlight.BERT.from_pretrained", "init_args": {"folder": str(minilm)}}
    config = {
        "model": {
            "class_path": "TextClassification",
            "init_args": {
                "network": network,
                "pooling": "mean",
                "optimizer": optimizer,
                "schedule": {"class_path": "WarmupLinear", "init_args": {"warmup_steps": WARMUP}},
            },
        },
        "data": {
            "class_path": "LabelledText",
            "init_args": {
                "files": str(files["train"]),
                "validation_files": str(files["validation"]),
                "max_length": LENGTH,
                "batch_size": ROWS,
            },
        },
        "trainer": {"max_epochs": epochs, "num_sanity_val_steps": 0},
    }
    noted = fit(config, folder, count="rows")
    checkpoint = next(folder.rglob("last.ckpt"))
    task = plmlight.load(checkpoint)
    assert isinstance(task, plmlight.TextClassification)
    held_out = questions()[1]
    found = task.analyser().answers([{"text": text} for text, _ in held_out])
    right = sum(answer["label"] == str(label) for answer, (_, label) in zip(found, held_out, strict=True))
    return noted, 100 * right / len(held_out)


def theirs(minilm: Path, epochs: int, folder: Path) -> tuple[list[tuple[float, int]], float]:
    tokenizer = AutoTokenizer.from_pretrained(str(minilm))
    model = AutoModelForSequenceClassification.from_pretrained(str(minilm), num_labels=6)
    train, held_out = (
        [{**tokenizer(text, truncation=True, max_length=LENGTH), "labels": label} for text, label in part]
        for part in questions()
    )
    clock = TheirClock()
    settings = trainer_settings(
        folder,
        num_train_epochs=epochs,
        per_device_train_batch_size=ROWS,
        learning_rate=LEARNING_RATE,
        weight_decay=0.01,
        warmup_steps=WARMUP,
    )
    trainer = Trainer(
        model=model,
        args=settings,
        train_dataset=train,
        eval_dataset=held_out,
        data_collator=DataCollatorWithPadding(tokenizer),
        callbacks=[clock],
    )
    trainer.train()
    output = trainer.predict(held_out)
    rows = [ROWS] * len(clock.ends)
    return list(zip(clock.ends, rows, strict=True)), 100 * float(
        (output.predictions.argmax(-1) == output.label_ids).mean()
    )


SIDES = {"plmlight": ours, "transformers Trainer": theirs}


if __name__ == "__main__":
    main()
