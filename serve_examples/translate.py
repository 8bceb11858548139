"""Translate a file with a bundle of an encoder-decoder, a line a sentence: batches with beams, and how fast that was.

    python serve_examples/translate.py BUNDLE german.txt english.txt

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import sys
import time
from pathlib import Path

from plmlight import runtime


def main(bundle: str, source: str, target: str) -> None:
    """Translates all lines of a file into another."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    with Path(source).open(encoding="utf-8") as lines:
        texts = [line.removesuffix("\n") for line in lines]

    # Lines of similar length run together; a line leaves its batch when its beams are done. What is longer than the
    # model reads is cut and counted in a warning. generate() gives the n best of each with their scores, stream() one
    # answer while it is written.
    start = time.perf_counter()
    answers = model.translate(texts, batch_size=32, num_beams=4, max_new_tokens=128, truncate_source=True)
    seconds = time.perf_counter() - start

    Path(target).write_text("".join(f"{answer}\n" for answer in answers), encoding="utf-8")
    tokens = sum(len(model.target_tokenizer.encode(answer).ids) for answer in answers)
    print(f"# {model.provider}, {len(texts)} lines in {seconds:.1f} s: {len(texts) / seconds:.1f} lines/s, ", end="")
    print(f"{tokens / seconds:.0f} tokens/s")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit("usage: python translate.py BUNDLE SOURCE_FILE TARGET_FILE")
    main(sys.argv[1], sys.argv[2], sys.argv[3])
