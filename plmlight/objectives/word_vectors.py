"""What the objectives of word vectors share: gradients of single rows, written by hand, and windows of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from plmlight.nn import Configured, WordVectors
from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.keyed_random import KeyedRandom


@dataclass(frozen=True)
class RowGradient:
    """The gradient of some rows of a table; that of a row that is named twice is the sum.

    Args:
        table: [V, D], or [V].
        rows: [N], int64.
        gradient: [N, D], or [N].
        weights: [N], how many predictions each of them is the sum of, where that is told.
    """

    table: Tensor
    rows: Tensor
    gradient: Tensor
    weights: Tensor | None = None


class WordObjective(Configured, ABC):
    """What word vectors learn. A step of training takes many small steps, with gradients of single rows.

    Args:
        sub_batch: how many samples (rows of a window batch, or pairs) a small step takes at once.
    """

    needs: tuple[str, ...] = ()
    """The names that the data's batches must have."""
    data: str
    """The data that has them, for messages."""

    def __init__(self, sub_batch: int) -> None:
        if sub_batch < 1:
            raise ValueError(f"sub_batch {sub_batch} must be at least 1")
        self.sub_batch = sub_batch

    @abstractmethod
    def loss(self, network: WordVectors, batch: Batch) -> Parts:
        """The loss, as autograd may differentiate it.

        Args:
            network: the tables.
            batch: what `corrupt` returned.

        Returns:
            Name to (sum, count).
        """

    @abstractmethod
    def gradients(self, network: WordVectors, batch: Batch) -> list[RowGradient]:
        """The gradient of the loss's sum.

        Args:
            network: the tables.
            batch: what `corrupt` returned, or a part of it.

        Returns:
            That of each table's rows.
        """

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Adds what is drawn; nothing by default."""
        return batch

    def use_counts(self, counts: Tensor) -> None:
        """Learns how often each word stands in the text [V]. Nothing by default."""

    def check_network(self, network: WordVectors) -> None:
        """Refuses a network that lacks something. Nothing by default.

        Args:
            network: the tables.

        Raises:
            ValueError: naming what is missing.
        """

    def check_batch(self, batch: Batch) -> None:
        """Refuses batches of other data.

        Args:
            batch: as the data gives it.

        Raises:
            ValueError: naming the data that is needed.
        """
        if not set(self.needs) <= set(batch):
            raise ValueError(f"{type(self).__name__} cannot learn from this data: give it {self.data}")

    def parts_of(self, batch: Batch) -> Iterator[Batch]:
        """A batch in parts of at most ``sub_batch`` samples, each of samples from all over it.

        Args:
            batch: what `corrupt` returned.

        Yields:
            The parts, neighbours in different ones, as their words are alike.
        """
        length = len(batch["input_ids"])
        count = -(-length // self.sub_batch)
        parted = {name: value for name, value in batch.items() if value.ndim and len(value) == length}
        for first in range(count):
            yield {name: value[first::count] for name, value in parted.items()}


class WindowObjective(WordObjective):
    """Words of a window predict the one in its middle, by yes-or-no questions about rows of the output table.

    The questions of a row of text are asked together: of C words that predict (``input_ids``; of CBOW the T means of
    the windows) about M rows of the output table, as one product [C, M]. That is far less memory traffic than a product
    a pair, and the same sum.

    Args:
        sub_batch: rows of text that a small step takes at once.
    """

    needs = ("windows", "segments")
    data = "WindowCorpus"

    @abstractmethod
    def questions(self, batch: Batch, pairs: Tensor, centres: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What is asked.

        Args:
            batch: what `corrupt` returned.
            pairs: [B, C, T], 1 where a predicting vector belongs to a centre.
            centres: [B, T], the words that are predicted.

        Returns:
            The rows of the output table [B, M]; the right answers, 0 or 1, [B, 1, M]; and how much each question
            weighs [B, C, M].
        """

    def loss(self, network: WordVectors, batch: Batch) -> Parts:
        """The sum of minus the logarithms of the probabilities of the right answers, and the number of predictions."""
        ids, mean, pairs, rows, labels, weights = self._asked(network, batch)
        vectors = network.input_table(ids)
        vectors = vectors if mean is None else torch.bmm(mean, vectors)
        logits = torch.bmm(vectors, network.output_table(rows).transpose(1, 2))  # [B, C, M]
        wrong = nn.functional.softplus(torch.where(labels == 1, -logits, logits))
        return {"loss": ((wrong * weights).sum(), pairs.sum())}

    def gradients(self, network: WordVectors, batch: Batch) -> list[RowGradient]:
        """Of the input rows and the output rows."""
        ids, mean, _, rows, labels, weights = self._asked(network, batch)
        width = network.d_model
        flat, named = ids.reshape(-1), rows.reshape(-1)
        words = network.input_table.weight.index_select(0, flat).view(*ids.shape, width)  # [B, C', D]
        vectors = words if mean is None else torch.bmm(mean, words)  # [B, C, D]
        outputs = network.output_table.weight.index_select(0, named).view(*rows.shape, width)  # [B, M, D]
        errors = torch.bmm(vectors, outputs.transpose(1, 2)).sigmoid_().sub_(labels).mul_(weights)  # [B, C, M]
        inner, inner_weights = torch.bmm(errors, outputs), weights.sum(2, keepdim=True)
        if mean is not None:
            inner, inner_weights = (torch.bmm(mean.transpose(1, 2), each) for each in (inner, inner_weights))
        outer, outer_weights = torch.bmm(errors.transpose(1, 2), vectors), weights.sum(1)
        return [
            RowGradient(network.input_table.weight, flat, inner.view(-1, width), inner_weights.view(-1)),
            RowGradient(network.output_table.weight, named, outer.view(-1, width), outer_weights.view(-1)),
        ]

    def _asked(
        self, network: WordVectors, batch: Batch
    ) -> tuple[Tensor, Tensor | None, Tensor, Tensor, Tensor, Tensor]:
        """Input ids, the matrix that averages them (CBOW), the pairs, and the questions."""
        ids, windows, segments = batch["input_ids"], batch["windows"], batch["segments"]
        length = windows.shape[1]
        most = (ids.shape[1] - length) // 2
        centres = ids[:, most : most + length]
        middle = segments[:, most : most + length]
        distance = _distances(length, most, ids.device)  # [T, C]
        within = (distance <= windows[:, :, None]) & (distance > 0) & (middle[:, :, None] == segments[:, None])
        pairs = within.to(network.input_table.weight.dtype)  # [B, T, C]
        mean = None
        if network.averages:
            counts = pairs.sum(2, keepdim=True)
            mean = pairs / counts.clamp_min(1.0)
            pairs = torch.diag_embed((counts[..., 0] > 0).to(pairs.dtype))  # a mean predicts its own centre
        else:
            pairs = pairs.transpose(1, 2)
        return ids, mean, pairs, *self.questions(batch, pairs, centres)


def _distances(length: int, most: int, device: torch.device) -> Tensor:
    """How far each of the C = T + 2W places of a row is from each of its T centres [T, C]."""
    places = torch.arange(-most, length + most, device=device)
    return (places[most : most + length, None] - places).abs()
