"""Files become text and lines, unpacked and decoded, streamed."""

from __future__ import annotations

import bz2
import codecs
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import IO, Any

import fsspec
import zstandard

from plmlight.data.sources import Source, compression

_BLOCK = 2**20
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, zstandard.ZstdError, gzip.BadGzipFile)


def _blocks(source: Source) -> Iterator[bytes]:
    with fsspec.open(source.name, "rb") as raw:
        try:
            yield from _UNPACK[compression(source.name)](raw)
        except _DAMAGED as error:
            raise ValueError(f"{source.name}: the compressed data is damaged or cut off ({error})") from None


def _plain(raw: IO[bytes]) -> Iterator[bytes]:
    while block := raw.read(_BLOCK):
        yield block


def _zstandard(raw: IO[bytes]) -> Iterator[bytes]:
    frame = None
    for block in _plain(raw):
        while block:
            frame = frame or zstandard.ZstdDecompressor().decompressobj()
            yield frame.decompress(block)
            block = frame.unused_data if frame.eof else b""
            frame = None if frame.eof else frame
    if frame is not None:
        raise EOFError("the last frame has no end")


def _through(opened: Callable[[Any], Any]) -> Callable[[IO[bytes]], Iterator[bytes]]:
    def unpack(raw: IO[bytes]) -> Iterator[bytes]:
        with opened(raw) as unpacked:
            yield from _plain(unpacked)

    return unpack


_UNPACK: dict[str, Callable[[IO[bytes]], Iterator[bytes]]] = {
    "": _plain,
    ".gz": _through(lambda raw: gzip.GzipFile(fileobj=raw)),
    ".bz2": _through(bz2.BZ2File),
    ".xz": _through(lzma.LZMAFile),
    ".zst": _zstandard,
}


def decoded(source: Source) -> Iterator[str]:
    """Streams the text of a file.

    Args:
        source: the file.

    Yields:
        Parts of it, without a byte order mark.

    Raises:
        ValueError: for bytes that are not in the source's encoding (file and offset), and damaged compression.
    """
    decoder = codecs.getincrementaldecoder(source.encoding)()
    read_bytes = 0
    for block in _blocks(source):
        offset = read_bytes - len(decoder.getstate()[0])
        text = _decode(decoder, block, False, source, offset)
        yield text.removeprefix("\ufeff") if read_bytes == 0 else text
        read_bytes += len(block)
    yield _decode(decoder, b"", True, source, read_bytes - len(decoder.getstate()[0]))


def _decode(decoder: codecs.IncrementalDecoder, block: bytes, final: bool, source: Source, offset: int) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        where = offset + error.start
        unpacked = " of the unpacked text" if compression(source.name) else ""
        byte = error.object[error.start]
        raise ValueError(
            f"{source.name}: byte 0x{byte:02x} at offset {where}{unpacked} is not {source.encoding.upper()}; convert "
            "the file to UTF-8"
        ) from None


def lines(source: Source) -> Iterator[str]:
    """Streams the lines of a text file.

    Args:
        source: the file.

    Yields:
        Lines without their end, split at line feeds only.
    """
    rest = ""
    for chunk in decoded(source):
        *whole, rest = (rest + chunk).split("\n")
        for line in whole:
            yield line.removesuffix("\r")
    if rest:
        yield rest
