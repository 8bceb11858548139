"""Perplexity and bits per byte of models that read left to right."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from plmlight.decoding import LanguageModel
from plmlight.evaluation.documents import Document, Units
from plmlight.evaluation.measurement import Advance, Measurement, cross_entropy, ratio
from plmlight.tasks import CausalLM

DEFAULT_CONTEXT = 1024
"""Tokens that are read at once by a model without a limit of its own."""

_CHUNK_ELEMENTS = 1 << 23


@dataclass(frozen=True)
class Window:
    """A stretch of a document.

    Attributes:
        document: its number.
        ids: what is read, and the token after it: T+1 ids.
        scored: how many of the last ids are scored here; those before them are context.
        first: the place of the first scored one among the document's tokens.
    """

    document: int
    ids: list[int]
    scored: int
    first: int


class Scorer(Protocol):
    """A model that scores tokens."""

    max_length: int | None
    """The most tokens it reads; None where there is no limit."""

    def losses(self, windows: Sequence[Window]) -> list[NDArray[np.float64]]:
        """Minus the natural logarithm of the probability of each scored token, for each window."""


class TorchScorer:
    """Scores with a task, each window in one pass.

    Args:
        task: put into evaluation mode; it runs where its weights are.
    """

    def __init__(self, task: CausalLM) -> None:
        self.task = task.eval()
        self.max_length: int | None = task.network.context_length

    @torch.inference_mode()
    def losses(self, windows: Sequence[Window]) -> list[NDArray[np.float64]]:
        """See `Scorer.losses`; the vocabulary is projected to at scored positions only."""
        network, weight = self.task.network, self.task.head.weight
        lengths = [len(window.ids) - 1 for window in windows]
        ids = torch.full((len(windows), max(lengths)), network.pad_token_id)  # [B, T]
        mask = torch.zeros_like(ids)
        for row, (window, length) in enumerate(zip(windows, lengths, strict=True)):
            ids[row, :length] = torch.tensor(window.ids[:-1])
            mask[row, :length] = 1
        padded = min(lengths) < max(lengths)
        hidden, _ = network(ids.to(weight.device), mask.to(weight.device) if padded else None)  # [B, T, D]
        scored = [
            hidden[row, length - window.scored : length]
            for row, (window, length) in enumerate(zip(windows, lengths, strict=True))
        ]
        rows = torch.cat(scored)  # [N, D]
        labels = torch.tensor([id_ for window in windows for id_ in window.ids[-window.scored :]], device=weight.device)
        at_once = max(1, _CHUNK_ELEMENTS // network.vocab_size)
        parts = [
            F.cross_entropy(self.task.head(some).float(), wanted, reduction="none")
            for some, wanted in zip(rows.split(at_once), labels.split(at_once), strict=True)
        ]
        found = torch.cat(parts).double().cpu().numpy()
        return np.split(found, np.cumsum([window.scored for window in windows])[:-1])


class StepScorer:
    """Scores with a model that gives the next token's logits only, as bundles do: token by token.

    Args:
        model: runs the network.
    """

    def __init__(self, model: LanguageModel) -> None:
        self.model = model
        self.max_length = model.max_length

    def losses(self, windows: Sequence[Window]) -> list[NDArray[np.float64]]:
        """See `Scorer.losses`."""
        found: list[list[float]] = [[] for _ in windows]
        rows = list(range(len(windows)))
        logits = self.model.start([window.ids[: -window.scored] for window in windows])
        for step in range(max(window.scored for window in windows)):
            wanted = [windows[row].ids[step - windows[row].scored] for row in rows]
            for row, loss in zip(rows, cross_entropy(np.asarray(logits), wanted), strict=True):
                found[row].append(float(loss))
            kept = [place for place, row in enumerate(rows) if windows[row].scored > step + 1]
            if len(kept) < len(rows) and kept:
                self.model.select(kept)
            rows, wanted = [rows[place] for place in kept], [wanted[place] for place in kept]
            if rows:
                logits = self.model.step(wanted)
        return [np.array(losses) for losses in found]


def windows_of(number: int, document: Document, length: int, stride: int, prefix: int | None) -> list[Window]:
    """Cuts a document so that each token is scored once, with as much before it as the model can read.

    The first window scores all its tokens; each further one ends ``stride`` tokens later, or where the document
    ends, and scores the tokens that are new. Before these it sees at least ``length - stride`` tokens.

    Args:
        number: the document's.
        document: the document.
        length: the most tokens to read at once.
        stride: how far a window moves, 1 to ``length``.
        prefix: a token to put before the first one; None leaves the first token unscored, as nothing is before it.

    Returns:
        The windows; none for a document of one token without a prefix.
    """
    shift = 0 if prefix is None else 1
    ids = document.ids if prefix is None else [prefix, *document.ids]
    found = []
    done = 1  # ids[:done] are scored, or context
    while done < len(ids):
        end = min(len(ids), length + 1 if done == 1 else done + stride)
        found.append(Window(number, ids[max(0, end - length - 1) : end], end - done, done - shift))
        done = end
    return found


def measure_causal(
    scorer: Scorer,
    documents: Sequence[Document],
    prefix: int | None,
    context: int | None = None,
    stride: int | None = None,
    batch_size: int = 8,
    advance: Advance = lambda done, total: None,
) -> tuple[Measurement, dict[str, int]]:
    """Scores every token of some text.

    Args:
        scorer: the model.
        documents: the text, with its tokens.
        prefix: what stands before each document; see `windows_of`.
        context: the most tokens to read at once; the model's length by default.
        stride: how far a window moves; half the context by default.
        batch_size: windows that run together.
        advance: is told the tokens that are done.

    Returns:
        ``perplexity`` a token and ``bits-per-byte`` of UTF-8 text, and the context and stride that were used.

    Raises:
        ValueError: for settings that make no sense, or when no token can be scored.
    """
    length, stride = _checked(scorer.max_length, context, stride)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    units = Units(documents)
    losses, tokens, sizes = np.zeros(len(units)), np.zeros(len(units), np.int64), units.bytes.copy()
    cut = [
        window
        for number, document in enumerate(documents)
        for window in windows_of(number, document, length, stride, prefix)
    ]
    total = sum(window.scored for window in cut)
    if not total:
        raise ValueError("there is no token to score: each document has one token, and nothing before it")
    cut.sort(key=lambda window: (-len(window.ids), -window.scored))
    advance(0, total)
    for start in range(0, len(cut), batch_size):
        batch = cut[start : start + batch_size]
        for window, found in zip(batch, scorer.losses(batch), strict=True):
            starts = documents[window.document].starts[window.first : window.first + window.scored]
            places = units.of(window.document, starts)
            np.add.at(losses, places, found)
            np.add.at(tokens, places, 1)
        advance(sum(window.scored for window in batch), total)
    if prefix is None:
        for number, document in enumerate(documents):  # the first token is given, and so are its bytes
            given = document.starts[1] if len(document.starts) > 1 else len(document.text)
            sizes[units.of(number, [0])] -= len(document.text[:given].encode())
    statistics = {
        "perplexity": ratio(losses, tokens),
        "bits-per-byte": ratio(losses, sizes, 1 / math.log(2)),
    }
    facts = {"tokens": int(tokens.sum()), "bytes": int(sizes.sum()), "documents": len(documents)}
    return Measurement(statistics, units.kind, len(units), facts), {"context": length, "stride": stride}


def _checked(max_length: int | None, context: int | None, stride: int | None) -> tuple[int, int]:
    length = context or max_length or DEFAULT_CONTEXT
    if context is not None and not 1 <= context <= (max_length or context):
        raise ValueError(f"context must lie between 1 and the model's length {max_length}, not {context}")
    stride = stride if stride is not None else max(1, length // 2)
    if not 1 <= stride <= length:
        raise ValueError(f"stride must lie between 1 and the context of {length} tokens, not {stride}")
    return length, stride
