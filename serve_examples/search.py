"""Search documents by what they mean, with a bundle that embeds: they are embedded once, and kept beside the bundle.

    python serve_examples/search.py BUNDLE documents.jsonl "How do I cook rice?" [CROSS_ENCODER]

With the bundle of a classifier of pairs, a cross-encoder, the 50 nearest documents are ordered by what that says.
Each line of the documents is an object with a "text" and whatever else one wants to see of it. The index is written to
the folder documents.index, where the next question finds it; delete the folder when the documents or the model change.
Needs numpy, onnxruntime, tokenizers and safetensors, and of plmlight only what has no further dependency: no torch.
"""

import json
import sys
from pathlib import Path

from plmlight import runtime
from plmlight.decoding import TextIndex


def main(bundle: str, file: str, query: str, cross_encoder: str | None = None) -> None:
    """Embeds the documents, unless that was done before, and lists the five that suit the query best."""
    model = runtime.load(bundle)  # provider="cuda" and threads=4 are strict: what can not be had is an error
    folder = Path(file).with_suffix(".index")
    if folder.is_dir():
        index = TextIndex.load(folder, model)
    else:
        lines = Path(file).read_text(encoding="utf-8").split("\n")
        index = model.index([json.loads(line) for line in lines if line.strip()], batch_size=64)
        index.save(folder)
    print(f"# {model.provider}, {len(index.documents)} documents, best first\n")
    if cross_encoder is None:
        found = index.search(query, top_k=5)
    else:
        found = index.search(query, top_k=5, rerank=runtime.load(cross_encoder), candidates=50)
    for match in found:
        print(f"{match.score:.4f}  {match.document['text']}")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit('usage: python search.py BUNDLE DOCUMENTS.jsonl "QUERY" [CROSS_ENCODER]')
    main(*sys.argv[1:])
