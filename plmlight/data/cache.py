"""What is built once and found again by its content: trained tokenizers and tokenised text."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock
from tokenizers import Tokenizer

from plmlight.data.progress import progress_bar, text_size
from plmlight.data.readers import Documents, DocumentUnit, read
from plmlight.data.shards import FORMAT, Shards, is_shards, write_shards
from plmlight.data.sources import Source
from plmlight.text import TokenizerKind, load_tokenizer, save_tokenizer, tokenizer_hash, train_tokenizer

TRAINING_TEXT = 2**28
"""Characters of a corpus from which its tokenizer is trained, at most: its first ones."""


def cache_root(folder: str | Path | None = None) -> Path:
    """Where things are kept.

    Args:
        folder: the user's choice.

    Returns:
        That, else ``$PLMLIGHT_CACHE``, else ``$XDG_CACHE_HOME/plmlight``, else ``~/.cache/plmlight``.
    """
    if folder is not None:
        return Path(folder).expanduser()
    if "PLMLIGHT_CACHE" in os.environ:
        return Path(os.environ["PLMLIGHT_CACHE"]).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "plmlight"


class Cache:
    """Builds under a file lock, so that of many processes one does the work and the others wait for it.

    Args:
        folder: as in `cache_root`.
        text_field: as in `plmlight.data.readers.read`.
        document: as in `plmlight.data.readers.read`.
    """

    def __init__(self, folder: str | Path | None, text_field: str, document: DocumentUnit) -> None:
        self._root = cache_root(folder)
        self._field, self._document = text_field, document

    def tokenizer(self, sources: Sequence[Source], kind: TokenizerKind, vocab_size: int) -> Tokenizer:
        """A tokenizer trained on some text.

        Args:
            sources: the text, of which the first `TRAINING_TEXT` characters are used.
            kind: as in `train_tokenizer`.
            vocab_size: as in `train_tokenizer`.

        Returns:
            The tokenizer, trained now or earlier.
        """

        def build(folder: Path) -> None:
            documents = Documents(sources, self._field, self._document, TRAINING_TEXT)
            save_tokenizer(train_tokenizer(documents, kind, vocab_size), folder)

        key = {"text": self._text(sources), "kind": kind, "vocab_size": vocab_size, "limit": TRAINING_TEXT}
        return load_tokenizer(self._once("tokenizers", key, lambda at: (at / "tokenizer.json").exists(), build))

    def shards(self, sources: Sequence[Source], tokenizer: Tokenizer, end_of_document: bool) -> Shards:
        """Tokenised text.

        Args:
            sources: the text.
            tokenizer: who cuts it.
            end_of_document: as in `write_shards`.

        Returns:
            The shards, written now or earlier.
        """

        def build(folder: Path) -> None:
            with progress_bar("Tokenising", text_size(sources)) as advance:
                pieces = read(sources, self._field, self._document)
                write_shards(pieces, tokenizer, folder, end_of_document, advance=advance)

        key = {"text": self._text(sources), "tokenizer": tokenizer_hash(tokenizer), "end": end_of_document}
        return Shards(self._once("shards", key, is_shards, build))

    def _text(self, sources: Sequence[Source]) -> list[Any]:
        contents = [(source.kind, source.identity(self._root / "hashes")) for source in sources]
        return [FORMAT, self._field, self._document, contents]

    def _once(self, what: str, key: Any, exists: Callable[[Path], bool], build: Callable[[Path], None]) -> Path:
        folder = self._root / what / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        if not exists(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not exists(folder):
                    build(folder)
        return folder
