"""What decoding remembers of one row of the batch."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from tokenizers import Tokenizer

from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.text import TextStream, answer_text

FinishReason = Literal["eos", "stop", "length"]


@dataclass(frozen=True)
class Hypothesis:
    """An answer to a prompt.

    Attributes:
        token_ids: the new tokens, the one that ended the answer included.
        text: their text, without special tokens and without the stop string; empty without a tokenizer.
        finish_reason: ``"eos"`` for an end token, ``"stop"`` for a stop string, ``"length"`` for max_new_tokens or
            the model's length.
        score: a beam's log-probability divided by its length to the power of length_penalty; None without beams.
    """

    token_ids: list[int]
    text: str
    finish_reason: FinishReason
    score: float | None = None


class Row:
    """The tokens of one row and what the processors of its options need to know about them.

    Args:
        prompt: token ids.
        options: the row's own.
        limit: the most new tokens it may get.
        tokenizer: for stop strings.
    """

    def __init__(
        self, prompt: Sequence[int], options: DecodingOptions, limit: int, tokenizer: Tokenizer | None
    ) -> None:
        self.prompt = prompt
        self.tokens: list[int] = []
        self.options = options
        self.limit = limit
        self.tokenizer = tokenizer
        self._watch = TextStream(tokenizer, prompt, options.stop) if options.stop and tokenizer else None
        self._bans = bool(options.suppress_tokens or options.min_new_tokens or options.no_repeat_ngram_size)
        self._followers: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._tail: tuple[int, ...] = ()
        self._seen: np.ndarray | None = None
        for token in prompt if options.no_repeat_ngram_size else ():
            self._count(token)

    def append(self, token: int) -> FinishReason | None:
        """Takes the next token; returns why the row ends with it, if it does."""
        self.tokens.append(token)
        if self._seen is not None:
            self._seen[token] = True
        if self.options.no_repeat_ngram_size:
            self._count(token)
        if token in self.options.eos_token_ids:
            return "eos"
        if self._watch is not None:
            self._watch.push(token)
            if self._watch.stopped:
                return "stop"
        return "length" if len(self.tokens) >= self.limit else None

    def fork(self, token: int) -> tuple[Row, FinishReason | None]:
        """A row that continues this one with a token, as a beam does; this one stays as it is."""
        other = Row.__new__(Row)
        other.__dict__.update(self.__dict__)  # as copy.copy does, which takes many times as long
        other.tokens = self.tokens.copy()
        if self._followers:
            other._followers = self._followers.copy()
        if self._seen is not None:
            other._seen = self._seen.copy()
        if self._watch is not None:
            other._watch = copy.copy(self._watch)
        return other, other.append(token)

    def seen(self, vocab_size: int) -> np.ndarray:
        """Which tokens stand in the prompt or the answer, [V]."""
        if self._seen is None:
            self._seen = np.zeros(vocab_size, dtype=np.bool_)
            self._seen[[*self.prompt, *self.tokens]] = True
        return self._seen

    def banned(self) -> Sequence[int]:
        """The tokens that must not come next: some never, ends not too early, and none that would repeat an n-gram."""
        if not self._bans:
            return ()
        banned: list[int] = list(self.options.suppress_tokens)
        if len(self.tokens) < self.options.min_new_tokens:
            banned += self.options.eos_token_ids
        if self.options.no_repeat_ngram_size:
            banned += self._followers.get(self._tail, ())
        return banned

    def forced(self) -> int | None:
        """The token that has to come next, if there is one: right after a first token alone, or at the very end."""
        if self.options.forced_bos_token_id is not None and len(self.prompt) == 1 and not self.tokens:
            return self.options.forced_bos_token_id
        return self.options.forced_eos_token_id if len(self.tokens) == self.limit - 1 else None

    def hypothesis(self, reason: FinishReason, score: float | None = None) -> Hypothesis:
        """The finished answer."""
        shown = self.tokens[:-1] if reason == "eos" else self.tokens
        text = answer_text(self.tokenizer, self.prompt, shown, self.options.stop) if self.tokenizer else ""
        return Hypothesis(list(self.tokens), text, reason, score)

    def _count(self, token: int) -> None:
        size = self.options.no_repeat_ngram_size
        if len(self._tail) == size - 1:
            self._followers[self._tail] = (*self._followers.get(self._tail, ()), token)
        self._tail = (*self._tail, token)[1 - size :] if size > 1 else ()
