"""What span corruption brings: a T5 pretrained on a dictionary against the same T5 from scratch, on TREC's questions.

    PLMLIGHT_DATA=... python benchmarks/t5_pretraining.py --text gcide.txt --work DIR [--pretraining N] [--steps N]

Text: GCIDE, see bert_ten_minutes.py. The network has 2 + 2 layers x 128 and a vocabulary of 8,192 trained on the text.
It is pretrained with `fit` and configs/pretrain/t5-tiny-english.yaml for so many steps. Then both, and with the same
settings, learn to answer "trec question: ..." with the name of its class, text to text, `fit` with
configs/finetune/t5-tiny-trec.yaml: 4,952 questions to train on, 500 held out of the training set to draw the curve, and
TREC's own 500 test questions at the end. Seeds 0, 1 and 2.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

from curves import curve

ROOT = Path(__file__).parent.parent
CLASSES = ["description", "entity", "abbreviation", "human", "location", "number"]
SEEDS = (0, 1, 2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pretraining", type=int, default=2000, help="steps of pretraining")
    parser.add_argument("--steps", type=int, default=300, help="steps of fine-tuning")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    files = questions(work)
    pretrained = work / "pretrained" / "last.ckpt"
    if not pretrained.exists():
        run(
            *("fit", "--config", ROOT / "configs/pretrain/t5-tiny-english.yaml", "--data.files", arguments.text),
            *("--trainer.max_steps", arguments.pretraining, "--trainer.default_root_dir", work / "pretrained"),
        )
        run("convert", pretrained, "--output", work / "t5")
    curves: dict[str, list[list[tuple[int, float]]]] = {}
    for seed in SEEDS:
        for side in ("pretrained", "from scratch"):
            folder = work / f"{side.replace(' ', '-')}-{seed}"
            if not (folder / "last.ckpt").exists():
                finetune(side, seed, files, work, folder, arguments.steps)
            curves.setdefault(side, []).append(curve(folder, "val_exact_match"))
            print(f"{side}, seed {seed}: " + " ".join(f"{step}: {value:.1f}" for step, value in curves[side][-1]))
    for side in curves:
        scores = [tested(work / f"{side.replace(' ', '-')}-{seed}", files) for seed in SEEDS]
        print(f"{side}: test accuracy {statistics.mean(scores):.1f} ({', '.join(f'{score:.1f}' for score in scores)})")
    plot(curves, work / "t5_pretraining.svg")


def questions(work: Path) -> dict[str, Path]:
    """TREC as sources and targets: held out are the last 500 questions of the training set."""
    data = Path(os.environ["PLMLIGHT_DATA"]) / "cls"
    files = {}
    for name in ("train", "test"):
        lines = (data / f"trec.{name}.all").read_bytes().decode("latin-1").splitlines()
        rows = [line.split(" ", 1) for line in lines if line.strip()]
        records = [{"source": f"trec question: {text}", "target": CLASSES[int(label)]} for label, text in rows]
        parts = {"train": records[:-500], "validation": records[-500:]} if name == "train" else {"test": records}
        for part, chosen in parts.items():
            files[part] = work / f"{part}.jsonl"
            files[part].write_text("".join(json.dumps(record) + "\n" for record in chosen), encoding="utf-8")
    return files


def finetune(side: str, seed: int, files: dict[str, Path], work: Path, folder: Path, steps: int) -> None:
    words = [
        *("fit", "--config", ROOT / "configs/finetune/t5-tiny-trec.yaml", "--seed_everything", seed),
        *("--data.files", files["train"], "--data.validation_files", files["validation"], "--data.seed", seed),
        *("--data.tokenizer", work / "t5", "--trainer.max_steps", steps, "--trainer.default_root_dir", folder),
    ]
    if side == "pretrained":
        words += ["--model.network", "plmlight.T5.from_pretrained", "--model.network.folder", work / "t5"]
    run(*words)


def tested(folder: Path, files: dict[str, Path]) -> float:
    report = folder / "test.json"
    run("evaluate", folder / "best.ckpt", "--data", files["test"], "--metrics", "exact_match", "--output", report)
    found = json.loads(report.read_text())
    return float(found["values"]["exact_match"]["value"])


def run(*words: object) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}
    subprocess.run([sys.executable, "-m", "plmlight", *map(str, words)], check=True, env=environment)


def plot(curves: dict[str, list[list[tuple[int, float]]]], path: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for (side, runs), colour in zip(curves.items(), ("tab:blue", "tab:orange"), strict=True):
        for number, points in enumerate(runs):
            label = side if number == 0 else None
            axes.plot([step for step, _ in points], [value for _, value in points], color=colour, label=label)
    axes.set(xlabel="fine-tuning steps", ylabel="accuracy on held-out questions")
    axes.legend()
    figure.savefig(path)


if __name__ == "__main__":
    main()
