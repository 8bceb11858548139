"""How text is put to a model that reads one text and writes another: the same words in training and in use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

from tokenizers import Tokenizer

from plmlight.text.chat import ChatForm
from plmlight.text.nearest import nearest
from plmlight.text.tokenizers import document_separator


class Frame(NamedTuple):
    """The special tokens before and after a text."""

    opening: tuple[int, ...]
    closing: tuple[int, ...]


def frame(tokenizer: Tokenizer) -> Frame:
    """The special tokens that a tokenizer's own template puts around one text: ``[CLS] x [SEP]``, ``x </s>``.

    Args:
        tokenizer: the tokenizer.

    Returns:
        The tokens; where the template closes with nothing, its end-of-text (or separator) token does.

    Raises:
        ValueError: when there is no such token either: what is written would have no end.
    """
    opening, closing = _template(tokenizer)
    if not closing:
        end = document_separator(tokenizer)
        if end is None:
            raise ValueError(
                "the tokenizer has no token that ends a text (</s>, <|endoftext|> or [SEP]), which a target needs; "
                "take one that has it, such as tokenizer_kind unigram"
            )
        closing = (end,)
    return Frame(opening, closing)


def _template(tokenizer: Tokenizer) -> Frame:
    for text in _some_texts(tokenizer):
        found = tokenizer.encode(text)
        inner = [place for place, special in enumerate(found.special_tokens_mask) if not special]
        if inner:
            return Frame(tuple(found.ids[: inner[0]]), tuple(found.ids[inner[-1] + 1 :]))
    return Frame((), ())


def _some_texts(tokenizer: Tokenizer) -> Iterator[str]:
    """A letter, and where the vocabulary lacks it, which may leave nothing of it, words that it has."""
    yield "a"
    yield from sorted(tokenizer.get_vocab(with_added_tokens=False))


@dataclass(frozen=True)
class TextForm:
    """What is put around and before a source text.

    Args:
        prefixes: the text before a source, by the name of its task: "translate English to German: " (Raffel et al.
            2020, arXiv:1910.10683, section 2.4).
        roles: what stands before the turns of the one who is answered, and of the one who answers: special tokens, or
            words. None for no such mark.
        history: how many turns a response is given to, at most; 0 where sources are no dialogues.
        chat: what stands around instructions and their answers; None where sources are none.
    """

    prefixes: Mapping[str, str] = field(default_factory=dict)
    roles: tuple[str, str] | None = None
    history: int = 0
    chat: ChatForm | None = None

    def source(self, text: str, prefix: str | None = None) -> str:
        """A source as the model reads it.

        Args:
            text: the text.
            prefix: the name of its task. None takes the only one there is; where there are several, or the text begins
                with one, it stays as it is.

        Returns:
            The text behind its prefix; an instruction as a conversation of one turn.

        Raises:
            ValueError: for a name that is not known.
        """
        if prefix is not None:
            if prefix not in self.prefixes:
                known = nearest(prefix, self.prefixes) or "; the model was trained without prefixes"
                raise ValueError(f"prefix {prefix!r} is unknown{known}")
            return self.prefixes[prefix] + text
        if self.chat is not None:
            return self.chat.prompt([("user", text)])
        if len(self.prefixes) != 1:
            return text
        (only,) = self.prefixes.values()
        return text if text.startswith(only) else only + text

    @property
    def converses(self) -> bool:
        """Whether there is a form of conversations: of dialogues, or of instructions."""
        return self.history > 0 or self.chat is not None

    def dialogue(self, turns: Sequence[str], system: str | None = None) -> str:
        """The source that the next turn of a dialogue answers: the last turns, oldest first, each behind its role.

        Args:
            turns: what was said, in turn by two; the last one is to be answered.
            system: what holds for all turns, of a model that follows instructions.

        Returns:
            The turns in one line, or as a model that follows instructions has them.

        Raises:
            ValueError: when nothing was said, or the model was not trained on dialogues.
        """
        if not self.converses:
            raise ValueError("the model was not trained on dialogues: it has no history of turns")
        if not turns:
            raise ValueError("a dialogue needs at least one turn to answer")
        if self.chat is not None:
            roles = [("assistant", "user")[(len(turns) - place) % 2] for place in range(len(turns))]
            said = list(zip(roles, turns, strict=True))
            return self.chat.prompt([("system", system), *said] if system else said)
        if system:
            raise ValueError("the model was trained on dialogues without a system's turn")
        kept = [" ".join(turn.split()) for turn in turns[-self.history :]]
        if self.roles is None:
            return " ".join(kept)
        return " ".join(f"{self.roles[(len(kept) - 1 - place) % 2]} {turn}" for place, turn in enumerate(kept))

    @property
    def keeps_end(self) -> bool:
        """Whether a source that is too long loses its beginning, as a dialogue does, and not its end."""
        return self.history > 0

    def as_json(self) -> dict[str, Any]:
        """Plain values, which `from_json` reads.

        Returns:
            The fields by name.
        """
        roles = None if self.roles is None else list(self.roles)
        plain = {"prefixes": dict(self.prefixes), "roles": roles, "history": self.history}
        return plain | ({} if self.chat is None else {"chat": self.chat.as_json()})

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Reads what `as_json` gave.

        Args:
            values: the fields by name.

        Returns:
            The form.

        Raises:
            ValueError: for values that are none of a form.
        """
        try:
            prefixes, roles, history = values["prefixes"], values["roles"], values["history"]
            chat = None if values.get("chat") is None else ChatForm.from_json(values["chat"])
            pair = None if roles is None else (str(roles[0]), str(roles[1]))
            return cls({str(name): str(text) for name, text in prefixes.items()}, pair, int(history), chat)
        except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
            raise ValueError(f"not the form of a text: {values!r} ({type(error).__name__}: {error})") from None
