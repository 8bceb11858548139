"""From texts to other texts: what the runtime, the command line and a server share for encoder-decoders."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from tokenizers import Tokenizer

from plmlight.decoding.generate import generate, stream
from plmlight.decoding.generator import batches, settle, settle_all
from plmlight.decoding.model import SequenceModel
from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.row import Hypothesis
from plmlight.decoding.text import Piece
from plmlight.text import TextForm, frame


class SequenceGenerator:
    """A model that reads one text and writes another, with its tokenizers.

    Args:
        model: runs the network.
        tokenizer: turns sources to tokens.
        target_tokenizer: turns tokens to answers; ``tokenizer`` by default.
        options: what holds where a call says nothing; where they name no end token, it is the one that closes a text.
        text_form: what stands before and around a source.
    """

    def __init__(
        self,
        model: SequenceModel,
        tokenizer: Tokenizer,
        target_tokenizer: Tokenizer | None = None,
        options: DecodingOptions | None = None,
        text_form: TextForm | None = None,
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.target_tokenizer = target_tokenizer or tokenizer
        self.options = with_end(options or DecodingOptions(), self.target_tokenizer)
        self.text_form = text_form or TextForm()
        self._frame = frame(tokenizer)

    def generate(
        self,
        texts: Sequence[str],
        options: DecodingOptions | Sequence[DecodingOptions] | None = None,
        *,
        batch_size: int = 8,
        prefix: str | None = None,
        beginnings: Sequence[str] | None = None,
        progress: Callable[[int], None] = lambda done: None,
        **changes: Any,
    ) -> list[list[Hypothesis]]:
        """Answers texts.

        Args:
            texts: the sources.
            options: for all of them, or one for each; the generator's own by default.
            batch_size: how many sources run together, similar lengths beside each other; it changes the speed, and
                the answers only as far as the model's arithmetic depends on the batch.
            prefix: the name of the task that the model is asked for; see `plmlight.text.TextForm.source`.
            beginnings: for each source what its answer begins with; the answer is what comes behind it.
            progress: is told, after each batch, how many more sources are answered.
            **changes: fields of `DecodingOptions` that replace those of ``options``.

        Returns:
            For each text its answers, best first. A warning says how many sources were cut, where that is allowed.

        Raises:
            ValueError: for options, texts and a model that do not fit together.
        """
        settled = settle_all(texts, options, self.options, changes)
        if beginnings is not None and len(beginnings) != len(texts):
            raise ValueError(f"{len(texts)} texts came with {len(beginnings)} beginnings")
        sources = [self.encode(text, prefix) for text in texts]
        begun = zip(beginnings or [""] * len(texts), settled, strict=True)
        prompts = [self._prompt(text, option) for text, option in begun]
        fitted = self._fitted(sources, settled)
        answers: list[list[Hypothesis]] = [[] for _ in texts]
        for places in batches([len(source) for source in fitted], batch_size):
            found = generate(
                self.model.read([fitted[place] for place in places]),
                [prompts[place] for place in places],
                [settled[place] for place in places],
                self.target_tokenizer,
                numbers=places,
            )
            for place, answer in zip(places, found, strict=True):
                answers[place] = answer
            progress(len(places))
        return answers

    def write(
        self, sources: Sequence[Sequence[int]], options: DecodingOptions | None = None, **changes: Any
    ) -> list[list[Hypothesis]]:
        """Answers sources that are tokens already, all in one batch: what a task does in validation.

        Args:
            sources: token ids, as the data makes them.
            options: the generator's own by default.
            **changes: fields of `DecodingOptions` that replace those of ``options``.

        Returns:
            For each source its answers, best first.

        Raises:
            ValueError: as `generate`.
        """
        if not sources:
            return []
        settled = settle(options, self.options, changes)
        fitted = self._fitted(sources, [settled] * len(sources))
        prompts = [[self.model.decoder_start_token_id]] * len(sources)
        return generate(self.model.read(fitted), prompts, settled, self.target_tokenizer)

    def stream(
        self,
        text: str,
        options: DecodingOptions | None = None,
        *,
        prefix: str | None = None,
        beginning: str = "",
        **changes: Any,
    ) -> Iterator[Piece]:
        """Answers one text and gives the answer while it grows.

        Args:
            text: the source.
            options: the generator's own by default.
            prefix: see `generate`.
            beginning: what the answer begins with.
            **changes: fields of `DecodingOptions` that replace those of ``options``.

        Returns:
            One piece a token; their texts together are the answer of `generate`.

        Raises:
            ValueError: as `generate`, and for options that make several answers.
        """
        settled = settle(options, self.options, changes)
        fitted = self._fitted([self.encode(text, prefix)], [settled])
        return stream(self.model.read(fitted), self._prompt(beginning, settled), settled, self.target_tokenizer)

    def encode(self, text: str, prefix: str | None = None) -> list[int]:
        """The tokens of a source.

        Args:
            text: the source.
            prefix: see `generate`.

        Returns:
            Token ids, with what the tokenizer puts around a text.

        Raises:
            ValueError: for an unknown prefix.
        """
        opening, closing = self._frame
        ids = self.tokenizer.encode(self.text_form.source(text, prefix), add_special_tokens=False).ids
        return [*opening, *ids, *closing]

    def fit(self, number: int, source: Sequence[int], options: DecodingOptions) -> Sequence[int]:
        """A source as the model can read it.

        Args:
            number: its place, for the message.
            source: token ids.
            options: whether it may be cut.

        Returns:
            The source, or what is left of it: its beginning, or of a dialogue its end.

        Raises:
            ValueError: when it is too long and may not be cut.
        """
        limit = self.model.max_source_length
        if limit is None or len(source) <= limit:
            return source
        if not options.truncate_source:
            raise ValueError(
                f"source {number} has {len(source)} tokens, but the model reads at most {limit}: "
                "shorten it, or set truncate_source to cut it"
            )
        return self._cut(source, limit)

    def _prompt(self, beginning: str, options: DecodingOptions) -> list[int]:
        """What the decoder reads before it writes; a beginning stands behind what the model would write before it."""
        start = self.model.decoder_start_token_id
        if not beginning:
            return [start]
        forced = options.forced_bos_token_id
        opening = frame(self.target_tokenizer).opening if forced is None else (forced,)
        return [start, *opening, *self.target_tokenizer.encode(beginning, add_special_tokens=False).ids]

    def _fitted(self, sources: Sequence[Sequence[int]], options: Sequence[DecodingOptions]) -> list[Sequence[int]]:
        """All sources as the model can read them; a warning counts those that were cut."""
        pairs = zip(sources, options, strict=True)
        fitted = [self.fit(number, *pair) for number, pair in enumerate(pairs)]
        cut = sum(len(short) < len(long) for short, long in zip(fitted, sources, strict=True))
        if cut:
            limit = self.model.max_source_length
            message = f"{cut} of {len(sources)} sources were longer than the {limit} tokens that the model reads: cut"
            warnings.warn(message, stacklevel=3)
        return fitted

    def _cut(self, source: Sequence[int], limit: int) -> list[int]:
        """A source without its end, or for a dialogue without its beginning, but with what stands around a text."""
        opening, closing = self._frame
        first = len(opening) if tuple(source[: len(opening)]) == opening else 0
        last = len(source) - (len(closing) if tuple(source[len(source) - len(closing) :]) == closing else 0)
        room = limit - first - (len(source) - last)
        if room < 1:
            raise ValueError(f"the model reads at most {limit} tokens, which is no more than stands around each text")
        inner = source[first:last]
        kept = inner[-room:] if self.text_form.keeps_end else inner[:room]
        return [*source[:first], *kept, *source[last:]]


def with_end(options: DecodingOptions, target_tokenizer: Tokenizer) -> DecodingOptions:
    """Options that know where an answer ends.

    Args:
        options: they are kept where they name an end token, or that there is none.
        target_tokenizer: of what is written.

    Returns:
        Options that end at the first token that closes a text: what stands behind it, as mBART's language, says nothing
        more.

    Raises:
        ValueError: when the tokenizer has no token that ends a text.
    """
    if options.eos_token_id is not None:
        return options
    return dataclasses.replace(options, eos_token_id=frame(target_tokenizer).closing[0])
