"""From texts to texts: what the runtime, the command line and a server share."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tokenizers import Tokenizer

from plmlight.decoding.generate import generate, stream
from plmlight.decoding.model import LanguageModel
from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.row import Hypothesis
from plmlight.decoding.text import Piece
from plmlight.text import TextForm, frame


class TextGenerator:
    """A language model with its tokenizer.

    Args:
        model: runs the network.
        tokenizer: turns text to tokens and back.
        options: what holds where a call says nothing; its ``eos_token_id`` is the model's own.
        bos_token_id: what an empty prompt starts from; None makes an empty prompt an error.
        text_form: what stands around a prompt, for a model that follows instructions; its answers end where they
            ended in training.
    """

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        options: DecodingOptions | None = None,
        bos_token_id: int | None = None,
        text_form: TextForm | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.options = options or DecodingOptions()
        self.bos_token_id = bos_token_id
        self.text_form = text_form or TextForm()
        chat = self.text_form.chat
        end = None if chat is None else tokenizer.token_to_id(chat.end.strip())
        if end is not None:
            self.options = dataclasses.replace(self.options, eos_token_id=end)

    def generate(
        self,
        texts: Sequence[str],
        options: DecodingOptions | Sequence[DecodingOptions] | None = None,
        *,
        batch_size: int = 8,
        raw: bool = False,
        **changes: Any,
    ) -> list[list[Hypothesis]]:
        """Continues texts.

        Args:
            texts: the prompts.
            options: for all of them, or one for each; the generator's own by default.
            batch_size: how many prompts run together, similar lengths beside each other; it changes the speed, and
                the answers only as far as the model's arithmetic depends on the batch.
            raw: see `encode`.
            **changes: fields of `DecodingOptions` that replace those of ``options``.

        Returns:
            For each text its answers, best first.

        Raises:
            ValueError: for options, texts and a model that do not fit together.
        """
        settled = settle_all(texts, options, self.options, changes)
        prompts = [self.encode(text, raw) for text in texts]
        answers: list[list[Hypothesis]] = [[] for _ in texts]
        for places in batches([len(prompt) for prompt in prompts], batch_size):
            found = generate(
                self.model,
                [prompts[place] for place in places],
                [settled[place] for place in places],
                self.tokenizer,
                numbers=places,
            )
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
        return answers

    def stream(
        self, text: str, options: DecodingOptions | None = None, *, raw: bool = False, **changes: Any
    ) -> Iterator[Piece]:
        """Continues one text and gives the answer while it grows.

        Args:
            text: the prompt.
            options: the generator's own by default.
            raw: see `encode`.
            **changes: fields of `DecodingOptions` that replace those of ``options``.

        Returns:
            One piece a token; their texts together are the answer of `generate`.

        Raises:
            ValueError: as `generate`, and for options that make several answers.
        """
        return stream(self.model, self.encode(text, raw), settle(options, self.options, changes), self.tokenizer)

    def reply(self, turns: Sequence[str], *, system: str | None = None, **changes: Any) -> str:
        """Answers the last turn of a conversation.

        Args:
            turns: what was said, in turn by two, oldest first.
            system: what holds for all turns.
            **changes: fields of `DecodingOptions`.

        Returns:
            The next turn.

        Raises:
            ValueError: for a model that does not follow instructions, or as `generate`.
        """
        options = settle(None, self.options, changes)
        return self.generate([self.conversation(turns, options, system)], options, raw=True)[0][0].text

    def conversation(self, turns: Sequence[str], options: DecodingOptions, system: str | None = None) -> str:
        """The prompt, to be read as it is, that the next turn of a conversation answers.

        Args:
            turns: as in `reply`; the oldest are left out, two by two, where there is no room for them and the answer.
            options: how long the answer may be.
            system: as in `reply`.

        Returns:
            The text.

        Raises:
            ValueError: for a model that does not follow instructions, or no turn.
        """
        if isinstance(turns, str):
            raise ValueError("a list of turns was expected: put brackets around the one turn")
        if self.text_form.chat is None:
            raise ValueError("the model was not trained on instructions: it has no form of conversations")
        kept, longest = list(turns), self.model.max_length
        text = self.text_form.dialogue(kept, system)
        while longest is not None and len(kept) > 2:
            if len(self.encode(text, raw=True)) + options.max_new_tokens <= longest:
                break
            kept = kept[2:]
            text = self.text_form.dialogue(kept, system)
        return text

    def encode(self, text: str, raw: bool = False) -> list[int]:
        """The tokens of a prompt.

        Args:
            text: the prompt.
            raw: whether it is read as it is, also by a model that follows instructions.

        Returns:
            Token ids; the bos token alone for an empty text, where there is one.
        """
        if self.text_form.chat is None:
            ids: list[int] = self.tokenizer.encode(text if raw else self.text_form.source(text)).ids
        else:  # as in training, where a prompt has no end
            opening = () if self.text_form.chat.opening else frame(self.tokenizer).opening
            told = text if raw else self.text_form.source(text)
            ids = [*opening, *self.tokenizer.encode(told, add_special_tokens=False).ids]
        if not ids and self.bos_token_id is not None:
            return [self.bos_token_id]
        return ids


def settle(options: DecodingOptions | None, usual: DecodingOptions, changes: Mapping[str, Any]) -> DecodingOptions:
    """The options that hold.

    Args:
        options: what a call gave.
        usual: what holds where it gave none; its ``eos_token_id`` is the model's own.
        changes: fields that the call gave by name.

    Returns:
        The options.

    Raises:
        ValueError: for a field that there is not.
    """
    known = [field.name for field in dataclasses.fields(DecodingOptions)]
    unknown = sorted(changes.keys() - set(known))
    if unknown:
        raise ValueError(f"there is no decoding option {unknown[0]!r}; expected one of {', '.join(known)}")
    settled = dataclasses.replace(options or usual, **changes)
    if settled.eos_token_id is None:
        settled = dataclasses.replace(settled, eos_token_id=usual.eos_token_id)
    return settled


def settle_all(
    texts: Sequence[str],
    options: DecodingOptions | Sequence[DecodingOptions] | None,
    usual: DecodingOptions,
    changes: Mapping[str, Any],
) -> list[DecodingOptions]:
    """The options that hold for each text; see `settle`.

    Args:
        texts: the texts.
        options: for all of them, or one for each.
        usual: see `settle`.
        changes: the same.

    Returns:
        One for each text.

    Raises:
        ValueError: when there are not as many options as texts, or as `settle`.
    """
    if isinstance(texts, str):
        raise ValueError("generate takes a list of texts: put brackets around the one text")
    each = [options] * len(texts) if options is None or isinstance(options, DecodingOptions) else list(options)
    if len(each) != len(texts):
        raise ValueError(f"{len(texts)} texts came with {len(each)} options")
    return [settle(option, usual, changes) for option in each]


def batches(lengths: Sequence[int], batch_size: int) -> Iterator[list[int]]:
    """What runs together: similar lengths beside each other, the longest first.

    Args:
        lengths: of the rows, in tokens.
        batch_size: how many run together.

    Yields:
        The places of a batch's rows.

    Raises:
        ValueError: for a batch of nothing.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    order = sorted(range(len(lengths)), key=lambda place: -lengths[place])
    for first in range(0, len(order), batch_size):
        yield order[first : first + batch_size]
