"""Gradients of a mean over all tokens of a step, however they are spread over micro-batches and ranks."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor

from plmlight.metrics import all_reduce_sum


class TokenWeighting:
    """Turns gradients of sums into gradients of the mean over a step's tokens.

    A mean of means weights a token by the length of its micro-batch. So the sums are differentiated, the tokens are
    counted, and the gradients are scaled once, before they are clipped.
    """

    def __init__(self) -> None:
        self._count: Tensor | None = None

    def add(self, count: Tensor) -> None:
        """Counts a micro-batch's tokens, without waiting for the device."""
        count = count.detach()
        self._count = count if self._count is None else self._count + count

    def rescale(self, parameters: Iterable[nn.Parameter], undo: int, group: ProcessGroup | None = None) -> None:
        """Scales the gradients to those of the mean, and starts to count again.

        Args:
            parameters: whose gradients are changed in place.
            undo: by what the gradients were divided so far: micro-batches a step times ranks.
            group: the ranks that share a step; all by default.
        """
        if self._count is None:
            return
        factor = undo / divisor(all_reduce_sum(self._count.clone(), group))
        self._count = None
        gradients = [_local(p.grad) for p in parameters if p.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, factor)


def divisor(count: Tensor) -> Tensor:
    """What a sum is divided by to have its mean: the count, which weights may make smaller than 1; 1 of nothing."""
    return torch.where(count > 0, count, 1.0)


def _local(gradient: Tensor) -> Tensor:
    return gradient.to_local() if isinstance(gradient, DTensor) else gradient
