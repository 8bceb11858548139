"""How often words stand together, counted as a stream: runs that are sorted on disk, and merged."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.data.base import Corpus, Files, Stage
from plmlight.data.cache import DocumentText, Text
from plmlight.data.loader import EvaluationLoader, TrainingLoader
from plmlight.data.mapped import Mapped
from plmlight.data.packing import TokenStream
from plmlight.data.readers import DocumentUnit
from plmlight.data.sampling import Indices, Permutation
from plmlight.data.shards import Shards
from plmlight.data.sources import resolve
from plmlight.text import replace_folder, special_token_ids, tokenizer_hash

PAIR = np.dtype([("first", "<u4"), ("second", "<u4"), ("count", "<f4")])
"""What a file holds of a pair of words."""

_CHUNK = 2**16  # words of a text that are counted at a time
_MERGED = 2**20  # pairs of a run that are read at a time


@dataclass(frozen=True)
class Pairs:
    """Pairs of words in numbered blocks, each of pairs from all over the file.

    Args:
        pairs: [N] of `PAIR`.
        block_length: pairs of a block.
        seed: of the order.
    """

    pairs: Mapped
    block_length: int
    seed: int

    def __len__(self) -> int:
        return -(-len(self.pairs) // self.block_length)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        return {"pairs": len(self.pairs), "block_length": self.block_length}

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads blocks.

        Args:
            sample_ids: [B]; -1 for padding, of which nothing is read.
            epoch: of at least 0; another epoch is another order of all pairs.

        Returns:
            ``input_ids``, ``context_ids`` and ``cooccurrences`` [N], ``sample_ids`` [B], ``epoch`` [].
        """
        places = (sample_ids[sample_ids >= 0][:, None] * self.block_length + np.arange(self.block_length)).reshape(-1)
        places = places[places < len(self.pairs)]
        found = self.pairs.array[Permutation(len(self.pairs), self.seed, epoch)[places]]
        return {
            "input_ids": torch.from_numpy(found["first"].astype(np.int64)),
            "context_ids": torch.from_numpy(found["second"].astype(np.int64)),
            "cooccurrences": torch.from_numpy(found["count"].astype(np.float32)),
            "sample_ids": torch.from_numpy(sample_ids),
            "epoch": torch.tensor(epoch),
        }


