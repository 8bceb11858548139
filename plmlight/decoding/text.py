"""From tokens to text while they come: whole characters only, and nothing that may turn out to be a stop string."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

_CONTEXT = 8
"""Tokens of the prompt that are decoded with the answer, since a token's text can depend on what stands before it."""

_PATIENCE = 16
"""How many trailing replacement characters are taken for text that is to come, before they are taken for garbage.

A byte-level decoder shows one for a begun character; a byte-fallback decoder turns a whole run of byte tokens into
them while the run ends within a character.
"""

_BEGUN = 3
"""Even in garbage the end may be a begun character, of which at most three bytes are there."""


@dataclass(frozen=True)
class Piece:
    """A part of a streamed answer.

    Attributes:
        text: new text, maybe none yet: whole characters that nothing to come can take back.
        token_ids: the tokens that were generated since the piece before.
        finish_reason: why the answer ended, in the last piece only: ``"eos"``, ``"stop"`` or ``"length"``.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str | None = None


class TextStream:
    """Turns one answer's tokens into text as they come.

    Args:
        tokenizer: decodes the tokens.
        prompt: the tokens before the answer.
        stop: texts at which the answer ends; they are not part of it.
    """

    def __init__(self, tokenizer: Tokenizer, prompt: Sequence[int] = (), stop: Sequence[str] = ()) -> None:
        self.stopped = False
        self._unfinished = 0  # replacement characters at the window's end that may become a character
        self._tokenizer = tokenizer
        self._stop = tuple(stop)
        self._ids = list(prompt[-_CONTEXT:])
        self._done = len(self._decode())  # characters of the window that were handed on
        self._settled = 0 if self._unfinished else len(self._ids)  # tokens whose characters are all handed on
        self._held = ""  # text that may be the start of a stop string

    def push(self, token: int) -> str:
        """Takes the next token.

        Returns:
            The text that is now certain. After a stop string was completed, `stopped` is true and no more comes.
        """
        self._ids = [*self._ids, token]  # a new list, so that a copy of this object can go its own way
        text = self._decode()
        fresh, self._done = text[self._done :], max(self._done, len(text))
        if not self._unfinished:
            self._ids = self._ids[self._settled :]  # what is settled now is the context of what comes
            self._settled = len(self._ids)
            self._done = len(self._decode())
        return self._withhold(fresh)

    def finish(self) -> str:
        """The text that was held back, when no token comes any more."""
        rest = "" if self.stopped else self._held + self._tokenizer.decode(self._ids)[self._done :]
        self._held = ""
        return rest

    def _decode(self) -> str:
        text: str = self._tokenizer.decode(self._ids)
        trailing = len(text) - len(text.rstrip("�"))
        self._unfinished = trailing if trailing <= _PATIENCE else _BEGUN
        return text[: len(text) - self._unfinished]

    def _withhold(self, fresh: str) -> str:
        if self.stopped or not self._stop:
            return "" if self.stopped else fresh
        text = self._held + fresh
        ends = [place for place in map(text.find, self._stop) if place >= 0]
        if ends:
            self.stopped, self._held = True, ""
            return text[: min(ends)]
        size = max(_overlap(text, stop) for stop in self._stop)
        self._held = text[len(text) - size :]
        return text[: len(text) - size]


def answer_text(tokenizer: Tokenizer, prompt: Sequence[int], answer: Sequence[int], stop: Sequence[str] = ()) -> str:
    """The text of a whole answer: what a `TextStream` gives in all.

    Args:
        tokenizer: of the model.
        prompt: the ids before the answer, which decide whether it begins with a space.
        answer: its ids.
        stop: texts before which it ends.
    """
    if not stop:
        context = list(prompt[-_CONTEXT:])
        before = TextStream(tokenizer, context)._done
        text: str = tokenizer.decode([*context, *answer])
        return text[before:]
    stream = TextStream(tokenizer, prompt, stop)
    return "".join([*map(stream.push, answer), stream.finish()])


def _overlap(text: str, stop: str) -> int:
    """The length of the longest end of ``text`` that is a true beginning of ``stop``."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
