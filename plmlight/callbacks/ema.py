from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

_RAW = "raw_weights"


class ExponentialMovingAverage(pl.Callback):
    """Averages the weights over the steps; validation and checkpoints get the average (Polyak and Juditsky 1992).

    A checkpoint's ``state_dict`` is the average, so that whatever loads it has that; the weights under training lie
    beside it, so that a resumed run goes on with them exactly.

    Args:
        decay: how much of the average a step keeps; in the first steps it is less, (1 + n) / (10 + n) after n of them.
        every_n_steps: how often to add to it.

    Raises:
        ValueError: for a decay outside [0, 1), or an interval below 1.
    """

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"decay {decay}: expected at least 0 and less than 1")
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps {every_n_steps}: expected at least 1")
        self.decay, self.every_n_steps = decay, every_n_steps
        self._average: list[Tensor] = []
        self._step = 0
        self._swapped = False

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forgets an earlier run: training begins with the model's weights, or with what a checkpoint has."""
        if stage == "fit":
            self._average, self._swapped, self._step = [], False, 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts from the present weights, unless a checkpoint gave an average."""
        if pl_module.device_mesh is not None:
            raise ValueError("ExponentialMovingAverage: the average of sharded weights (FSDP2) is not supported")
        if not self._average:
            self._average = [p.detach().clone() for p in pl_module.parameters()]
        self._average = [a.to(p.device) for a, p in zip(self._average, pl_module.parameters(), strict=True)]

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the weights, once an optimiser step."""
        if trainer.global_step == self._step or trainer.global_step % self.every_n_steps:
            return
        self._step = trainer.global_step
        seen = self._step // self.every_n_steps
        decay = min(self.decay, (1 + seen) / (10 + seen))
        both = zip(self._average, pl_module.parameters(), strict=True)
        moved = [(average, p.detach()) for average, p in both if p.requires_grad]  # what is frozen is its own average
        with torch.no_grad():
            torch._foreach_lerp_([average for average, _ in moved], [p for _, p in moved], 1 - decay)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the average in place, where training has not left it there."""
        if trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the weights under training back."""
        if self._swapped and trainer.state.fn == "fit":
            self._swap(pl_module)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Puts the weights under training back."""
        self.on_validation_end(trainer, pl_module)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Leaves the average in the model."""
        self._swap(pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Makes the average the checkpoint's weights, and puts those under training beside it."""
        if self._average:
            mine = self._named(pl_module, self._average)
            placed = self._named(pl_module, list(pl_module.parameters()))
            average, raw = (placed, mine) if self._swapped else (mine, placed)
            checkpoint["state_dict"] = {**checkpoint["state_dict"], **average}
            checkpoint[_RAW] = {name: tensor.detach() for name, tensor in raw.items()}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes the average and the weights under training from a checkpoint that has both."""
        if _RAW in checkpoint and trainer.state.fn == "fit":
            names = [name for name, _ in pl_module.named_parameters()]
            self._average = [checkpoint["state_dict"][name].clone() for name in names]
            self._step = checkpoint["global_step"]
            with torch.no_grad():
                for name, parameter in pl_module.named_parameters():
                    parameter.copy_(checkpoint[_RAW][name])

    def _swap(self, pl_module: pl.LightningModule) -> None:
        if not self._average:
            return
        with torch.no_grad():
            for average, parameter in zip(self._average, pl_module.parameters(), strict=True):
                kept = parameter.detach().clone()
                parameter.copy_(average)
                average.copy_(kept)
        self._swapped = not self._swapped

    @staticmethod
    def _named(pl_module: pl.LightningModule, tensors: list[Any]) -> dict[str, Tensor]:
        """Tensors of the parameters, in order, under every name that a state dict gives them (tied ones have two)."""
        by_id = {id(p): tensor.detach() for p, tensor in zip(pl_module.parameters(), tensors, strict=True)}
        named = pl_module.named_parameters(remove_duplicate=False)
        return {name: by_id[id(parameter)] for name, parameter in named}
