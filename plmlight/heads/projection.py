"""What makes the head of a language model, chosen by class name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from plmlight.heads.adaptive import AdaptiveHead
from plmlight.heads.lm import LMHead
from plmlight.nn import Configured


class Projection(Configured, ABC):
    """Makes a head: what turns hidden states into scores of the vocabulary."""

    @abstractmethod
    def __call__(self, d_model: int, vocab_size: int, weight: Tensor | None) -> LMHead | AdaptiveHead:
        """Makes the head.

        Args:
            d_model: the width of the hidden states.
            vocab_size: V.
            weight: the token table [V, D] to share; None for weights of its own.

        Returns:
            The head.
        """


class Softmax(Projection):
    """One score for each token of the vocabulary.

    Args:
        bias: whether each token has one.
    """

    def __init__(self, bias: bool = False) -> None:
        self.bias = bias

    def __call__(self, d_model: int, vocab_size: int, weight: Tensor | None) -> LMHead:
        """See `Projection`.

        Raises:
            ValueError: when the table to share is not as wide as the hidden states.
        """
        if weight is not None and weight.shape[1] != d_model:
            raise ValueError(
                f"tie_head: the token vectors are {weight.shape[1]} wide and the hidden states {d_model}; "
                "set tie_head false"
            )
        return LMHead(d_model, vocab_size, self.bias, weight)


class AdaptiveSoftmax(Projection):
    """Frequent tokens first, the others in clusters (Grave et al. 2017, arXiv:1609.04309); `AdaptiveHead`.

    Which tokens are frequent is taken from the data. It shares no weights with the token table: set tie_head false.

    Args:
        cutoffs: where clusters begin, in the order of frequency; by default an eighth and a half of the vocabulary.
        div_value: by how much each cluster's vectors are narrower than the ones' before.
    """

    def __init__(self, cutoffs: Sequence[int] | None = None, div_value: float = 4.0) -> None:
        self.cutoffs, self.div_value = cutoffs, div_value

    def __call__(self, d_model: int, vocab_size: int, weight: Tensor | None) -> AdaptiveHead:
        """See `Projection`.

        Raises:
            ValueError: for a table to share, or cutoffs that do not fit.
        """
        if weight is not None:
            raise ValueError("tie_head: AdaptiveSoftmax has clusters of several widths and no table; set it false")
        cutoffs = self.cutoffs if self.cutoffs is not None else [vocab_size // 8, vocab_size // 2]
        return AdaptiveHead(d_model, vocab_size, cutoffs, self.div_value)
