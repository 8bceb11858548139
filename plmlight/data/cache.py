"""What is built once and found again by its content: trained tokenizers and tokenised text."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock
from tokenizers import Tokenizer

from plmlight.data.phrases import Phrases, find_phrases
from plmlight.data.progress import progress_bar, text_size
from plmlight.data.readers import Documents, DocumentUnit, Piece, read
from plmlight.data.sentences import sentence_pieces
from plmlight.data.shards import FORMAT, Shards, is_shards, write_shards
from plmlight.data.sources import Source
from plmlight.data.words import WordSegmentation, segmentation, word_starts
from plmlight.text import TokenizerKind, load_tokenizer, replace_file, save_tokenizer, tokenizer_hash, train_tokenizer
from plmlight.text.training import FULL_WIDTH

TRAINING_TEXT = 2**28
"""Characters of a corpus from which its tokenizer is trained, at most: its first ones."""

SENTENCES = 1
"""The version of the rules by which text is cut into sentences: another number, and it is cut again."""


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


class Text(Protocol):
    """What can be tokenised."""

    @property
    def sources(self) -> Sequence[Source]:
        """The files."""

    @property
    def sentences(self) -> bool:
        """Whether each of the `pieces` is a sentence."""

    def pieces(self) -> Iterator[Piece]:
        """The text, streamed."""

    def sample(self, limit: int) -> Iterable[str]:
        """About the first ``limit`` characters, to go through as often as needed."""

    def identity(self, contents: list[Any]) -> list[Any]:
        """What decides which text is read, apart from the sources, whose kinds and hashes are given."""


@dataclass(frozen=True)
class DocumentText:
    """Documents.

    Args:
        sources: what `plmlight.data.sources.resolve` found.
        text_field: as in `plmlight.data.readers.read`.
        document: as in `plmlight.data.readers.read`.
        sentences: cut them into sentences.
    """

    sources: Sequence[Source]
    text_field: str
    document: DocumentUnit
    sentences: bool = False

    def pieces(self) -> Iterator[Piece]:
        """Parts of documents, or sentences."""
        pieces = read(self.sources, self.text_field, self.document)
        return sentence_pieces(pieces) if self.sentences else pieces

    def sample(self, limit: int) -> Iterable[str]:
        """The first documents."""
        return Documents(self.sources, self.text_field, self.document, limit)

    def identity(self, contents: list[Any]) -> list[Any]:
        """How the sources are read."""
        return [FORMAT, self.text_field, self.document, contents]


@dataclass(frozen=True)
class PhraseText:
    """Text whose phrases are joined: words with single spaces between them, and nothing else.

    Args:
        text: of documents.
        phrases: which.
    """

    text: DocumentText
    phrases: Phrases

    @property
    def sources(self) -> Sequence[Source]:
        """The files."""
        return self.text.sources

    @property
    def sentences(self) -> bool:
        """No: the pieces are parts of documents."""
        return False

    def pieces(self) -> Iterator[Piece]:
        """Parts of documents; no phrase reaches from one into the next."""
        return (Piece(f" {self.phrases.join(piece.text)} ", piece.last) for piece in self.text.pieces())

    def sample(self, limit: int) -> Iterable[str]:
        """The first documents, each time read anew."""
        return _Joined(self, limit)

    def identity(self, contents: list[Any]) -> list[Any]:
        """Of the text, and which phrases."""
        listed = json.dumps([sorted(pairs) for pairs in self.phrases.passes])
        return [*self.text.identity(contents), hashlib.sha256(listed.encode()).hexdigest(), self.phrases.lowercase]


@dataclass(frozen=True)
class _Joined:
    text: PhraseText
    limit: int

    def __iter__(self) -> Iterator[str]:
        return (self.text.phrases.join(document) for document in self.text.text.sample(self.limit))


class Cache:
    """Builds under a file lock, so that of many processes one does the work and the others wait for it.

    Args:
        folder: as in `cache_root`.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._root = cache_root(folder)

    def tokenizer(
        self,
        text: Text,
        kind: TokenizerKind,
        vocab_size: int,
        lowercase: bool = False,
        special_tokens: tuple[str, ...] = (),
        min_frequency: int = 2,
    ) -> Tokenizer:
        """A tokenizer trained on some text.

        Args:
            text: of which the first `TRAINING_TEXT` characters are used; all of it for a vocabulary of words.
            kind: as in `train_tokenizer`.
            vocab_size: as in `train_tokenizer`.
            lowercase: as in `train_tokenizer`.
            special_tokens: as in `train_tokenizer`.
            min_frequency: as in `train_tokenizer`.

        Returns:
            The tokenizer, trained now or earlier.
        """
        folder = self.tokenizer_folder(text, kind, vocab_size, lowercase, special_tokens, min_frequency)
        return load_tokenizer(folder)

    def tokenizer_folder(
        self,
        text: Text,
        kind: TokenizerKind,
        vocab_size: int,
        lowercase: bool = False,
        special_tokens: tuple[str, ...] = (),
        min_frequency: int = 2,
    ) -> Path:
        """Where a tokenizer is that is trained on some text.

        Args:
            text: as in `tokenizer`.
            kind: as in `train_tokenizer`.
            vocab_size: as in `train_tokenizer`.
            lowercase: as in `train_tokenizer`.
            special_tokens: as in `train_tokenizer`.
            min_frequency: as in `train_tokenizer`.

        Returns:
            The folder, written now or earlier.
        """
        limit = sys.maxsize if kind == "word" else TRAINING_TEXT

        def build(folder: Path) -> None:
            trained = train_tokenizer(text.sample(limit), kind, vocab_size, lowercase, min_frequency, special_tokens)
            save_tokenizer(trained, folder)

        key: dict[str, Any] = {"text": self._text(text), "kind": kind, "vocab_size": vocab_size, "limit": limit}
        key |= {"lowercase": True} if lowercase else {}
        key |= {"special_tokens": special_tokens} if special_tokens else {}
        key |= {"min_frequency": min_frequency} if min_frequency != 2 else {}
        key |= {"kept": FULL_WIDTH} if kind in ("unigram", "albert", "xlnet", "t5") else {}
        return self._once("tokenizers", key, lambda at: (at / "tokenizer.json").exists(), build)

    def phrases(self, text: Text, passes: int, min_count: int, threshold: float, lowercase: bool) -> Phrases:
        """The pairs of words that belong together in some text.

        Args:
            text: all of it is read, twice a pass.
            passes: as in `find_phrases`.
            min_count: as in `find_phrases`.
            threshold: as in `find_phrases`.
            lowercase: as in `find_phrases`.

        Returns:
            The phrases, found now or earlier.
        """

        def build(folder: Path) -> None:
            found = find_phrases(text.sample(sys.maxsize), passes, min_count, threshold, lowercase)
            with replace_file(folder / "phrases.json", "w") as handle:
                json.dump([sorted(pairs) for pairs in found.passes], handle)

        key = {"text": self._text(text), "phrases": [passes, min_count, threshold, lowercase]}
        folder = self._once("phrases", key, lambda at: (at / "phrases.json").exists(), build)
        stored = json.loads((folder / "phrases.json").read_text(encoding="utf-8"))
        return Phrases(tuple(frozenset((first, second) for first, second in pairs) for pairs in stored), lowercase)

    def shards(
        self, text: Text, tokenizer: Tokenizer, end_of_document: bool = False, words: WordSegmentation = "none"
    ) -> Shards:
        """Tokenised text.

        Args:
            text: the text.
            tokenizer: who cuts it.
            end_of_document: as in `write_shards`.
            words: what finds words, for shards that keep where they begin.

        Returns:
            The shards, written now or earlier.
        """

        def build(folder: Path) -> None:
            starts = word_starts(words, self._root / "jieba")
            with progress_bar("Tokenising", text_size(text.sources)) as advance:
                write_shards(
                    text.pieces(),
                    tokenizer,
                    folder,
                    end_of_document,
                    advance=advance,
                    sentences=text.sentences,
                    words=None if named is None or starts is None else (named, starts),
                )

        named = segmentation(words)
        key = {"text": self._text(text), "tokenizer": tokenizer_hash(tokenizer), "end": end_of_document}
        key |= {"sentences": SENTENCES} if text.sentences else {}
        key |= {"words": named} if named is not None else {}
        return Shards(self._once("shards", key, is_shards, build))

    def folder(self, what: str, key: Any, exists: Callable[[Path], bool], build: Callable[[Path], None]) -> Path:
        """A folder of something else that is built once.

        Args:
            what: the kind, a name of the cache's folders.
            key: what it is made of: what can be written as JSON.
            exists: whether a folder is complete.
            build: makes it.

        Returns:
            The folder, written now or earlier.
        """
        return self._once(what, key, exists, build)

    def _text(self, text: Text) -> list[Any]:
        return text.identity([(source.kind, source.identity(self._root / "hashes")) for source in text.sources])

    def _once(self, what: str, key: Any, exists: Callable[[Path], bool], build: Callable[[Path], None]) -> Path:
        folder = self._root / what / hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
        if not exists(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{folder}.lock"):
                if not exists(folder):
                    build(folder)
        return folder
