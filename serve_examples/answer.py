"""Answer questions about a text with a bundle of a question answerer: the best parts of it, and where they stand.

    python serve_examples/answer.py BUNDLE text.txt "When was it built?" "Who built it?"

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import sys
from pathlib import Path

from plmlight import runtime


def main(bundle: str, file: str, *questions: str) -> None:
    """Prints three answers to each question, with the text around them."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    context = Path(file).read_text(encoding="utf-8")

    # A text that is longer than the model reads is read in windows that overlap. An answer is a part of the text,
    # character by character; one without text says that there is none. Many questions about many texts run in batches
    # by model.answers([{"question": ..., "context": ...}, ...], batch_size=32).
    for question in questions:
        print(question)
        for answer in model.answer(question, context, n_best=3):
            if answer.start is None:
                print(f"  {answer.score:.3f}  (no answer)")
                continue
            around = context[max(0, answer.start - 30) : answer.end + 30].replace("\n", " ")
            print(f"  {answer.score:.3f}  {answer.text}    ... {around} ...")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python answer.py BUNDLE FILE QUESTION [QUESTION ...]")
    main(*sys.argv[1:])
