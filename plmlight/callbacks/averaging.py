from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
import torch

from plmlight.callbacks.ema import ExponentialMovingAverage

_STATE = "non_monotonic_averaging"


class NonMonotonicAveraging(ExponentialMovingAverage):
    """Averages the weights from when validation does not get better: NT-ASGD (Merity et al. 2017, arXiv:1708.02182).

    The trigger is the paper's algorithm 1: a validation's loss that is worse than the best of all but the last ``n``
    before it. From the next step on the plain mean of the weights after each step is what validation and checkpoints
    get; the learning rate stays as it is (use `SGD` and the schedule `Constant`). Weights under training lie beside it
    in checkpoints, as `ExponentialMovingAverage` has them.

    Args:
        n: how many validations may be no better than what was before them.
        monitor: the loss that is looked at.

    Raises:
        ValueError: for a negative interval.
    """

    def __init__(self, n: int = 5, monitor: str = "val_loss") -> None:
        super().__init__()
        if n < 0:
            raise ValueError(f"n {n}: expected a number of validations, at least 0")
        self.n, self.monitor = n, monitor
        self.losses: list[float] = []
        """Of each validation so far."""
        self.triggered = False
        self._averaged = 0  # steps in the average

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Forgets an earlier run."""
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            self.losses, self.triggered, self._averaged = [], False, 0

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts without an average, unless a checkpoint gave one."""
        if self._average:
            super().on_fit_start(trainer, pl_module)
        elif pl_module.device_mesh is not None:
            raise ValueError("NonMonotonicAveraging: the average of sharded weights (FSDP2) is not supported")

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the weights, once an optimiser step, from the trigger on."""
        if not self.triggered or trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        self._averaged += 1
        weights = [parameter.detach() for parameter in pl_module.parameters()]
        if not self._average:
            self._average = [weight.clone() for weight in weights]
        else:
            torch._foreach_lerp_(self._average, weights, 1 / self._averaged)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Puts the weights under training back, and looks whether the loss says that averaging begins."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        if self.monitor not in trainer.callback_metrics:
            known = ", ".join(sorted(trainer.callback_metrics))
            raise ValueError(f"NonMonotonicAveraging: monitor {self.monitor!r} was not logged; there is {known}")
        loss = float(trainer.callback_metrics[self.monitor])
        before = self.losses[: len(self.losses) - self.n] if len(self.losses) > self.n else []
        if not self.triggered and before and loss > min(before):
            self.triggered, self._step = True, trainer.global_step
        self.losses.append(loss)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Puts the weights under training back."""
        super().on_validation_end(trainer, pl_module)

    def on_save_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the losses so far and, from the trigger on, what `ExponentialMovingAverage` adds."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        checkpoint[_STATE] = {"losses": self.losses, "triggered": self.triggered, "averaged": self._averaged}

    def on_load_checkpoint(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Takes them back."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if trainer.state.fn == "fit" and _STATE in checkpoint:
            state = checkpoint[_STATE]
            self.losses, self.triggered = list(state["losses"]), state["triggered"]
            self._averaged, self._step = state["averaged"], checkpoint["global_step"]
