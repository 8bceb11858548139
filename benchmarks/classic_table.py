"""Perplexity of a 5-gram, an NNLM, an LSTM and a GPT on WikiText-2's validation text: same tokens, same time.

    PLMLIGHT_DATA=... python benchmarks/classic_table.py --work DIR [--minutes 6]

The first nine tenths of the text's lines are trained on, of which the last twentieth says when a model is best; the
last tenth is for `evaluate`, a paragraph a document. All read the same byte-level BPE of 4096 tokens, which was trained
on the first nine tenths. The networks have about 2.1 M parameters and each as many minutes of one core's time as are
given, with a schedule that ends there; the n-grams are counted once.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import plmlight

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "configs/pretrain"
MODELS: dict[str, tuple[Path, dict[str, Any]]] = {
    "5-gram": (RECIPES / "ngram-5-wikitext2.yaml", {}),
    "NNLM": (RECIPES / "nnlm-tiny-wikitext2.yaml", {"model.network.d_model": 340}),
    "LSTM": (RECIPES / "lstm-tiny-wikitext2.yaml", {"model.network.dropout": 0.4, "model.network.input_dropout": 0.4}),
    "GPT": (RECIPES / "gpt-tiny-wikitext2.yaml", {}),
}
CHECKS = 10
"""Validations of a run."""
PACE = 60, 20
"""Steps of the run that measures the pace, and of the one that is taken off it."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    text, test = split(work)
    if not (work / "bpe").exists():
        command("tokenizer", text, "--kind", "byte-bpe", "--vocab_size", 4096, "--output", work / "bpe")
    for name in arguments.models:
        folder = work / name
        steps, minutes = 0, 0.0
        if name == "5-gram":
            minutes = fit(name, work, text, folder, None) / 60
        else:
            quick, slow = (fit(name, work, text, work / "pace", steps) for steps in sorted(PACE))
            steps = round(arguments.minutes * 60 * (max(PACE) - min(PACE)) / (slow - quick))
            minutes = fit(name, work, text, folder, steps) / 60
        best = folder / ("last.ckpt" if name == "5-gram" else "best.ckpt")
        report = work / f"{name}.json"
        command("evaluate", best, "--data", test, "--document", "line", "--output", report)
        values = json.loads(report.read_text(encoding="utf-8"))["values"]
        size = sum(p.numel() for p in plmlight.load(best).parameters())
        shown = {k: f"{v['value']:.2f} ({v['low']:.2f} to {v['high']:.2f})" for k, v in values.items()}
        print(f"{name}: {size:,} parameters, {steps} steps, {minutes:.1f} minutes of a core; {shown}", flush=True)


def split(work: Path) -> tuple[Path, Path]:
    """The first nine tenths of the lines, and the last."""
    lines = (Path(os.environ["PLMLIGHT_DATA"]) / "lm" / "wikitext2.valid.txt").read_text(encoding="utf-8").splitlines()
    edge = len(lines) * 9 // 10
    files = work / "train.txt", work / "test.txt"
    for file, part in zip(files, (lines[:edge], lines[edge:]), strict=True):
        file.write_text("\n".join(part) + "\n", encoding="utf-8")
    return files


def fit(name: str, work: Path, text: Path, folder: Path, steps: int | None) -> float:
    """Trains, and tells the seconds of a core that it took."""
    recipe, changes = MODELS[name]
    words: list[Any] = ["--config", recipe, "--data.files", text, "--data.tokenizer", work / "bpe"]
    words += ["--data.validation_fraction", 0.05, "--trainer.default_root_dir", folder]
    for key, value in changes.items():
        words += [f"--{key}", value]
    if steps is not None:
        every = max(1, steps // CHECKS) if folder.name != "pace" else steps
        words += ["--trainer.max_steps", steps, "--trainer.val_check_interval", every]
        words += ["--trainer.check_val_every_n_epoch", "null"]
        words += ["--trainer.limit_val_batches", 0] if folder.name == "pace" else []
    return command("fit", *words)


def command(*words: Any) -> float:
    """Runs a command on one core, and tells the seconds of the processor."""
    begun = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "plmlight", *map(str, words)], check=True, env=environment)
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return ended.ru_utime + ended.ru_stime - begun.ru_utime - begun.ru_stime


if __name__ == "__main__":
    main()
