"""Validation loss on tinyshakespeare: nanoGPT's CPU recipe with its own AdamW settings, a tuned AdamW, and our recipe.

    PLMLIGHT_DATA=... python benchmarks/tinyshakespeare.py --work runs/tinyshakespeare [--seeds 3]

Every run is the command a user types, `fit --config configs/pretrain/...`, on the first 90 % of the characters. What is
reported is the loss over the whole last 10 %, in consecutive windows of 64, by this script's own few lines.
nanoGPT itself reaches 1.898 so.
"""

import argparse
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

import plmlight

ROOT = Path(__file__).parent.parent
BASE, MUON = "gpt-tiny-shakespeare.yaml", "gpt-tiny-shakespeare-muon.yaml"
RECIPES: dict[str, tuple[str, list[str], int]] = {
    "nanoGPT's AdamW": (BASE, [], 2000),
    "AdamW, tuned": (BASE, ["--model.optimizer.lr", "4e-3"], 2000),
    "ours": (MUON, [], 2000),
    "ours, 1000": (MUON, [], 1000),
}
"""Config under configs/pretrain, further words of the command, and iterations."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--only", nargs="*", default=list(RECIPES), help="names of recipes")
    arguments = parser.parse_args()
    text = Path(os.environ["PLMLIGHT_DATA"]) / "lm" / "tinyshakespeare.txt"
    jobs = [(name, seed) for name in arguments.only for seed in range(arguments.seeds)]
    with ThreadPoolExecutor(arguments.parallel) as pool:
        losses = list(pool.map(lambda job: run(job[0], job[1], text, arguments.work), jobs))
    for name in arguments.only:
        found = [loss for (of, _), loss in zip(jobs, losses, strict=True) if of == name]
        each = ", ".join(f"{loss:.4f}" for loss in found)
        print(f"{name}: {statistics.mean(found):.4f} (mean of {each}) after {RECIPES[name][2]} iterations")


def run(name: str, seed: int, text: Path, work: Path) -> float:
    config, extra, steps = RECIPES[name]
    folder = work / f"{name.replace(' ', '-').replace(',', '')}-{seed}"
    words: list[object] = ["fit", "--config", ROOT / "configs/pretrain" / config]
    words += ["--data.files", text, "--seed_everything", seed, "--data.seed", seed]
    words += ["--trainer.max_steps", steps, "--trainer.default_root_dir", folder, *extra]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-m", "plmlight", *map(str, words)], check=True, env=environment, stdout=subprocess.DEVNULL
    )
    return validation_loss(folder / "last.ckpt", text)


@torch.no_grad()
def validation_loss(checkpoint: Path, text: Path, block: int = 64) -> float:
    task = plmlight.load(checkpoint)
    assert task.tokenizer is not None
    characters = text.read_text(encoding="utf-8")
    ids = torch.tensor(task.tokenizer.encode(characters[int(0.9 * len(characters)) :]).ids)
    windows = (len(ids) - 1) // block
    inputs, labels = ids[: windows * block].view(-1, block), ids[1 : windows * block + 1].view(-1, block)
    total = 0.0
    for x, y in zip(inputs.split(64), labels.split(64), strict=True):
        logits = task(input_ids=x)["logits"]
        total += float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), y.flatten(), reduction="sum"))
    return total / (windows * block)


if __name__ == "__main__":
    main()
