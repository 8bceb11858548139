from __future__ import annotations

import torch
from torch import Tensor

from plmlight.nn import WordVectors
from plmlight.objectives.base import Batch, Parts
from plmlight.objectives.word_vectors import RowGradient, WordObjective


class CooccurrenceRegression(WordObjective):
    """Products of vectors are fitted to the logarithms of co-occurrence counts (Pennington et al. 2014, D14-1162).

    The loss is half of equation 8, as in the authors' program, so that the learning rates are theirs: rare pairs weigh
    ``(count / x_max) ** alpha``, frequent ones 1.

    Args:
        x_max: from this count on a pair has its full weight.
        alpha: the power of the weight.
        sub_batch: pairs that a small step takes at once.

    Raises:
        ValueError: when a number is out of range.
    """

    needs = ("context_ids", "cooccurrences")
    data = "Cooccurrences"

    def __init__(self, x_max: float = 100.0, alpha: float = 0.75, sub_batch: int = 1024) -> None:
        super().__init__(sub_batch)
        if x_max <= 0 or alpha <= 0:
            raise ValueError(f"x_max {x_max} and alpha {alpha} must be more than 0")
        self.x_max, self.alpha = x_max, alpha

    def check_network(self, network: WordVectors) -> None:
        """The network must have biases.

        Raises:
            ValueError: when it has none.
        """
        if network.input_bias is None or network.output_bias is None:
            raise ValueError(f"CooccurrenceRegression needs the biases of GloVe, which {type(network).__name__} lacks")

    def loss(self, network: WordVectors, batch: Batch) -> Parts:
        """Half the weighted sum of squares, and the number of pairs."""
        assert network.input_bias is not None
        assert network.output_bias is not None
        first, second = batch["input_ids"], batch["context_ids"]
        difference = (network.input_table(first) * network.output_table(second)).sum(-1)
        difference = difference + network.input_bias[first] + network.output_bias[second] - self._wanted(batch)
        weights = self._weights(batch)
        return {"loss": (0.5 * (weights * difference**2).sum(), (weights > 0).to(difference.dtype).sum())}

    def gradients(self, network: WordVectors, batch: Batch) -> list[RowGradient]:
        """Of both tables and both biases."""
        assert network.input_bias is not None
        assert network.output_bias is not None
        first, second = batch["input_ids"], batch["context_ids"]
        inputs = network.input_table.weight.index_select(0, first)
        outputs = network.output_table.weight.index_select(0, second)
        products = torch.bmm(inputs[:, None], outputs[:, :, None]).view(-1)
        biases = network.input_bias.index_select(0, first) + network.output_bias.index_select(0, second)
        errors = (products + biases - self._wanted(batch)).mul_(self._weights(batch))
        return [
            RowGradient(network.input_table.weight, first, outputs * errors[:, None]),
            RowGradient(network.output_table.weight, second, inputs * errors[:, None]),
            RowGradient(network.input_bias, first, errors),
            RowGradient(network.output_bias, second, errors),
        ]

    def _wanted(self, batch: Batch) -> Tensor:
        counts: Tensor = batch["cooccurrences"]
        return counts.clamp_min(torch.finfo(torch.float32).tiny).log()

    def _weights(self, batch: Batch) -> Tensor:
        """What a pair weighs; 0 for padding, whose count is 0."""
        counts: Tensor = batch["cooccurrences"]
        return (counts / self.x_max).clamp_max(1.0) ** self.alpha
