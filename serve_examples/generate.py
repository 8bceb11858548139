"""Continue texts with a bundle that `plmlight export` wrote: a batch, and one text as a stream.

    python serve_examples/generate.py BUNDLE "def main(" "import "

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import sys

from plmlight import runtime


def main(bundle: str, texts: list[str]) -> None:
    """Continues the texts together, then streams the first one."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    print(f"# {model.provider}, graph {model.graph}, defaults {model.options}\n")

    # One batch. Each text gets a list of answers: one here, the n best with num_beams and num_return_sequences.
    for text, answers in zip(texts, model.generate(texts, max_new_tokens=32), strict=True):
        print(f"{text}{answers[0].text}\n# {answers[0].finish_reason}\n")

    # A stream: whole characters only, as soon as they are certain.
    print(texts[0], end="", flush=True)
    for piece in model.stream(texts[0], max_new_tokens=64, temperature=0.8, top_p=0.95, stop=["\n\n"], seed=1):
        print(piece.text, end="", flush=True)
    print()


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python generate.py BUNDLE TEXT [TEXT ...]")
    main(sys.argv[1], sys.argv[2:])
