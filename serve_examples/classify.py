"""Classify the lines of a file with a bundle of a classifier, in batches: a JSON line each, and how fast that was.

    python serve_examples/classify.py BUNDLE texts.txt > labels.jsonl

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import json
import sys
import time
from pathlib import Path

from plmlight import runtime


def main(bundle: str, file: str) -> None:
    """Names the class of each line."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    texts = [line for line in Path(file).read_text(encoding="utf-8").split("\n") if line.strip()]

    # Lines of similar length run together. A pair is a tuple of two texts; classify() gives all classes of each text,
    # answers() what JSON can say: thresholds of several labels are applied there, and a regression is one number.
    start = time.perf_counter()
    answers = model.answers([{"text": text} for text in texts], batch_size=32)
    seconds = time.perf_counter() - start

    for text, answer in zip(texts, answers, strict=True):
        print(json.dumps({"text": text, **answer}, ensure_ascii=False))
    print(f"# {model.provider}, {len(texts)} texts in {seconds:.2f} s", file=sys.stderr)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python classify.py BUNDLE FILE")
    main(sys.argv[1], sys.argv[2])
