"""Reading SentencePiece models: the few fields of the protobuf that decide how text is cut."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

UNKNOWN, CONTROL, USER_DEFINED = 2, 3, 4
"""Types of pieces that are not ordinary ones."""

_KINDS = {1: "unigram", 2: "bpe", 3: "word", 4: "char"}


@dataclass(frozen=True)
class SentencePiece:
    """What a ``spiece.model`` says (https://github.com/google/sentencepiece, sentencepiece_model.proto).

    Attributes:
        pieces: each piece with its score, in the order of the ids.
        types: of each piece: 1 is ordinary, others are `UNKNOWN`, `CONTROL`, `USER_DEFINED`, 5 unused, 6 a byte.
        kind: ``unigram``, ``bpe``, ``word`` or ``char``.
        byte_fallback: whether unknown characters become bytes.
        charsmap: the normaliser's precompiled table; empty for none.
        add_dummy_prefix: whether a space is put before the text.
        remove_extra_whitespaces: whether spaces at the ends and repeated ones go.
    """

    pieces: list[tuple[str, float]]
    types: list[int]
    kind: str
    byte_fallback: bool
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool


def read_sentencepiece(path: str | Path) -> SentencePiece:
    """Reads a SentencePiece model.

    Args:
        path: the file.

    Returns:
        What it says.

    Raises:
        ValueError: when the file is none.
    """
    try:
        return _parse(Path(path).read_bytes())
    except (ValueError, struct.error) as error:
        raise ValueError(f"{path}: not a SentencePiece model ({error})") from None


def _parse(data: bytes) -> SentencePiece:
    pieces: list[tuple[str, float]] = []
    types: list[int] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for number, value in _fields(data):
        if number == 1:
            piece = dict(_fields(_bytes(value)))
            score = struct.unpack("<f", _bytes(piece.get(2, bytes(4))))[0]
            # nine digits tell all float32 apart, and stay the same through a tokenizer.json
            pieces.append((_bytes(piece.get(1, b"")).decode(), float(f"{score:.9g}")))
            types.append(_int(piece.get(3, 1)))
        elif number == 2:
            trainer.update(_fields(_bytes(value)))
        elif number == 3:
            normalizer.update(_fields(_bytes(value)))
    if not pieces:
        raise ValueError("it has no pieces")
    kind = _int(trainer.get(3, 1))
    if kind not in _KINDS:
        raise ValueError(f"its kind {kind} is unknown")
    return SentencePiece(
        pieces,
        types,
        _KINDS[kind],
        byte_fallback=bool(_int(trainer.get(35, 0))),
        charsmap=_bytes(normalizer.get(2, b"")),
        add_dummy_prefix=bool(_int(normalizer.get(3, 1))),
        remove_extra_whitespaces=bool(_int(normalizer.get(4, 1))),
    )


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message: variable-length integers as integers, all others as bytes."""
    at = 0
    while at < len(data):
        key, at = _integer(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _integer(data, at)
            yield number, value
            continue
        if wire not in (1, 2, 5) or number == 0:
            raise ValueError(f"byte {at}: wire type {wire} of field {number}")
        size = {1: 8, 5: 4}.get(wire, 0)
        if wire == 2:
            size, at = _integer(data, at)
        if at + size > len(data):
            raise ValueError(f"byte {at}: field {number} is cut off")
        yield number, data[at : at + size]
        at += size


def _integer(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            raise ValueError("it is cut off")
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError(f"byte {at}: an integer has no end")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError("an integer where bytes were expected")
    return value


def _int(value: int | bytes) -> int:
    if isinstance(value, bytes):
        raise ValueError("bytes where an integer was expected")
    return value
