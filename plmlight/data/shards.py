"""Text tokenised once, into files that are mapped into memory."""

from __future__ import annotations

import hashlib
import itertools
import json
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.data.readers import Piece
from plmlight.data.sampling import Indices
from plmlight.data.words import WordStarts, tokens_that_begin_words
from plmlight.text import (
    document_separator,
    load_tokenizer,
    replace_folder,
    save_tokenizer,
    special_token_ids,
    tokenizer_hash,
    vocabulary_size,
)

FORMAT = 1
_BATCH = 2**21  # characters that go to the tokenizer at once
_PROBE = "The naïve fox, aged 12, jumped over it's dogs.\nAnd 中文 too. ok"


_Encoded = tuple[list[Piece], list[list[int]], list[list[bool]]]
"""Pieces, their tokens, and for each token whether a word begins in it, where that is asked for."""


@dataclass(frozen=True)
class Manifest:
    """What stands in ``manifest.json``.

    Args:
        tokens: their number, separators included.
        documents: their number.
        bytes: UTF-8 bytes of text.
        dtype: ``uint16`` or ``uint32``, little-endian.
        separator: the token after each document, if any.
        unknown_percent: share of tokens for which the vocabulary has no word.
        text_sha256: of the text of all documents, each followed by a zero byte.
        tokenizer_sha256: `plmlight.text.tokenizer_hash`.
        vocab_size: V.
        packing: what cutting into blocks would cost (`packing_report`), where a block length was given.
        sentences: their number, where it is kept where they start.
        words: what found words, where it is kept which tokens begin one.
        format: the version of this layout.
    """

    tokens: int
    documents: int
    bytes: int
    dtype: str
    separator: int | None
    unknown_percent: float
    text_sha256: str
    tokenizer_sha256: str
    vocab_size: int
    packing: dict[str, float | int] | None = None
    sentences: int | None = None
    words: str | None = None
    format: int = FORMAT


