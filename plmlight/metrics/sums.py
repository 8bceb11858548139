from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.distributed
from torch import Tensor
from torch.distributed import ProcessGroup


class Sums:
    """Named sums that stay on the device until someone looks.

    Adding neither waits for the device nor talks to other ranks; `take` does both, once.
    """

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Adds to sums; a new name starts at 0.

        Args:
            values: scalars by name.
        """
        for name, value in values.items():
            value = value.detach().to(_widest(value.device))
            self._sums[name] = self._sums[name].to(value.device) + value if name in self._sums else value

    def take(self, group: ProcessGroup | None = None) -> dict[str, float]:
        """Gives the sums over all ranks, and starts again at nothing.

        Args:
            group: the ranks; all of them by default. All must have added to the same names.

        Returns:
            The sums by name.
        """
        totals, self._sums = self._totals(group), {}
        return {name: float(value) for name, value in totals.items()}

    def save(self, group: ProcessGroup | None = None) -> dict[str, Tensor]:
        """Gives the sums over all ranks to a checkpoint, and gathers them on the first rank.

        Args:
            group: as for `take`.

        Returns:
            The sums by name.
        """
        totals = self._totals(group)
        self.load(totals)
        return totals

    def load(self, totals: Mapping[str, Tensor]) -> None:
        """Goes on from what `save` gave, whatever the number of ranks is now."""
        first = not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0
        self._sums = {name: value.clone() if first else torch.zeros_like(value) for name, value in totals.items()}

    def _totals(self, group: ProcessGroup | None) -> dict[str, Tensor]:
        if not self._sums:
            return {}
        names = sorted(self._sums)
        totals = all_reduce_sum(torch.stack([self._sums[name] for name in names]), group)
        return dict(zip(names, totals.cpu().unbind(), strict=True))


def all_reduce_sum(value: Tensor, group: ProcessGroup | None = None) -> Tensor:
    """The sum over the ranks of a group, in place; the value itself where there is one process only."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(value, group=group)
    return value


def _widest(device: torch.device) -> torch.dtype:
    return torch.float32 if device.type == "mps" else torch.float64
