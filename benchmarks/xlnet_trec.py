"""What ten minutes of permutation language modelling bring: XLNet's loss on held-out text, and TREC's questions.

    PLMLIGHT_DATA=... python benchmarks/xlnet_trec.py --text TEXT --work DIR [--tokenizer DIR] [--minutes 10]

Text: GCIDE, see bert_ten_minutes.py. The network of configs/pretrain/xlnet-tiny-english.yaml is pretrained with `fit`
for so long on one core: as many steps as the pace of the first 20 allows. Its loss on held-out text stands beside the
entropy of that text's own unigram distribution, which no model without context can reach. Then it reads TREC's
questions, and a linear layer over its classification token names their class: all is trained on 4,952 questions, in 3
epochs, from the pretrained weights and from random ones. Each side takes the learning rate that is best on 500 held-out
questions with seed 0. The accuracy is that on TREC's own 500 test questions, with seeds 0, 1 and 2.
"""

import argparse
import copy
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from curves import curve
from torch import Tensor, nn

import plmlight
from plmlight.heads import pool

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "configs/pretrain/xlnet-tiny-english.yaml"
RATES, SEEDS, EPOCHS, ROWS = (5e-4, 1e-3, 2e-3), (0, 1, 2), 3, 32
Questions = list[tuple[list[int], list[int], int]]
"""Token ids, their segments, and the class."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--tokenizer", type=Path, help="one of the kind xlnet; trained on the text by default")
    parser.add_argument("--minutes", type=float, default=10.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    pretrain(arguments)
    task = plmlight.load(arguments.work / "run" / "last.ckpt")
    assert isinstance(task, plmlight.PermutationLM)
    steps, loss = curve(arguments.work / "run", "val_loss")[-1]
    print(
        f"after {steps} steps: loss on held-out text {loss:.3f} nats; entropy of its unigrams {entropy(arguments):.3f}"
    )
    torch.manual_seed(0)
    fresh = plmlight.nn.build(plmlight.nn.config_of(task.network))
    parts = questions(task)
    for name, network in (("pretrained", task.network), ("random", fresh)):
        held_out = {rate: finetuned(network, parts["train"], parts["validation"], rate, 0) for rate in RATES}
        rate = max(held_out, key=held_out.__getitem__)
        scores = [finetuned(network, parts["train"], parts["test"], rate, seed) for seed in SEEDS]
        print(
            f"{name}: test accuracy {statistics.mean(scores):.1f} ({', '.join(f'{score:.1f}' for score in scores)}) at "
            f"rate {rate:g}; held-out: {held_out}",
            flush=True,
        )


def pretrain(arguments: argparse.Namespace) -> None:
    """Takes as many steps as fit into the time; a run that is there is kept."""
    if (arguments.work / "run" / "last.ckpt").exists():
        return
    fit(arguments, "warm", 2)  # reads the text and its words, once
    start = time.perf_counter()
    fit(arguments, "pace", 2)
    begun = time.perf_counter()
    fit(arguments, "pace-20", 22)
    pace = (time.perf_counter() - begun - (begun - start)) / 20
    print(f"{pace:.2f} s a step", flush=True)
    start = time.perf_counter()
    fit(arguments, "run", max(1, int(arguments.minutes * 60 / pace)), validate=True)
    print(f"pretraining took {(time.perf_counter() - start) / 60:.1f} minutes, validations included", flush=True)


def fit(arguments: argparse.Namespace, name: str, steps: int, *, validate: bool = False) -> None:
    words = ["--config", RECIPE, "--data.files", arguments.text.resolve(), "--trainer.max_steps", steps]
    words += ["--trainer.default_root_dir", (arguments.work / name).resolve(), "--trainer.val_check_interval"]
    words += [min(100, steps) if validate else steps, "--trainer.limit_val_batches", 20 if validate else 0]
    if arguments.tokenizer:
        words += ["--data.tokenizer", arguments.tokenizer.resolve()]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "plmlight", "fit", *map(str, words)], check=True, env=environment)


def entropy(arguments: argparse.Namespace) -> float:
    """Of the tokens of the held-out text, in nats."""
    task = plmlight.load(arguments.work / "run" / "last.ckpt")
    corpus = plmlight.TextCorpus(
        str(arguments.text.resolve()),
        tokenizer=str(arguments.tokenizer.resolve()) if arguments.tokenizer else None,
        tokenizer_kind="xlnet",
        tokenizer_vocab_size=8192,
        validation_fraction=0.005,
        validation_split="tail",
        block_length=task.network.max_length,
        overlap=0,
    )
    blocks = corpus.blocks("validate")
    counts = torch.bincount(blocks.batch(np.arange(len(blocks) - 1), 0)["input_ids"].flatten())
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * shares.log()).sum())


def questions(task: plmlight.PermutationLM) -> dict[str, Questions]:
    """TREC's questions as tokens; held out are the last 500 of the training set."""
    assert task.tokenizer is not None
    data = Path(os.environ["PLMLIGHT_DATA"]) / "cls"
    found = {}
    for name in ("train", "test"):
        lines = (data / f"trec.{name}.all").read_bytes().decode("latin-1").splitlines()
        labels, texts = zip(*(line.split(" ", 1) for line in lines if line.strip()), strict=True)
        rows = [(read.ids, read.type_ids) for read in task.tokenizer.encode_batch(list(texts))]
        found[name] = [(*row, int(label)) for row, label in zip(rows, labels, strict=True)]
    return {"train": found["train"][:-500], "validation": found["train"][-500:], "test": found["test"]}


def batch_of(rows: Questions, padding: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Ids, mask and segments [B, T], and classes [B]."""
    longest = max(len(ids) for ids, _, _ in rows)
    ids = torch.tensor([ids + [padding] * (longest - len(ids)) for ids, _, _ in rows])
    mask = torch.tensor([[1] * len(ids) + [0] * (longest - len(ids)) for ids, _, _ in rows])
    types = torch.tensor([types + [0] * (longest - len(types)) for _, types, _ in rows])
    return ids, mask, types, torch.tensor([label for _, _, label in rows])


def finetuned(start: nn.Module, train: Questions, test: Questions, rate: float, seed: int) -> float:
    """The accuracy on ``test``, in percent, after training on ``train``."""
    torch.manual_seed(seed)
    network = copy.deepcopy(start).train()
    assert isinstance(network, plmlight.XLNet)
    head = nn.Linear(network.d_model, 6)
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    steps = EPOCHS * -(-len(train) // ROWS)
    warmup = steps // 10
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min((step + 1) / warmup, (steps - step) / (steps - warmup))
    )

    def logits(rows: Questions) -> tuple[Tensor, Tensor]:
        ids, mask, types, labels = batch_of(rows, network.pad_token_id)
        return head(pool(network(ids, mask, types), mask, "mean")), labels

    for _ in range(EPOCHS):
        order = torch.randperm(len(train)).tolist()
        for first in range(0, len(order), ROWS):
            found, labels = logits([train[place] for place in order[first : first + ROWS]])
            optimizer.zero_grad()
            F.cross_entropy(found, labels).backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            schedule.step()
    network.eval()
    right = 0
    with torch.no_grad():
        for first in range(0, len(test), 100):
            found, labels = logits(test[first : first + 100])
            right += int((found.argmax(-1) == labels).sum())
    return 100 * right / len(test)


if __name__ == "__main__":
    main()
