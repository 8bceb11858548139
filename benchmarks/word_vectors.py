"""Speed and quality of word2vec's skip-gram through `fit`, against gensim on the same words.

    PLMLIGHT_DATA=... python benchmarks/word_vectors.py --text gcide.txt [--seeds 0 1 2] [--fit ...]

Text: GCIDE, see bert_ten_minutes.py. Both sides read the same words of the same paragraphs, 5 times: 100 dimensions, 5
negatives, windows of 5, subsampling at 1e-3, words that occur 5 times, a rate from 0.025 down; gensim with one worker
(and a thread of its own that only reads), plmlight with one thread. Words/s are those of the text, frequent ones that
are left out included, over the time of training alone. The sides take turns, each turn in a process of its own.
Quality: WordSim-353, MEN and RG-65 (rank correlation) and the analogies (accuracy), means over the seeds with their
standard errors; what the vocabulary covers is the same on both sides. --fit passes options on to `fit`.
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
import numpy as np

import plmlight
from plmlight.cli.training import main as plmlight_command
from plmlight.decoding import WordSpace
from plmlight.evaluation.words import measure_words

ROOT = Path(__file__).parent.parent
RECIPE = ROOT / "configs/pretrain/word2vec-english.yaml"
LISTS = {
    "WS-353": "wordsim.EN-WS-353-ALL.txt",
    "MEN": "wordsim.EN-MEN-TR-3k.txt",
    "RG-65": "wordsim.EN-RG-65.txt",
    "analogies": "questions-words.txt",
}
SIDES = ("plmlight", "gensim")


class Stopwatch(pl.Callback):
    """Notes how long training took, and writes it down."""

    def __init__(self, file: str) -> None:
        self.file = Path(file)

    def on_train_start(self, *_: object) -> None:
        self.start = time.perf_counter()

    def on_train_end(self, *_: object) -> None:
        self.file.write_text(str(time.perf_counter() - self.start))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=SIDES)
    parser.add_argument("--side", choices=SIDES, help="one turn of this side alone, with the first seed")
    parser.add_argument("--fit", nargs=argparse.REMAINDER, default=[])
    arguments = parser.parse_args()
    if arguments.side:
        run = ours if arguments.side == "plmlight" else theirs
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(run(arguments.text.resolve(), arguments.seeds[0], Path(folder), arguments.fit)))
        return
    found: dict[str, list[dict[str, float]]] = {side: [] for side in arguments.sides}
    for seed in arguments.seeds:
        for side, turns in found.items():
            turns.append(turn(side, seed, arguments))
            print(f"{side}, seed {seed}: {written(turns[-1])}", flush=True)
    for side, turns in found.items():
        for name in turns[0]:
            values = [each[name] for each in turns]
            error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
            print(f"{side}, {name}: {statistics.mean(values):.5g}, standard error {error:.2g}")
    if len(found) == len(SIDES):
        ratios = [mine["words/s"] / its["words/s"] for mine, its in zip(*found.values(), strict=True)]
        print(f"words/s, plmlight / gensim: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def turn(side: str, seed: int, arguments: argparse.Namespace) -> dict[str, float]:
    words = ["--side", side, "--text", arguments.text, "--seeds", seed, "--fit", *arguments.fit]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, __file__, *map(str, words)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise SystemExit(f"{side} failed:\n{done.stderr}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def ours(text: Path, seed: int, folder: Path, options: list[str]) -> dict[str, float]:
    file = folder / "seconds"
    callback = {"class_path": "word_vectors.Stopwatch", "init_args": {"file": str(file)}}
    seeds = [f"--{part}={seed}" for part in ("seed_everything", "data.seed", "model.seed")]
    words = ["--config", str(RECIPE), "--data.files", str(text), "--trainer.default_root_dir", str(folder), *seeds]
    if status := plmlight_command("fit", [*words, f"--trainer.callbacks+={json.dumps(callback)}", *options]):
        raise SystemExit(status)
    task = plmlight.load(folder / "last.ckpt")
    assert isinstance(task, plmlight.WordVectorModel)
    return measured(task.space(), int(task.token_counts.sum()), float(file.read_text()))


def theirs(text: Path, seed: int, folder: Path, options: list[str]) -> dict[str, float]:
    from gensim.models import Word2Vec

    corpus = plmlight.WindowCorpus(str(text), document="paragraph", min_count=5)
    names = {number: word for word, number in corpus.tokenizer.get_vocab().items()}
    kept = corpus.token_counts.numpy() > 0
    stream = corpus.windows("fit").stream
    tokens = stream.gather(np.zeros(1, np.int64), len(stream))[0]
    paragraphs = np.split(tokens, stream.documents[1:])
    sentences = [[names[number] for number in part[kept[part]].tolist()] for part in paragraphs]
    settings: dict[str, Any] = {"vector_size": 100, "window": 5, "sg": 1, "negative": 5, "sample": 1e-3, "min_count": 1}
    model = Word2Vec(**settings, workers=1, seed=seed + 1)
    model.build_vocab(sentences)
    start = time.perf_counter()
    model.train(sentences, total_examples=model.corpus_count, epochs=5)
    seconds = time.perf_counter() - start
    space = WordSpace(list(model.wv.index_to_key), np.asarray(model.wv.vectors, np.float32))
    return measured(space, int(kept[tokens].sum()), seconds)


def measured(space: WordSpace, words: int, seconds: float) -> dict[str, float]:
    """Words/s of 5 epochs, and the scores of the lists."""
    data = Path(os.environ["PLMLIGHT_DATA"]) / "sim"
    result = {"words/s": 5 * words / seconds}
    for name, file in LISTS.items():
        found = measure_words(space, data / file)
        everything = np.arange(found.count)[None]
        result[name] = float(next(iter(found.statistics.values()))(everything)[0])
        covered, total = list(found.facts.values())[:2]
        result[f"{name} covered"] = covered / total
    return result


def written(result: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.5g}" for name, value in result.items() if "covered" not in name)


if __name__ == "__main__":
    main()
