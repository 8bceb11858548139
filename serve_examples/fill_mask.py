"""Name the words that a mask may stand for, with a bundle of a masked language model: a batch of texts.

    python serve_examples/fill_mask.py BUNDLE "Paris is the [MASK] of France." "It was a [MASK] and [MASK] night."

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import sys

from plmlight import runtime


def main(bundle: str, texts: list[str]) -> None:
    """Fills the masks of all texts together."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    print(f"# {model.provider}, a mask is written {model.mask_token}\n")

    # Each text gets a list of masks, each mask its likeliest tokens, best first.
    for text, masks in zip(texts, model.fill(texts, top_k=3), strict=True):
        print(text)
        for answers in masks:
            print("  " + ", ".join(f"{answer.token} {answer.score:.3f}" for answer in answers))
        print(f"  {masks[0][0].text}\n")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python fill_mask.py BUNDLE TEXT [TEXT ...]")
    main(sys.argv[1], sys.argv[2:])
