from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch


class Combined(torch.optim.Optimizer):
    """Several optimisers as one, each over its own parameters: Lightning's automatic optimisation takes only one.

    Its parameter groups are those of all, in order, and its state is one dictionary that all share, so that a
    schedule, a checkpoint or a sharding strategy sees an ordinary optimiser.

    Args:
        optimizers: over disjoint parameters.
    """

    def __init__(self, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        self.optimizers = list(optimizers)
        super().__init__([group for optimizer in optimizers for group in optimizer.param_groups], {})
        self._share()

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step of each."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for optimizer in self.optimizers:
            optimizer.step()
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads what `state_dict` gave, and shows it to each."""
        super().load_state_dict(state_dict)
        self._share()

    def _share(self) -> None:
        groups = list(self.param_groups)
        for optimizer in self.optimizers:
            count = len(optimizer.param_groups)
            optimizer.param_groups, groups = groups[:count], groups[count:]
            optimizer.state = self.state