class Shards:
    """A folder of tokenised text, opened.

    ``tokens.bin`` holds the tokens, ``documents.npy`` [M+1] where each document starts, ``counts.npy`` [V] how often
    each token stands there, ``tokenizer.json`` what made them, ``manifest.json`` all else. Optional are
    ``sentences.npy`` [S+1], where each sentence starts, and ``words.bin`` [N], 1 for a token that begins a word.

    Args:
        folder: what `write_shards` wrote.

    Raises:
        ValueError: when the folder holds no shards, or not all of them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        manifest = self.folder / "manifest.json"
        try:
            self.manifest = Manifest(**json.loads(manifest.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise ValueError(f"{manifest}: not the manifest of tokenised text ({error})") from None
        expected = self.manifest.tokens * np.dtype(self.manifest.dtype).itemsize
        size = self._file("tokens.bin").stat().st_size
        if size != expected or self.manifest.format != FORMAT:
            raise ValueError(f"{self.folder}/tokens.bin: has {size} bytes, expected {expected}; prepare it again")
        self.documents: Indices = np.load(self._file("documents.npy"))
        self.counts: Indices = np.load(self._file("counts.npy"))
        self.tokens: NDArray[Any] = np.zeros(0, self.manifest.dtype)
        if self.manifest.tokens:
            self.tokens = np.memmap(self.folder / "tokens.bin", self.manifest.dtype, "r")
        self.sentences: Indices | None = None
        if self.manifest.sentences is not None:
            self.sentences = np.load(self._file("sentences.npy"), mmap_mode="r")
        self.words: NDArray[np.uint8] | None = None
        if self.manifest.words is not None and self.manifest.tokens:
            self.words = np.memmap(self._file("words.bin"), np.uint8, "r")

    def _file(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            raise ValueError(f"{path}: missing; prepare it again")
        return path

    def tokenizer(self) -> Tokenizer:
        """The tokenizer that made the tokens."""
        return load_tokenizer(self.folder / "tokenizer.json")


def is_shards(folder: str | Path) -> bool:
    """Whether a folder holds tokenised text.

    Args:
        folder: any path.

    Returns:
        True if `Shards` would open it, damage apart.
    """
    return (Path(folder) / "tokens.bin").exists() and (Path(folder) / "manifest.json").exists()


def write_shards(
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    folder: str | Path,
    end_of_document: bool = True,
    block_length: int | None = None,
    advance: Callable[[int], None] = lambda done: None,
    sentences: bool = False,
    words: tuple[str, WordStarts] | None = None,
) -> Shards:
    """Tokenises documents; the folder appears when it is complete, and not before.

    Args:
        pieces: what `plmlight.data.readers.read` yields.
        tokenizer: used without its template: no ``[CLS]`` and the like is added.
        folder: where to write.
        end_of_document: put the tokenizer's end-of-text (or separator) token after each document, if it has one.
        block_length: adds `packing_report` for blocks of so many tokens to the manifest.
        advance: is told how many more bytes of text are done.
        sentences: each piece is a sentence: it is tokenised by itself, and it is kept where it starts.
        words: keeps which tokens begin a word: what finds words, and its name.

    Returns:
        The shards, opened.

    Raises:
        OSError: when the disk is full, naming the file.
    """
    size = vocabulary_size(tokenizer)
    separator = document_separator(tokenizer) if end_of_document else None
    writer = _Writer(np.dtype("<u2" if size <= 2**16 else "<u4"), separator, size)
    if words is not None and separator is not None:
        raise ValueError("end_of_document and words: no word begins with a separator, so that only one can be had")
    if not sentences and not _may_cut(tokenizer):
        pieces = _joined(pieces)
    with replace_folder(folder) as temporary:
        try:
            with ExitStack() as stack:
                tokens = stack.enter_context(open(temporary / "tokens.bin", "wb"))
                begins = stack.enter_context(open(temporary / "words.bin", "wb")) if words else None
                for batch, ids, starts in _encoded(_batches(pieces), tokenizer, words[1] if words else None):
                    tokens.write(writer.add(batch, ids).tobytes())
                    if begins is not None:
                        begins.write(bytes(itertools.chain.from_iterable(starts)))
                    advance(sum(len(piece.text.encode()) for piece in batch))
            documents = np.array([*writer.starts, writer.tokens], dtype=np.int64)
            np.save(temporary / "documents.npy", documents)
            np.save(temporary / "counts.npy", writer.counts)
            if sentences:
                np.save(temporary / "sentences.npy", np.array([*writer.pieces, writer.tokens], dtype=np.int64))
            save_tokenizer(tokenizer, temporary)
            packing = packing_report(documents, block_length) if block_length else None
            manifest = replace(
                writer.manifest(tokenizer, packing),
                sentences=len(writer.pieces) if sentences else None,
                words=words[0] if words else None,
            )
            (temporary / "manifest.json").write_text(json.dumps(asdict(manifest), indent=2) + "\n")
        except OSError as error:
            if error.filename is None:  # a failed write does not say where
                raise OSError(error.errno, error.strerror, str(Path(folder) / "tokens.bin")) from error
            raise
    return Shards(folder)


def packing_report(documents: Indices, block_length: int, overlap: int = 1) -> dict[str, float | int]:
    """What packing costs.

    Args:
        documents: [M+1], where each document starts, and the number of tokens.
        block_length: L.
        overlap: as in `plmlight.data.packing.Blocks`.

    Returns:
        ``block_length``; ``blocks``; ``padding_percent``: padding in the blocks that cover each token;
        ``truncated_percent``: documents that a block's end cuts in two.
    """
    total, stride = int(documents[-1]), block_length - overlap
    blocks = max(1, -(-(total - overlap) // stride))
    capacity = overlap + blocks * stride
    first = documents[:-1] // stride  # the last block that holds a document's first token, ...
    last = (documents[1:] - 1 - overlap) // stride  # ... and the first that holds its last
    cut = first < last
    return {
        "block_length": block_length,
        "blocks": blocks,
        "padding_percent": round(100 * (capacity - total) / capacity, 4),
        "truncated_percent": round(100 * float(cut.mean()), 4),
    }


class _Writer:
    """Turns batches of token ids into what the files hold."""

    def __init__(self, dtype: np.dtype[Any], separator: int | None, vocab_size: int) -> None:
        self._dtype, self._separator = dtype, separator
        self._bytes, self._hash, self._open = 0, hashlib.sha256(), False
        self.counts = np.zeros(vocab_size, dtype=np.int64)
        self.starts, self.pieces = array("q"), array("q")
        self.tokens = 0

    def add(self, batch: list[Piece], encoded: list[list[int]]) -> NDArray[Any]:
        parts = []
        for piece, ids in zip(batch, encoded, strict=True):
            if not self._open:
                self.starts.append(self.tokens)
            self.pieces.append(self.tokens)
            self._open = not piece.last
            text = piece.text.encode()
            self._hash.update(text + b"\0" if piece.last else text)
            self._bytes += len(text)
            if piece.last and self._separator is not None:
                ids.append(self._separator)
            self.tokens += len(ids)
            parts.append(np.array(ids, dtype=self._dtype))
        tokens = np.concatenate(parts)
        self.counts += np.bincount(tokens, minlength=len(self.counts))
        return tokens

    def manifest(self, tokenizer: Tokenizer, packing: dict[str, float | int] | None) -> Manifest:
        unknown = special_token_ids(tokenizer).get("unk")
        unknown_count = 0 if unknown is None else int(self.counts[unknown])
        return Manifest(
            tokens=self.tokens,
            documents=len(self.starts),
            bytes=self._bytes,
            dtype=self._dtype.name,
            separator=self._separator,
            unknown_percent=round(100 * unknown_count / max(1, self.tokens), 4),
            text_sha256=self._hash.hexdigest(),
            tokenizer_sha256=tokenizer_hash(tokenizer),
            vocab_size=len(self.counts),
            packing=packing,
        )


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    batch: list[Piece] = []
    characters = 0
    for piece in pieces:
        batch.append(piece)
        characters += len(piece.text)
        if characters >= _BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _may_cut(tokenizer: Tokenizer) -> bool:
    """Whether text cut before spaces gives the tokens of the whole: not if a tokenizer marks the start of its input."""
    places = [i for i in range(1, len(_PROBE)) if _PROBE[i] == " " and not _PROBE[i - 1].isspace()]
    cut = [_PROBE[a:b] for a, b in zip([0, *places], [*places, len(_PROBE)], strict=True)]
    parts = [id_ for text in cut for id_ in tokenizer.encode(text, add_special_tokens=False).ids]
    return parts == tokenizer.encode(_PROBE, add_special_tokens=False).ids


def _joined(pieces: Iterable[Piece]) -> Iterator[Piece]:
    held: list[str] = []
    for piece in pieces:
        held.append(piece.text)
        if piece.last:
            yield Piece("".join(held), last=True)
            held = []


def _encoded(batches: Iterable[list[Piece]], tokenizer: Tokenizer, words: WordStarts | None) -> Iterator[_Encoded]:
    """Encodes one batch (on all processors, outside Python's lock) while the caller writes the one before."""

    def encode(batch: list[Piece]) -> _Encoded:
        texts = [piece.text for piece in batch]
        if words is None:
            return batch, [found.ids for found in tokenizer.encode_batch_fast(texts, add_special_tokens=False)], []
        encodings = tokenizer.encode_batch(texts, add_special_tokens=False)  # the fast one tells no offsets
        starts = [
            tokens_that_begin_words(found.offsets, words(text)) for text, found in zip(texts, encodings, strict=True)
        ]
        return batch, [found.ids for found in encodings], starts

    with ThreadPoolExecutor(1) as pool:
        waiting = None
        for batch in batches:
            coming = pool.submit(encode, batch)
            if waiting is not None:
                yield waiting.result()
            waiting = coming
        if waiting is not None:
            yield waiting.result()
