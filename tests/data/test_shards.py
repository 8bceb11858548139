import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from plmlight.data import Shards
from plmlight.data import shards as shards_module
from plmlight.data.readers import PIECE, Piece, read
from plmlight.data.shards import is_shards, write_shards
from plmlight.data.sources import resolve
from plmlight.text import TokenizerKind, tokenizer_hash, train_tokenizer, vocabulary_size

TEXTS = ["One fish, two fish.\n", "Red é fish", "x"]


def whole(texts: Iterable[str]) -> list[Piece]:
    return [Piece(text, last=True) for text in texts]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(TEXTS, "byte-bpe", 270)


def test_tokens_documents_counts_and_manifest(tmp_path: Path, tokenizer: Tokenizer) -> None:
    written = write_shards(whole(TEXTS), tokenizer, tmp_path / "out")
    opened = Shards(tmp_path / "out")
    documents = [[*tokenizer.encode(text).ids, 0] for text in TEXTS]
    ids = [id_ for document in documents for id_ in document]
    assert opened.tokens.tolist() == ids
    assert opened.documents.tolist() == np.cumsum([0, *map(len, documents)]).tolist()
    assert opened.counts.tolist() == np.bincount(ids, minlength=vocabulary_size(tokenizer)).tolist()
    manifest = opened.manifest
    assert manifest == written.manifest
    assert (manifest.tokens, manifest.documents, manifest.dtype, manifest.separator) == (len(ids), 3, "uint16", 0)
    assert manifest.bytes == len("".join(TEXTS).encode())
    assert manifest.tokenizer_sha256 == tokenizer_hash(tokenizer) == tokenizer_hash(opened.tokenizer())


def test_documents_without_separator(tmp_path: Path, tokenizer: Tokenizer) -> None:
    opened = write_shards(whole(TEXTS), tokenizer, tmp_path / "out", end_of_document=False)
    assert opened.tokens.tolist() == [id_ for text in TEXTS for id_ in tokenizer.encode(text).ids]
    assert opened.manifest.separator is None


def test_large_vocabulary_takes_four_bytes(tmp_path: Path) -> None:
    characters = "".join(map(chr, range(0x4E00, 0x4E00 + 70_000)))
    characters = "".join(c for c in characters if not 0xD800 <= ord(c) < 0xE000)
    wide = train_tokenizer([characters], "character", 80_000)
    opened = write_shards(whole([characters]), wide, tmp_path / "out")
    assert opened.manifest.dtype == "uint32"
    assert opened.tokenizer().decode(opened.tokens[:-1].tolist()) == characters


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    narrow = train_tokenizer(["ab"], "character", 10)
    opened = write_shards(whole(["abZ"]), narrow, tmp_path / "out", end_of_document=False)
    assert opened.manifest.unknown_percent == pytest.approx(33.3333)


@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "wordpiece", "unigram", "character", "byte"])
def test_long_document_has_the_tokens_of_the_whole(tmp_path: Path, kind: TokenizerKind) -> None:
    text = "It's a naïve fox,  aged 12.\n\n  def f(x):\n\treturn 3.14 and 中文 " * 5000
    assert len(text) > 4 * PIECE
    (tmp_path / "a.txt").write_text(text)
    trained = train_tokenizer([text[:5000]], kind, 300)
    found = write_shards(read(resolve(str(tmp_path / "a.txt"))), trained, tmp_path / "out", end_of_document=False)
    assert found.tokens.tolist() == trained.encode(text, add_special_tokens=False).ids
    assert found.manifest.documents == 1


def test_many_batches_keep_their_order(tmp_path: Path, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = write_shards(whole(TEXTS * 20), tokenizer, tmp_path / "one").tokens
    monkeypatch.setattr(shards_module, "_BATCH", 8)
    advanced: list[int] = []
    found = write_shards(whole(TEXTS * 20), tokenizer, tmp_path / "many", advance=advanced.append)
    assert np.array_equal(found.tokens, expected)
    assert len(advanced) > 20
    assert sum(advanced) == found.manifest.bytes


def test_text_hash_knows_where_documents_end(tmp_path: Path, tokenizer: Tokenizer) -> None:
    hashes = [
        write_shards(pieces, tokenizer, tmp_path / "out").manifest.text_sha256
        for pieces in (whole(["ab", "c"]), whole(["a", "bc"]), [Piece("a", False), Piece("b", True), Piece("c", True)])
    ]
    assert hashes[0] == hashes[2] != hashes[1]


def test_error_while_writing_leaves_nothing(tmp_path: Path, tokenizer: Tokenizer) -> None:
    def broken() -> Iterable[Piece]:
        yield from whole(TEXTS)
        raise ValueError("a.txt: bad")

    with pytest.raises(ValueError, match=r"a\.txt: bad"):
        write_shards(broken(), tokenizer, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_full_disk_names_the_file_and_leaves_the_old_shards(tmp_path: Path) -> None:
    pytest.importorskip("resource")
    source = """
import resource, signal, sys
from plmlight.data.readers import Piece
from plmlight.data.shards import write_shards
from plmlight.text import train_tokenizer
tokenizer = train_tokenizer(["abc"], "byte", 257)
write_shards([Piece("old", True)], tokenizer, sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    write_shards([Piece("new" * 10**5, True)], tokenizer, sys.argv[1])
except OSError as error:
    print(error.filename)
"""
    out = tmp_path / "out"
    run = subprocess.run([sys.executable, "-c", source, str(out)], capture_output=True, text=True, check=True)
    assert run.stdout == f"{out}/tokens.bin\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert Shards(out).manifest.bytes == 3


def test_incomplete_shards_are_refused(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json: not the manifest of tokenised text"):
        Shards(tmp_path)
    out = tmp_path / "out"
    size = write_shards(whole(TEXTS), tokenizer, out).manifest.tokens * 2
    (out / "tokens.bin").write_bytes((out / "tokens.bin").read_bytes()[:-2])
    with pytest.raises(ValueError, match=rf"tokens\.bin: has {size - 2} bytes, expected {size}; prepare it again"):
        Shards(out)
    write_shards(whole(TEXTS), tokenizer, out)
    (out / "documents.npy").unlink()
    assert is_shards(out)
    with pytest.raises(ValueError, match=r"documents\.npy: missing; prepare it again"):
        Shards(out)


def test_manifest_of_another_program_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(json.dumps({"tokens": 3}))
    with pytest.raises(ValueError, match=r"manifest\.json: not the manifest of tokenised text"):
        Shards(tmp_path)


def test_preparing_text_loads_no_torch() -> None:
    source = "import sys, plmlight.data.shards, plmlight.data.cache; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
