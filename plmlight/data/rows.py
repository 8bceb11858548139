"""Stretches of a token file, laid out as rows between special tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.data.mapped import Mapped
from plmlight.data.sampling import Indices
from plmlight.text import cls_stands_last, special_token_ids


@dataclass(frozen=True)
class Form:
    """The special tokens of a row: ``opening``, a part, where there is a second ``between`` and that one, ``closing``.

    Args:
        opening: before the first part.
        between: after the first part, where there is a second.
        second_opening: how many of the tokens between belong to the second part.
        closing: at the end.
        padding: what fills shorter rows.
        last_apart: whether the last token is a segment of its own, number 2 (XLNet).
    """

    opening: tuple[int, ...]
    between: tuple[int, ...]
    second_opening: int
    closing: tuple[int, ...]
    padding: int
    last_apart: bool = False

    def num_special(self, num_parts: int) -> int:
        """Special tokens of a row.

        Args:
            num_parts: 1 or 2.

        Returns:
            Their number.
        """
        return len(self.opening) + len(self.closing) + (len(self.between) if num_parts == 2 else 0)


def row_form(tokenizer: Tokenizer, pair: str, padding: int) -> Form:
    """The form of a tokenizer's kind.

    That is BERT's, ``[CLS] A [SEP] B [SEP]``, RoBERTa's, ``<s> A </s></s> B </s>``, or XLNet's,
    ``A <sep> B <sep> <cls>``.

    Args:
        tokenizer: whose special tokens are used.
        pair: ``segments`` of one text, or ``languages``, each in its own frame as XLM has it (Lample and Conneau 2019,
            arXiv:1901.07291, figure 1).
        padding: the padding token.

    Returns:
        The form.

    Raises:
        ValueError: when the vocabulary has no such tokens.
    """
    ids = special_token_ids(tokenizer)
    opening, closing = ids.get("cls", ids.get("bos")), ids.get("sep", ids.get("eos"))
    missing = [names for id_, names in ((opening, "[CLS] or <s>"), (closing, "[SEP] or </s>")) if id_ is None]
    if opening is None or closing is None:
        raise ValueError(
            f"the tokenizer has no {' and no '.join(missing)}, which open and close each sample; take one that has "
            "them, such as tokenizer_kind wordpiece"
        )
    if pair == "languages":
        return Form((opening,), (closing, opening), 1, (closing,), padding)
    if cls_stands_last(tokenizer):
        return Form((), (closing,), 0, (closing, opening), padding, last_apart=True)
    return Form((opening,), (closing,) if "sep" in ids else (closing, closing), 0, (closing,), padding)


class Parts(NamedTuple):
    """What rows consist of: the first token [B, K] and the number of tokens [B, K] of each part, K = 1 or 2."""

    starts: Indices
    lengths: Indices

    def totals(self, form: Form) -> Indices:
        """Tokens of each row, special ones included [B]."""
        totals: Indices = self.lengths.sum(1) + form.num_special(self.lengths.shape[1])
        return totals


class Rows:
    """Lays parts out.

    Args:
        tokens: [N].
        form: the special tokens.
        words: [N], 1 where a word begins, if known.
    """

    def __init__(self, tokens: NDArray[Any], form: Form, words: NDArray[np.uint8] | None = None) -> None:
        self.form = form
        self._tokens = Mapped(tokens)
        self._words = None if words is None else Mapped(words)

    def read(self, start: int, end: int) -> Indices:
        """Reads tokens as they are.

        Args:
            start: the first.
            end: the one after the last.

        Returns:
            [end - start], int64.
        """
        return self._tokens.array[start:end].astype(np.int64)

    def lay_out(self, parts: Parts, sample_ids: Indices, epoch: int) -> dict[str, Tensor]:
        """Reads rows, padded to the longest of them.

        Args:
            parts: of each row.
            sample_ids: [B]; -1 for a row of padding.
            epoch: passed on.

        Returns:
            ``input_ids`` and ``attention_mask`` [B, T]; ``token_type_ids`` [B, T], the part's number, where there are
            two or the last token is apart; ``word_starts`` [B, T] where words are known, 1 for special tokens, too;
            ``sample_ids`` [B], ``epoch`` []; all int64.
        """
        size, num_parts = parts.lengths.shape
        valid = sample_ids >= 0
        lengths = np.where(valid[:, None], parts.lengths, 0)
        totals = np.where(valid, parts.totals(self.form), 0)
        width = max(1, int(totals.max(initial=0)))
        begin = len(self.form.opening)
        second = begin + lengths[:, 0] + len(self.form.between)  # [B], where a second part begins
        columns = np.stack([np.full_like(second, begin), second][:num_parts], 1)
        ids = np.full((size, width), self.form.padding, dtype=np.int64)
        rows = np.flatnonzero(valid)
        ids[rows, :begin] = self.form.opening
        if num_parts == 2:
            for offset, token in enumerate(self.form.between, -len(self.form.between)):
                ids[rows, second[rows] + offset] = token
        for offset, token in enumerate(self.form.closing, -len(self.form.closing)):
            ids[rows, totals[rows] + offset] = token
        # one entry for each token of text
        counts = lengths.ravel()
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        row = np.repeat(np.arange(size).repeat(num_parts), counts)
        column = np.repeat(columns.ravel(), counts) + within
        place = np.repeat(parts.starts.ravel(), counts) + within
        ids[row, column] = self._tokens.array[place]
        positions = np.arange(width)
        found = {"input_ids": ids, "attention_mask": (positions < totals[:, None]).astype(np.int64)}
        if num_parts == 2 or self.form.last_apart:
            edge = second - self.form.second_opening if num_parts == 2 else totals
            types = ((positions >= edge[:, None]) & (positions < totals[:, None])).astype(np.int64)
            if self.form.last_apart:
                types[rows, totals[rows] - 1] = 2
            found["token_type_ids"] = types
        if self._words is not None:
            starts = found["attention_mask"].copy()
            starts[row, column] = self._words.array[place]
            found["word_starts"] = starts
        batch = {name: torch.from_numpy(value) for name, value in found.items()}
        return batch | {
            "sample_ids": torch.from_numpy(sample_ids.astype(np.int64)),
            "epoch": torch.tensor(epoch),
        }


def shortened(first: Indices, second: Indices, limit: Indices | int) -> tuple[Indices, Indices]:
    """Shortens pairs as if the longer of the two lost token by token (as Devlin et al. 2019 prepare their data).

    Args:
        first: [B], lengths.
        second: [B], lengths.
        limit: what both together may have, at least 2.

    Returns:
        The new lengths.
    """
    kept = np.where(
        first + second > limit, np.maximum(limit - second, np.minimum(first, np.asarray(limit) // 2)), first
    )
    return kept, np.minimum(second, limit - kept)
