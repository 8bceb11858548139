"""What the objectives have in common that make a source and a target of the same raw text."""

from __future__ import annotations

from typing import NamedTuple

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.heads.cross_entropy import IGNORED
from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.text import Frame, frame, special_token_ids

_BITS = 24  # of a random number


class Side(NamedTuple):
    """Tokens [B, N], of which only the first ``lengths`` [B] of each row are meant; all of them where that is None."""

    tokens: Tensor
    lengths: Tensor | None

    def counts(self) -> Tensor:
        """How many tokens each row has [B]."""
        return (
            self.tokens.new_full(self.tokens.shape[:1], self.tokens.shape[1]) if self.lengths is None else self.lengths
        )


class RawText(Objective):
    """Makes a source and a target of rows of raw text, without special tokens around them, as `TextCorpus` gives them.

    A row that is shorter than the others is treated as it would be alone, and both of its sides are padded. A row that
    is too short to ask anything of it has no labels.
    """

    def __init__(self) -> None:
        self._frame: Frame | None = None
        self._pad_token_id = 0

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Finds what stands around a text, and what pads it."""
        self._frame = frame(tokenizer)
        self._pad_token_id = special_token_ids(tokenizer).get("pad", 0)

    def check_ready(self) -> None:
        """Refuses to begin without a tokenizer.

        Raises:
            ValueError: naming what is missing.
        """
        if self._frame is None:
            raise ValueError(
                f"{type(self).__name__} needs a tokenizer, for its special tokens: set the task's tokenizer"
            )

    @property
    def frame(self) -> Frame:
        """The special tokens around a text.

        Raises:
            ValueError: without a tokenizer.
        """
        self.check_ready()
        assert self._frame is not None
        return self._frame

    def text(self, batch: Batch) -> Side:
        """What there is to read.

        Args:
            batch: ``input_ids`` and perhaps ``attention_mask`` [B, L], as the data gives them.

        Returns:
            The rows, padding moved to their right.

        Raises:
            ValueError: for texts with targets, or rows of several documents that must not see each other.
        """
        ids, mask = batch["input_ids"], batch.get("attention_mask")
        if "labels" in batch:
            raise ValueError(
                f"{type(self).__name__} makes targets of raw text, but the data gives some: take TextCorpus"
            )
        if mask is None:
            return Side(ids, None)
        if int(mask.max()) > 1:
            raise ValueError(
                f"{type(self).__name__} takes a row as one text, but the data tells the documents of a row apart: set "
                "its isolate_documents to false"
            )
        return Side(ids.gather(1, (mask == 0).to(torch.int8).argsort(dim=1, stable=True)), mask.sum(1))

    def sides(self, batch: Batch, source: Side, target: Side, around: Frame) -> Batch:
        """A batch of sources and targets.

        Args:
            batch: what the data gave.
            source: what is read.
            target: what is to be written; nothing where there are no tokens.
            around: special tokens around both.

        Returns:
            ``input_ids`` [B, S], ``labels`` [B, T], ``attention_mask`` [B, S] unless nothing is padded, and the numbers
            of samples and epoch.
        """
        made: Batch = {name: batch[name] for name in ("sample_ids", "epoch") if name in batch}
        made["input_ids"], mask = _framed(source, around, self._pad_token_id)
        if source.lengths is not None:
            made["attention_mask"] = mask.long()
        made["labels"], _ = _framed(target, around, IGNORED)
        return made

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies of the target's tokens in nats."""
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"])}


def _framed(side: Side, around: Frame, fill: int) -> tuple[Tensor, Tensor]:
    """Tokens between special ones, and where there is either; nothing around nothing."""
    tokens, counts = side.tokens, side.counts()[:, None]
    rows, first = tokens.shape[0], len(around.opening)
    before = tokens.new_tensor(around.opening).expand(rows, -1)
    framed = torch.cat([before, tokens, tokens.new_zeros(rows, len(around.closing))], 1)
    beyond = torch.arange(framed.shape[1], device=tokens.device) - first - counts  # [B, N], from the end of the text
    for place, token in enumerate(around.closing):
        framed = framed.masked_fill(beyond == place, token)
    there = (beyond < len(around.closing)) & (counts > 0)
    return framed.masked_fill(~there, fill), there


def least(numbers: Tensor, count: int, limits: Tensor) -> Tensor:
    """Where the least of random numbers are: a random selection, in random order, whatever else is in the batch.

    Args:
        numbers: [B, N], uniform in [0, 1).
        count: K, how many.
        limits: [B], only so many of a row's numbers are looked at, before others.

    Returns:
        [B, K], places; those beyond a row's limit come last.
    """
    places = torch.arange(numbers.shape[1], device=numbers.device)
    keys = (numbers * (1 << _BITS)).long() + (places >= limits[:, None]).long().mul_(1 << _BITS)
    keys = (keys << _BITS) + places  # no two are equal
    return keys.topk(count, dim=1, largest=False).values & ((1 << _BITS) - 1)
