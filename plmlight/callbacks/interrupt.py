from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.utilities.exceptions import SIGTERMException

from plmlight.nn.counting import Counted


class StopsCleanly(pl.Callback):
    """Lets Ctrl-C and SIGTERM end a run between two steps, with a checkpoint from which it goes on as if it never had.

    Schedulers send SIGTERM some time before they kill, often to every process and more than once: that changes nothing.
    The checkpoint is written after the step in which the signal came. Where a validation or the end of an epoch follows
    that step, they are done first, and the step after them too, so that a run that goes on has missed neither. A second
    Ctrl-C ends the run at once.

    Args:
        filename: of the checkpoint, in ``trainer.default_root_dir``.

    Attributes:
        saved: the checkpoint, where one was written.
        signal: what asked for the end.
    """

    def __init__(self, filename: str = "last.ckpt") -> None:
        self.filename = filename
        self.saved: Path | None = None
        self.signal: signal.Signals | None = None
        self._before: dict[signal.Signals, Any] = {}
        self._step = 0
        self._agreed = self._leaves = self._waited = False

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes over the two signals, where Python lets it and there will be something to go on from."""
        self._step = trainer.global_step
        self.saved = self.signal = None  # what an earlier run was asked for is done
        self._agreed = self._leaves = self._waited = False
        if isinstance(getattr(pl_module, "network", None), Counted):  # the end of its one step is the end of the run
            return
        if trainer.received_sigterm:  # while all was made ready
            self.signal = signal.SIGTERM
        if threading.current_thread() is threading.main_thread():
            self._before = {each: signal.signal(each, self._ask) for each in (signal.SIGINT, signal.SIGTERM)}

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes the checkpoint where an end was asked and a step is done; several ranks agree on it every some steps.

        That is every ``log_every_n_steps``. Gradients that are still added up are in no checkpoint.
        """
        if trainer.global_step == self._step:
            return
        self._step = trainer.global_step
        if not self._agreed:
            asked = self.signal is not None
            if trainer.world_size > 1:
                if self._step % max(1, trainer.log_every_n_steps):  # type: ignore[attr-defined]
                    return
                asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
            self._agreed = asked
        if self._agreed:
            path = Path(trainer.default_root_dir) / self.filename
            trainer.save_checkpoint(path)
            self.saved = path
            self._leaves = True

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Ends the run where the checkpoint is that of the step before.

        Raises:
            KeyboardInterrupt: for Ctrl-C.
            SIGTERMException: for SIGTERM, and where another rank was told.
        """
        if self._leaves:
            raise KeyboardInterrupt if self.signal == signal.SIGINT else SIGTERMException

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Waits for one more step: the checkpoint is from before the validation."""
        self._wait()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Waits for one more step: the checkpoint is from before the end of the epoch."""
        self._wait()

    def _wait(self) -> None:
        """Puts off the end, but not for another validation or epoch after that step."""
        if self._leaves and not self._waited:
            self._leaves = False
        self._waited = self._agreed

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives the signals back."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Gives the signals back."""
        if isinstance(exception, SIGTERMException) and self.signal is None:  # before training, or another rank's
            self.signal = signal.SIGTERM
        self._restore()

    def _restore(self) -> None:
        for each, handler in self._before.items():
            signal.signal(each, handler)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.signal is not None:
            raise KeyboardInterrupt
        self.signal = self.signal or signal.Signals(number)
