"""Optimisers of tables of which a step touches few rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from plmlight.optim.factory import OptimizerFactory


class RowOptimizer(torch.optim.Optimizer):
    """Changes rows by gradients that were written by hand; `step` finds nothing left to do.

    Args:
        parameters: the tables.
        defaults: of their group, with the learning rate ``lr``.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(parameters, defaults)

    @abstractmethod
    def update(self, table: Tensor, rows: Tensor, gradient: Tensor, weights: Tensor | None = None) -> None:
        """Takes a small step.

        Args:
            table: [V, D], or [V].
            rows: [N], int64, of which some may be equal.
            gradient: [N, D], or [N].
            weights: [N], how many predictions each gradient is the sum of; None where that is not told.
        """

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Counts as a step for whoever counts them.

        Args:
            closure: is called.

        Returns:
            What it returns.
        """
        return None if closure is None else closure()


class _SGD(RowOptimizer):
    def __init__(self, parameters: Iterable[nn.Parameter], defaults: dict[str, Any]) -> None:
        super().__init__(parameters, defaults)
        self._totals: dict[int, Tensor] = {}

    @torch.no_grad()
    def update(self, table: Tensor, rows: Tensor, gradient: Tensor, weights: Tensor | None = None) -> None:
        group = self.param_groups[0]
        if weights is not None:
            found = self._total(table, rows, weights)
            if (excess := group["lr"] / group["most"]) * float(found.max()) > 1:
                gradient = gradient / (found * excess).clamp_min_(1.0)[:, None]
        table.index_add_(0, rows, gradient, alpha=-group["lr"])

    def _total(self, table: Tensor, rows: Tensor, weights: Tensor) -> Tensor:
        """The sums of the weights of each row that is named [N]."""
        totals = self._totals.get(id(table))
        if totals is None or totals.device != table.device:
            totals = self._totals[id(table)] = torch.zeros(len(table), dtype=weights.dtype, device=table.device)
        totals.index_add_(0, rows, weights)
        found = totals.index_select(0, rows)
        totals.index_fill_(0, rows, 0.0)  # not all of it, as it may be long
        return found


class _AdaGrad(RowOptimizer):
    @torch.no_grad()
    def update(self, table: Tensor, rows: Tensor, gradient: Tensor, weights: Tensor | None = None) -> None:
        group = self.param_groups[0]
        if "sum" not in self.state[table]:
            self.state[table]["sum"] = torch.full_like(table, group["initial"])
        sums = self.state[table]["sum"]
        change = gradient * sums.index_select(0, rows).rsqrt_()
        table.index_add_(0, rows, change, alpha=-group["lr"])
        sums.index_add_(0, rows, gradient**2)


class RowOptimizerFactory(OptimizerFactory):
    """Makes a `RowOptimizer`."""

    @abstractmethod
    def __call__(self, model: nn.Module) -> RowOptimizer:
        """Makes it; see `OptimizerFactory`."""


class RowSGD(RowOptimizerFactory):
    """Plain stochastic gradient descent on rows.

    Args:
        lr: the learning rate. word2vec's programs begin with 0.025 (skip-gram) and 0.05 (CBOW).
        most: the most that the learning rate times the number of predictions of a row may be in one small step; it is
            lowered for rows with more of them. Their gradients are taken at one place, and together would go too far:
            those of the most frequent words, or of all words of a small vocabulary.
    """

    def __init__(self, lr: float = 0.025, most: float = 1.0) -> None:
        if most <= 0:
            raise ValueError(f"most {most} must be more than 0")
        self.lr, self.most = lr, most

    def __call__(self, model: nn.Module) -> RowOptimizer:
        """Over all parameters."""
        return _SGD(_trainable(model), {"lr": self.lr, "most": self.most})


class RowAdaGrad(RowOptimizerFactory):
    """AdaGrad on rows (Duchi et al. 2011): each number's steps shrink with the root of its sum of squared gradients.

    A gradient is divided by the root of the sum before it is added there, as in GloVe's program, which squares the
    gradient times its rate eta, beginning from 1: that is a rate of 1 here, and sums that begin from ``1 / eta ** 2``.

    Args:
        lr: the learning rate.
        initial: of the sums; 400 is GloVe's eta of 0.05.
    """

    def __init__(self, lr: float = 1.0, initial: float = 400.0) -> None:
        if initial <= 0:
            raise ValueError(f"initial {initial} must be more than 0")
        self.lr, self.initial = lr, initial

    def __call__(self, model: nn.Module) -> RowOptimizer:
        """Over all parameters."""
        return _AdaGrad(_trainable(model), {"lr": self.lr, "initial": self.initial})


def _trainable(model: nn.Module) -> list[nn.Parameter]:
    return cast(list[nn.Parameter], [parameter for parameter in model.parameters() if parameter.requires_grad])
