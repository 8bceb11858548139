from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import nn

from plmlight.nn import Network
from plmlight.nn.depth import distances_from_top


class Unfreezing(pl.Callback):
    """Trains the heads alone at first, and the network with them later.

    Layer by layer from the top it is the gradual unfreezing of Howard and Ruder (2018, arXiv:1801.06146, section 3.3).
    The optimiser holds all parameters from the start: those that are frozen have no gradient, and neither decay nor
    count as steps. What is frozen follows from the number of the step alone, so that a resumed run is the same.

    Args:
        steps: optimiser steps until the network is trained.
        epochs: the same in epochs, in the place of ``steps``.
        gradually: after each ``steps`` or ``epochs`` only the next layer, the embeddings last.

    Raises:
        ValueError: unless one of both is given, at least 1.
    """

    def __init__(self, steps: int | None = None, epochs: int | None = None, gradually: bool = False) -> None:
        if (steps is None) == (epochs is None):
            raise ValueError(f"Unfreezing: steps {steps} and epochs {epochs}: expected one of both")
        if (steps or epochs or 0) < 1:
            raise ValueError(f"Unfreezing: {'epochs' if steps is None else 'steps'} {steps or epochs}: at least 1")
        self.steps, self.epochs, self.gradually = steps, epochs, gradually
        self._distances: list[tuple[nn.Parameter, int]] = []
        self._frozen: list[nn.Parameter] = []
        self._stage = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes what is trained, and how deep it lies.

        Raises:
            ValueError: for a task of which nothing is trained but the network, or, where it is unfrozen gradually, a
                network without layers.
        """
        distances = distances_from_top(pl_module) if self.gradually else self._all_or_nothing(pl_module)
        named = [(name, parameter) for name, parameter in pl_module.named_parameters() if parameter.requires_grad]
        self._distances = [(parameter, distances[name]) for name, parameter in named]
        if all(distance > 0 for _, distance in self._distances):
            raise ValueError(f"Unfreezing: {type(pl_module).__name__} trains nothing but its network, so all is frozen")
        self._stage = -1

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Freezes and unfreezes."""
        stage = trainer.current_epoch // self.epochs if self.epochs else trainer.global_step // (self.steps or 1)
        if stage == self._stage:
            return
        self._stage = stage
        self._frozen = [parameter for parameter, distance in self._distances if distance > stage]
        frozen = {id(parameter) for parameter in self._frozen}
        if trainer.world_size == 1:  # several processes wait for the gradients of all that had one at the start
            for parameter, _ in self._distances:
                parameter.requires_grad_(id(parameter) not in frozen)

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Leaves the optimiser no gradient of what is frozen."""
        for parameter in self._frozen:
            parameter.grad = None

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the parameters as it found them."""
        for parameter, _ in self._distances:
            parameter.requires_grad_(True)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Leaves the parameters as it found them."""
        self.on_train_end(trainer, pl_module)

    def _all_or_nothing(self, pl_module: pl.LightningModule) -> dict[str, int]:
        own = {
            id(parameter)
            for module in pl_module.modules()
            if isinstance(module, Network)
            for parameter in module.parameters()
        }
        return {name: int(id(parameter) in own) for name, parameter in pl_module.named_parameters()}
