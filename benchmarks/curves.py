"""Draws what the logs of some runs say of one metric.

    python benchmarks/curves.py runs/a runs/b --metric val_bleu --output curves.svg [--labels Transformer LSTM]

A run is the folder that was its trainer.default_root_dir; if it was resumed, its logs follow each other.
"""

import argparse
import csv
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--metric", required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--labels", nargs="+", default=[])
    parser.add_argument("--over", choices=["step", "epoch"], default="epoch")
    arguments = parser.parse_args()
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 4))
    labels = arguments.labels or [run.name for run in arguments.runs]
    for run, label in zip(arguments.runs, labels, strict=True):
        points = curve(run, arguments.metric, arguments.over)
        axes.plot([place for place, _ in points], [value for _, value in points], "o-", label=label)
        print(f"{label}: " + " ".join(f"{place}: {value:.2f}" for place, value in points))
    axes.set(xlabel=f"{arguments.over}s", ylabel=arguments.metric)
    axes.legend()
    figure.savefig(arguments.output)


def curve(run: Path, metric: str, over: str = "step") -> list[tuple[int, float]]:
    """Steps or epochs, counted from 1, and the values."""
    found: dict[int, float] = {}
    for log in sorted(run.rglob("metrics.csv"), key=lambda path: path.stat().st_mtime):
        with log.open() as handle:
            found |= {int(row[over]) + 1: float(row[metric]) for row in csv.DictReader(handle) if row.get(metric)}
    if not found:
        raise SystemExit(f"{run}: no log has {metric}")
    return sorted(found.items())


if __name__ == "__main__":
    main()
