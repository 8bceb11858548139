"""What an objective is: it makes inputs and labels from ids, and a loss from what the network gave."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from plmlight.heads import AdaptiveHead, BackoffHead, LMHead
from plmlight.nn import Configured
from plmlight.objectives.keyed_random import KeyedRandom

Batch = dict[str, Any]
"""``input_ids``, ``attention_mask``, ``labels`` [B, T] int64 (-100 is no label), ``sample_ids`` [B], ``epoch`` [], and
what a task adds. For encoders the data may give ``token_type_ids`` (segments or languages), ``position_ids`` (where
they restart within a row) and ``word_starts`` (1 where a word begins) [B, T], ``pair_labels`` [B] (0: a true pair)."""

Parts = dict[str, tuple[Tensor, Tensor]]
"""The parts of a loss by name, each a sum and the count that makes it a mean: float32 scalars."""


@dataclass(frozen=True)
class Outputs:
    """What a task gives to its objective.

    Args:
        hidden: [B, T, D], the network's last hidden states.
        head: projects them; an objective asks it only for the positions that have labels.
    """

    hidden: Tensor
    head: LMHead | AdaptiveHead | BackoffHead


class Objective(Configured, ABC):
    """What a network learns from plain ids. Build one on it in a file of your own and name it by its class path."""

    @abstractmethod
    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Makes the network's inputs and labels.

        Args:
            batch: ``input_ids`` [B, L] as the data gives them, with ``attention_mask`` [B, L] unless nothing is padded.
            rng: where random choices come from.

        Returns:
            A new batch with ``labels``.
        """

    @abstractmethod
    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """The loss by parts.

        Args:
            outputs: of the network.
            batch: what `corrupt` returned.

        Returns:
            Name to (sum, count). One part is averaged exactly over all micro-batches and ranks; several are each
            averaged per micro-batch, and then added up.
        """

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Learns from the tokenizer what the ids are; a task calls it when it gets one. Nothing by default."""

    def check_ready(self) -> None:
        """Raises a ValueError where `corrupt` lacks something; asked before a run. Nothing by default."""

    def source_length(self, max_length: int) -> int:
        """How many tokens the data must give so that the network reads ``max_length`` of them."""
        return max_length
