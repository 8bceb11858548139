"""Labelled examples, tokenised and held in memory: what people label by hand fits there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray

from plmlight.data.sampling import Indices
from plmlight.heads.cross_entropy import IGNORED

Row = Mapping[str, Any]
"""A sample by name: arrays [T] of what each token has, numbers or arrays of a fixed shape, and plain objects."""

TOKENS = ("input_ids", "token_type_ids")


@runtime_checkable
class Asked(Protocol):
    """An example that is a request to a task with labels."""

    def request(self) -> dict[str, Any]:
        """What the task is asked, as `plmlight.decoding.TextAnalyser` takes it."""


def place_of(example: Any) -> str:
    """Where an example stands, for messages: file and line."""
    return str(example.where() if callable(example.where) else example.where)


class ExampleSamples:
    """Samples for the loaders of `plmlight.data.bucketing`.

    A name in ``per_token`` is padded to the longest sample of a batch; a number or an array that is not is stacked;
    anything else (strings, lists) is passed on as a list. A sample of several texts has ``input_ids``, ``input_ids_2``,
    ``input_ids_3``, ..., each padded by itself, with an ``attention_mask_2`` and so on.

    Args:
        rows: the samples; each has ``input_ids`` [T], and all have the same names.
        padding: the id that fills up ``input_ids``.
        per_token: the names of what each token has, beside ``input_ids`` and ``token_type_ids``. Those that begin with
            ``labels`` are filled up with -100, others with 0.
        max_length: no sample is longer.
    """

    def __init__(
        self, rows: Sequence[Row], padding: int, per_token: Sequence[str] = (), max_length: int | None = None
    ) -> None:
        self.rows, self._padding = rows, padding
        first = rows[0] if rows else {"input_ids": []}
        self._texts = [name.removeprefix("input_ids") for name in first if name.startswith("input_ids")]
        self._text_of = dict.fromkeys(per_token, "") | {
            f"{name}{text}": text for name in TOKENS for text in self._texts
        }
        lengths = [[len(row[f"input_ids{text}"]) for text in self._texts] for row in rows]
        sides = np.array(lengths, dtype=np.int64).reshape(len(rows), -1)
        self._lengths = sides[:, 0] if len(self._texts) == 1 else sides
        self.max_length = int(sides.sum(1).max(initial=1)) if max_length is None else max_length

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def identity(self) -> dict[str, Any]:
        """What a checkpoint and the data it is resumed on must agree in."""
        digest = hashlib.sha256()
        for row in self.rows:
            for text in self._texts:
                digest.update(np.ascontiguousarray(row[f"input_ids{text}"]).tobytes())
        return {"samples": len(self), "sha256": digest.hexdigest()[:16]}

    def lengths(self, sample_ids: Indices, epoch: int) -> Indices:
        """Tokens of samples, special ones included [n]; of several texts [n, texts]."""
        found: Indices = self._lengths[sample_ids]
        return found

    def batch(self, sample_ids: Indices, epoch: int) -> dict[str, Any]:
        """Reads samples.

        Args:
            sample_ids: [B]; -1 for a row of padding: mask 0, labels -100 (NaN for numbers with a fraction), else what
                the last sample has.
            epoch: passed on.

        Returns:
            ``attention_mask`` [B, T] (of each text), ``sample_ids`` [B], ``epoch`` [], and what the rows have.
        """
        rows = [self.rows[number] for number in sample_ids]
        there = sample_ids >= 0
        masks = {}
        for text in self._texts:
            lengths = np.where(there, [len(row[f"input_ids{text}"]) for row in rows], 0)
            masks[text] = np.arange(max(1, lengths.max())) < lengths[:, None]
        batch: dict[str, Any] = {
            f"attention_mask{text}": torch.from_numpy(mask.astype(np.int64)) for text, mask in masks.items()
        }
        for name in rows[0]:
            values = [row[name] for row in rows]
            if name in self._text_of:
                filler = self._padding if name.startswith("input_ids") else IGNORED if name.startswith("labels") else 0
                batch[name] = torch.from_numpy(_padded(values, masks[self._text_of[name]], filler))
            elif isinstance(values[0], int | float | np.ndarray | np.number):
                stacked = torch.from_numpy(np.stack([np.asarray(value) for value in values]))
                if name.startswith("labels") and not there.all():
                    stacked[torch.from_numpy(~there)] = float("nan") if stacked.is_floating_point() else IGNORED
                batch[name] = stacked.float() if stacked.is_floating_point() else stacked.long()
            else:
                batch[name] = values
        batch["sample_ids"] = torch.from_numpy(sample_ids.astype(np.int64))
        return batch | {"epoch": torch.tensor(epoch)}


def _padded(values: Sequence[NDArray[Any]], mask: NDArray[np.bool_], filler: int) -> NDArray[Any]:
    kind = np.int64 if np.issubdtype(np.asarray(values[0]).dtype, np.integer) else np.float32
    padded = np.full(mask.shape, filler, kind)
    for row, (value, real) in enumerate(zip(values, mask, strict=True)):
        if real.any():
            padded[row, : len(value)] = value
    return padded
