from __future__ import annotations

import torch
from torch import Tensor, nn

from plmlight.heads.cross_entropy import IGNORED
from plmlight.nn.backoff import BackoffTables


class BackoffHead(nn.Module):
    """The scores of a back-off language model: logarithms of probabilities, which add up to 1 as they are.

    Args:
        tables: the network's; they stay its part, and are none of the head's own.
    """

    def __init__(self, tables: BackoffTables) -> None:
        super().__init__()
        self._tables = (tables,)  # in a tuple, or the checkpoint would hold them twice

    @property
    def tables(self) -> BackoffTables:
        """The network's tables."""
        return self._tables[0]

    @property
    def weight(self) -> Tensor:
        """The tokens' own scores [V]: what says the type, the device and V of scores."""
        return self.tables.scores_1[:-2]

    def forward(self, hidden: Tensor) -> Tensor:
        """The scores [..., V] of contexts [..., max(1, n-1)], numbers of n-grams."""
        scores = self.tables.scores(hidden.reshape(-1, hidden.shape[-1]))
        return scores.view(*hidden.shape[:-1], self.tables.vocab_size)

    def loss(
        self, hidden: Tensor, labels: Tensor, *, select: bool | None = None, label_smoothing: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """The cross entropy at the labelled positions; no other token is looked up.

        Args:
            hidden: [..., max(1, n-1)].
            labels: [...], int64; -100 is no label.
            select: positions without label are left out, whatever this says.
            label_smoothing: 0.

        Returns:
            The sum over the labels and their count, both float32 scalars.

        Raises:
            ValueError: for label smoothing.
        """
        if label_smoothing:
            raise ValueError(
                "label_smoothing is for what is trained by gradients: counted probabilities are what they are"
            )
        labelled = labels != IGNORED
        scores = self.tables.score(hidden[labelled], labels[labelled])
        return -scores.double().sum().float(), labelled.sum().to(torch.float32)
