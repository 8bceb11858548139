"""What decoding asks of a language model, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

Array = Any
"""An array that follows the array API (https://data-apis.org/array-api), as numpy arrays and torch tensors do."""


class LanguageModel(Protocol):
    """A model that reads tokens and scores the next one, for a batch of rows that may shrink, grow and reorder.

    What only some ways of decoding need is in protocols of its own: `Covering` and `Revealing`.
    """

    max_length: int | None
    """The most tokens that a row can hold, prompt included; None where there is no limit."""

    def start(self, prompts: Sequence[Sequence[int]]) -> Array:
        """Forgets everything and reads prompts, one a row.

        Args:
            prompts: token ids, at least one each; their lengths may differ.

        Returns:
            The logits of each row's next token, [B, V].
        """

    def step(self, tokens: Sequence[int]) -> Array:
        """Appends one token to each row.

        Args:
            tokens: one id a row.

        Returns:
            The logits of each row's next token, [B, V]; they are valid until the next call.
        """

    def select(self, rows: Sequence[int]) -> None:
        """Makes the batch consist of these rows of the present one, in this order; a row may be left out or repeated.

        Args:
            rows: indices into the present rows.
        """


@runtime_checkable
class Covering(Protocol):
    """What a language model that reads a source may offer too: the coverage penalty needs it."""

    def coverage(self) -> Array:
        """How much attention each place of the source has had so far, the last call's included.

        Returns:
            [B, S], valid until the next call; places of padding have 1, as nothing is left to cover there.

        Raises:
            ValueError: when the network has no attention to the source, or does not sum it.
        """


@runtime_checkable
class Revealing(Protocol):
    """What a language model may offer too: contrastive search needs it."""

    def hidden(self) -> Array:
        """The hidden states that the last call's logits came from.

        Returns:
            [B, T, D], valid until the next call: after `LanguageModel.start` of the prompts, where a shorter one stands
            at the end of its row; after `LanguageModel.step` of one token.
        """


class SequenceModel(Protocol):
    """A model that reads one text and writes another."""

    max_length: int | None
    """The most tokens that are written, the start included; None where there is no limit."""
    max_source_length: int | None
    """The most tokens that are read; None where there is no limit."""
    decoder_start_token_id: int
    """What the decoder reads first."""

    def read(self, sources: Sequence[Sequence[int]]) -> LanguageModel:
        """Reads sources, one a row.

        Args:
            sources: token ids, at least one each; their lengths may differ.

        Returns:
            What writes: its ``start`` takes one prompt for each source, which begins with ``decoder_start_token_id``;
            its ``max_length`` is that of this model.
        """


def memories(sources: Sequence[int]) -> list[int]:
    """What rows that each go on from a source share of what was read.

    Args:
        sources: the source of each row.

    Returns:
        Each source once, where its rows are next to each other and all have as many, as the beams of a search do; else
        the source of each row. The number of rows is a multiple of its length.
    """
    once = [source for place, source in enumerate(sources) if not place or source != sources[place - 1]]
    times = len(sources) // len(once)
    return once if [source for source in once for _ in range(times)] == list(sources) else list(sources)
