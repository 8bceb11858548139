"""Find the text that is most like a question, with a bundle that embeds: one batch, and a search in it.

    python serve_examples/embed.py BUNDLE "How do I cook rice?" "Boiling rice takes twenty minutes." "Paris is a city."

Needs numpy, onnxruntime and tokenizers, and of plmlight only what has no further dependency: no torch.
"""

import sys

import numpy as np

from plmlight import runtime


def main(bundle: str, question: str, texts: list[str]) -> None:
    """Embeds texts and question, and lists the texts by their similarity."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    vectors = model.embed([question, *texts], batch_size=32)  # [1 + N, D], float32; long texts are cut
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    similarities = vectors[1:] @ vectors[0]
    print(f"# {model.provider}, {vectors.shape[1]} numbers a text, most similar first\n")
    for place in np.argsort(-similarities):
        print(f"{similarities[place]:.4f}  {texts[place]}")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit("usage: python embed.py BUNDLE QUESTION TEXT [TEXT ...]")
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
