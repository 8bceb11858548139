"""Real tokens/s of pretraining a BERT with `fit`, against `transformers` BertForMaskedLM with its Trainer.

    PLMLIGHT_DATA=... python benchmarks/encoder_step.py [--text full|variable] [--threads 1] [--rounds 3]

6 layers x 256, 4 heads, vocabulary of bert-base-uncased (30,522), dropout 0.1, fused AdamW and clipping on both sides,
fp32, masked language modelling at 15 %. full: blocks of 128 tokens, 16 in a batch. variable: each line of the text is
a row, 16 in a batch there with padding to the longest row, and the same number of tokens in a batch here, rows of
similar length together. Text: wikitext2.valid. Padding does not count. The sides take turns, each turn in a process of
its own; a turn's first steps are left out, and a ratio is the median over the rounds of the ratio within a round.
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from sides import TheirClock, fit, rate, take_turns, trainer_settings
from transformers import BertConfig, BertForMaskedLM, BertTokenizerFast, DataCollatorForLanguageModeling, Trainer

LENGTH, ROWS, STEPS, SKIPPED = 128, 16, 16, 3
LAYERS, WIDTH, HEADS = 6, 256, 4


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
        print(rate(noted, SKIPPED))
        return
    take_turns(__file__, list(SIDES), ["--text", arguments.text], arguments.threads, arguments.rounds)


def lines() -> list[str]:
    """The text's lines that are no headings, each a document."""
    text = (Path(os.environ["PLMLIGHT_DATA"]) / "lm" / "wikitext2.valid.txt").read_text(encoding="utf-8")
    return [line.strip() for line in text.split("\n") if line.strip() and not line.strip().startswith("=")]


def vocabulary() -> Path:
    return Path(os.environ["PLMLIGHT_DATA"]) / "tok" / "bert-base-uncased.tokenizer.json"


def ours(text: str, folder: Path) -> list[tuple[float, int]]:
    file = folder / "text.txt"
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
        "trainer": {"max_steps": STEPS},
    }
    return fit(config, folder)


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
    settings = trainer_settings(folder, max_steps=STEPS, per_device_train_batch_size=ROWS, learning_rate=1e-4)
    Trainer(
        model=BertForMaskedLM(config), args=settings, train_dataset=rows, data_collator=collate, callbacks=[clock]
    ).train()
    return list(zip(clock.ends, tokens, strict=False))


SIDES = {"plmlight": ours, "transformers Trainer": theirs}


if __name__ == "__main__":
    main()