class Cooccurrences(Corpus):
    """How often words of a text stand together (Pennington et al. 2014, D14-1162, section 3 and 4.2).

    Two words at distance d count 1/d. They are counted once for all processes and runs, with as much memory as
    ``memory_pairs`` takes: sorted runs go to disk and are merged. Batches are described in `Pairs.batch`.

    Args:
        files: text, as in `TextCorpus`; or one folder that ``plmlight prepare`` wrote with words.
        tokenizer: a tokenizer.json or a folder with one. None makes a vocabulary of the words of ``files``.
        min_count: words that occur less often are left out of that vocabulary.
        max_vocab_size: the most words of it, ``<unk>`` included: the most frequent ones.
        lowercase: lower the case of all text.
        window: the most words to either side.
        symmetric: count the words after a word too, not only those before it.
        document: what a document is in plain text: the ``file``, each ``line``, or each ``paragraph``. Windows do not
            reach over its ends.
        text_field: the field (jsonl) or column (csv, tsv, parquet, data sets) with the text.
        memory_pairs: different pairs that are held in memory before a run goes to disk; each takes about 50 bytes.
        block_length: pairs of a block.
        batch_size: blocks in a batch, on each device.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where vocabularies, shards and counts are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for text that cannot be read, naming file and place, or without a word that is frequent enough.
    """

    def __init__(
        self,
        files: str | list[str],
        tokenizer: str | None = None,
        min_count: int = 5,
        max_vocab_size: int = 400_000,
        lowercase: bool = True,
        window: int = 10,
        symmetric: bool = True,
        document: DocumentUnit = "file",
        text_field: str = "text",
        memory_pairs: int = 20_000_000,
        block_length: int = 1024,
        batch_size: int = 64,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        super().__init__({"fit": files}, 0.0, seed, num_workers, cache_folder)
        for name, value in (("min_count", min_count), ("window", window), ("memory_pairs", memory_pairs)):
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        if block_length < 1:
            raise ValueError(f"block_length {block_length} must be at least 1")
        self.window, self.symmetric, self.memory_pairs = window, symmetric, memory_pairs
        self.block_length, self.batch_size = block_length, batch_size
        self._units: tuple[str, DocumentUnit] = text_field, document
        self._load(tokenizer, "word", max_vocab_size, lowercase, min_count)
        self._folder = self._counted()

    def _text(self, files: Files) -> Text:
        return DocumentText(resolve(files), *self._units)

    def _tokenised(self, text: Text) -> Shards:
        return self._cache.shards(text, self.tokenizer)

    def _counted(self) -> Path:
        shards = self._shards["fit"]
        key = {
            "text": shards.manifest.text_sha256,
            "documents": shards.manifest.documents,
            "tokenizer": tokenizer_hash(self.tokenizer),
            "window": [self.window, self.symmetric],
        }
        unknown = special_token_ids(self.tokenizer).get("unk")
        stream = TokenStream(shards.tokens, shards.documents)

        def build(folder: Path) -> None:
            count_pairs(stream, folder, self.vocab_size, self.window, self.symmetric, unknown, self.memory_pairs)

        return self._cache.folder("cooccurrences", key, lambda at: (at / "pairs.bin").exists(), build)

    @property
    def token_counts(self) -> Tensor:
        """How often each word stands in ``files`` [V], int64; 0 for ``<unk>``, which is no word."""
        counts = torch.from_numpy(self._shards["fit"].counts.copy())
        unknown = special_token_ids(self.tokenizer).get("unk")
        if unknown is not None:
            counts[unknown] = 0
        return counts

    def pairs(self) -> Pairs:
        """All pairs.

        Raises:
            ValueError: when there is none.
        """
        path = self._folder / "pairs.bin"
        if not path.stat().st_size:
            raise ValueError(f"{self._named('fit')}: no two words of the vocabulary stand together")
        return Pairs(Mapped(np.memmap(path, PAIR, "r")), self.block_length, self.seed)

    def _training(self, **share: int) -> TrainingLoader:
        return TrainingLoader(self.pairs(), self.batch_size, self.seed, self.num_workers, **share)

    def _evaluation(self, stage: Stage, **share: int) -> EvaluationLoader:
        raise ValueError(f"Cooccurrences has no text to {stage} on: evaluate the vectors on sets of words")


def count_pairs(
    stream: TokenStream,
    folder: Path,
    vocab_size: int,
    window: int,
    symmetric: bool = True,
    unknown: int | None = None,
    memory_pairs: int = 20_000_000,
) -> None:
    """Counts pairs of words; the folder appears when it is complete.

    Args:
        stream: the words.
        folder: gets ``pairs.bin``, `PAIR` sorted by both words, and ``pairs.json``.
        vocab_size: V.
        window: the most words to either side; those that are unknown count as distance, and as nothing else.
        symmetric: count each pair both ways.
        unknown: the id that is no word.
        memory_pairs: different pairs that are held before a run goes to disk.
    """
    with replace_folder(folder) as written, tempfile.TemporaryDirectory(dir=written) as scratch:
        runs: list[Path] = []
        held: tuple[NDArray[np.uint64], NDArray[np.float64]] = (np.zeros(0, np.uint64), np.zeros(0))

        def spill() -> None:
            runs.append(Path(scratch) / f"{len(runs)}.npy")
            run = np.empty(len(held[0]), [("key", "<u8"), ("count", "<f8")])
            run["key"], run["count"] = held
            np.save(runs[-1], run)

        fresh: list[Counted] = []
        for chunk in _chunks(stream, vocab_size, window, symmetric, unknown):
            fresh.append(chunk)
            # as many as are held, so that each pair is sorted few times
            if sum(len(keys) for keys, _ in fresh) < max(len(held[0]), min(_MERGED, memory_pairs)):
                continue
            held, fresh = _together([held, *fresh]), []
            if len(held[0]) >= memory_pairs:
                spill()
                held = (np.zeros(0, np.uint64), np.zeros(0))
        held = _together([held, *fresh])
        spill()
        total = 0
        with (written / "pairs.bin").open("wb") as handle:
            for keys, counts in _merged([np.load(run, mmap_mode="r") for run in runs]):
                found = np.empty(len(keys), PAIR)
                found["first"], found["second"] = np.divmod(keys, np.uint64(vocab_size))
                found["count"] = counts
                handle.write(found.tobytes())
                total += len(keys)
        (written / "pairs.json").write_text(json.dumps({"pairs": total, "runs": len(runs)}) + "\n")
        for run in runs:
            run.unlink()


Counted = tuple[NDArray[np.uint64], NDArray[np.float64]]
"""Keys, ``first * V + second``, and what they count."""


def _chunks(
    stream: TokenStream, vocab_size: int, window: int, symmetric: bool, unknown: int | None
) -> Iterator[Counted]:
    """The pairs of each chunk of a text with the words before it, distance by distance."""
    for start in range(0, len(stream), _CHUNK):
        before = min(window, start)
        length = min(start + _CHUNK, len(stream)) - start + before
        first = np.array([start - before])
        words = stream.gather(first, length)[0]
        documents = stream.document_numbers(first, length)[0]
        known = np.ones(length, bool) if unknown is None else words != unknown
        keys, counts = [], []
        for distance in range(1, min(window, length - 1) + 1):
            later = np.arange(max(distance, before), length)
            earlier = later - distance
            kept = (documents[later] == documents[earlier]) & known[later] & known[earlier]
            one, other = words[later[kept]].astype(np.uint64), words[earlier[kept]].astype(np.uint64)
            both = [one * np.uint64(vocab_size) + other]
            both += [other * np.uint64(vocab_size) + one] if symmetric else []
            keys += both
            counts += [np.full(len(one), 1.0 / distance)] * len(both)
        if keys:
            yield _summed(np.concatenate(keys), np.concatenate(counts))


def _summed(keys: NDArray[np.uint64], counts: NDArray[np.float64]) -> Counted:
    """Equal keys become one, in order."""
    order = np.argsort(keys, kind="stable")
    keys, counts = keys[order], counts[order]
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    return keys[starts], np.add.reduceat(counts, starts) if len(keys) else counts


def _together(parts: list[Counted]) -> Counted:
    return _summed(np.concatenate([keys for keys, _ in parts]), np.concatenate([counts for _, counts in parts]))


def _merged(runs: list[Any]) -> Iterator[Counted]:
    """Sorted runs as one, in pieces: up to the least of the last keys of what is read of each."""
    places = [0] * len(runs)
    while any(place < len(run) for place, run in zip(places, runs, strict=True)):
        pieces = [run[place : place + _MERGED] for place, run in zip(places, runs, strict=True)]
        limit = min(piece["key"][-1] for piece in pieces if len(piece))
        taken = [int(np.searchsorted(piece["key"], limit, "right")) for piece in pieces]
        places = [place + count for place, count in zip(places, taken, strict=True)]
        keys = np.concatenate([piece["key"][:count] for piece, count in zip(pieces, taken, strict=True)])
        counts = np.concatenate([piece["count"][:count] for piece, count in zip(pieces, taken, strict=True)])
        yield _summed(keys, counts)
