"""What decoding asks of a language model, whatever runs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

Array = Any
"""An array that follows the array API (https://data-apis.org/array-api), as numpy arrays and torch tensors do."""


class LanguageModel(Protocol):
    """A model that reads tokens and scores the next one, for a batch of rows that may shrink, grow and reorder."""

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
