"""Find the names in the lines of a file with a bundle of a tagger, in batches, and mark them in the text.

    python serve_examples/tag.py BUNDLE texts.txt

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import sys
from pathlib import Path

from plmlight import runtime


def main(bundle: str, file: str) -> None:
    """Prints each line with brackets around what was found in it."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    texts = [line for line in Path(file).read_text(encoding="utf-8").split("\n") if line.strip()]

    # A span has its text, where it begins and ends in the line (in characters), its label and a score. A sentence that
    # is cut into words already is a list of them; then spans count words.
    for text, spans in zip(texts, model.tag(texts, batch_size=32), strict=True):
        marked, place = "", 0
        for span in spans:
            marked += f"{text[place : span.start]}[{span.label} {span.text}]"
            place = span.end
        print(marked + text[place:])


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python tag.py BUNDLE FILE")
    main(sys.argv[1], sys.argv[2])
