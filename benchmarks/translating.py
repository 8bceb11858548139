"""Sentences/s of translating with beams on ONNX Runtime, against `transformers` generate with the same T5.

    PLMLIGHT_DATA=... python benchmarks/translating.py --model FOLDER [--work DIR] [--threads 1] [--rounds 3]

FOLDER is a T5 that translates German to English, as `convert` writes it from a checkpoint of
configs/translate/t5-small-multi30k.yaml, or any other Hugging Face folder of a T5. Both sides translate the first 320
sentences of Multi30k's test2016 in batches of 32 with 4 beams and 64 new tokens at most, in fp32 there, and here with
each recipe for the CPU. Sentences of similar length stand together on both sides. The sides take turns; a ratio is the
median over the rounds of the ratio within a round. BLEU is sacrebleu's, cased, on all 1000 sentences.
"""

import argparse
import gzip
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import sacrebleu
import torch
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

import plmlight

RECIPES = ["cpu-fp32", "cpu-int8", "cpu-int8-dynamic"]
BATCH, BEAMS, NEW, TIMED = 32, 4, 64, 320
Translate = Callable[[Sequence[str]], list[str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("runs/translating"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--recipes", nargs="+", default=RECIPES)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    sides = {"transformers": hugging_face(arguments.model)}
    for recipe in arguments.recipes:
        sides[recipe] = bundle(exported(arguments.work, arguments.model, recipe), arguments.threads)
    sources, references = sentences("de"), sentences("en")
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(arguments.rounds + 1):
        for name, translate in sides.items():
            start = time.perf_counter()
            translate(sources[:TIMED])
            if turn:  # the first is to warm up
                rates[name].append(TIMED / (time.perf_counter() - start))
    found = {name: translate(sources) for name, translate in sides.items()}
    for name, turns in rates.items():
        ratio = statistics.median(ours / theirs for ours, theirs in zip(turns, rates["transformers"], strict=True))
        bleu = sacrebleu.corpus_bleu(found[name], [references]).score
        equal = sum(ours == theirs for ours, theirs in zip(found[name], found["transformers"], strict=True))
        print(
            f"{name}: {statistics.median(turns):.1f} sentences/s, {ratio:.2f} of transformers; BLEU {bleu:.2f}; "
            f"{equal} of {len(sources)} translations equal",
            flush=True,
        )


def sentences(language: str) -> list[str]:
    name = Path(os.environ["PLMLIGHT_DATA"]) / "mt" / f"multi30k.test_2016_flickr.{language}.gz"
    with gzip.open(name, "rt", encoding="utf-8") as handle:
        return [line.strip() for line in handle]


def hugging_face(folder: Path) -> Translate:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()

    @torch.no_grad()
    def translate(texts: Sequence[str]) -> list[str]:
        order = sorted(range(len(texts)), key=lambda place: -len(tokenizer(texts[place])["input_ids"]))
        found = [""] * len(texts)
        for first in range(0, len(order), BATCH):
            places = order[first : first + BATCH]
            inputs = tokenizer([texts[place] for place in places], padding=True, return_tensors="pt")
            out = model.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                num_beams=BEAMS,
                max_new_tokens=NEW,
                do_sample=False,
            )
            for place, text in zip(places, tokenizer.batch_decode(out, skip_special_tokens=True), strict=True):
                found[place] = text.strip()
        return found

    return translate


def bundle(folder: Path, threads: int) -> Translate:
    model = plmlight.runtime.load(folder, provider="cpu", threads=threads)

    def translate(texts: Sequence[str]) -> list[str]:
        answers = model.generate(texts, batch_size=BATCH, num_beams=BEAMS, max_new_tokens=NEW)
        return [answer[0].text.strip() for answer in answers]

    return translate


def exported(work: Path, model: Path, recipe: str) -> Path:
    folder = work / recipe
    if not (folder / "manifest.json").exists():
        root = Path(__file__).parent.parent
        words = ["export", "--checkpoint", model, "--recipe", root / f"export/{recipe}.yaml", "--output", folder]
        subprocess.run([sys.executable, "-m", "plmlight", *map(str, words)], check=True)
    return folder


if __name__ == "__main__":
    main()
