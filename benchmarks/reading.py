"""Tokens/s of prepared shards and of `prepare`, against the 6 x 384 training step and `tokenizers` itself.

    python benchmarks/reading.py [--rounds 3]

The text is the source of Python's standard library. Reading is a pass through the training loader, batch by batch;
preparing is compared with `Tokenizer.encode_batch` on the same documents by the same number of threads, interleaved.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("RAYON_NUM_THREADS", "1")

import torch

import plmlight
from plmlight.cli import main as plmlight_main
from plmlight.data.readers import read
from plmlight.data.sources import resolve
from plmlight.text import load_tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plmlight_main(["tokenizer", "python-stdlib", "--vocab_size", "4096", "--output", str(folder / "tokenizer")])
        prepare(folder, arguments.rounds)
        pass_through(folder)


def prepare(folder: Path, rounds: int) -> None:
    tokenizer = load_tokenizer(folder / "tokenizer")
    documents = [text for text, _ in read(resolve("python-stdlib"))]
    size = sum(len(text.encode()) for text in documents)
    seconds: dict[str, list[float]] = {"encode_batch": [], "prepare": []}
    for turn in range(rounds):
        start = time.perf_counter()
        for first in range(0, len(documents), 64):
            tokenizer.encode_batch(documents[first : first + 64])
        seconds["encode_batch"].append(time.perf_counter() - start)
        words = ["python-stdlib", "--tokenizer", folder / "tokenizer", "--output", folder / f"shards{turn}"]
        start = time.perf_counter()
        plmlight_main(["prepare", *map(str, words)])
        seconds["prepare"].append(time.perf_counter() - start)
    theirs, ours = (size / 1e6 / statistics.median(each) for each in seconds.values())
    print(f"prepare {ours:.2f} MB/s, encode_batch {theirs:.2f} MB/s, ratio {ours / theirs:.2f} (at least 0.8)")


def pass_through(folder: Path) -> None:
    corpus = plmlight.TextCorpus(
        "python-stdlib", tokenizer=str(folder / "tokenizer"), block_length=257, batch_size=8, cache_folder=str(folder)
    )
    loader = corpus.train_dataloader()
    start, tokens = time.perf_counter(), 0
    for batch in loader:
        tokens += batch["input_ids"].numel()
    rate = tokens / (time.perf_counter() - start)
    step = training_rate(corpus.vocab_size)
    print(f"reading {rate / 1e6:.1f} million tokens/s, the step {step:.0f}, ratio {rate / step:.0f} (at least 50)")


def training_rate(vocab_size: int, steps: int = 5) -> float:
    """Tokens/s of the bare 6 x 384 step, block 256, batch 8."""
    network = plmlight.GPT(vocab_size, 384, 6, 6, dropout=0.0, max_length=256)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    ids = torch.randint(0, vocab_size, (8, 257))
    start = 0.0
    for step in range(steps + 1):
        if step == 1:
            start = time.perf_counter()
        hidden, _ = network(ids[:, :-1])
        logits = torch.nn.functional.linear(hidden, network.token_embedding.weight)
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return steps * 8 * 256 / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
