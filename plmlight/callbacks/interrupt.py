from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import lightning.pytorch as pl


class StopsCleanly(pl.Callback):
    """Lets Ctrl-C end a run between two steps, with a checkpoint from which it can go on; a second one ends it at once.

    Args:
        filename: of the checkpoint, in ``trainer.default_root_dir``.
    """

    def __init__(self, filename: str = "last.ckpt") -> None:
        self.filename = filename
        self.saved: Path | None = None
        self._asked = False
        self._before: Any = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Takes over Ctrl-C, where Python lets it."""
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._ask)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Ends the run where that was asked; several ranks agree on it every ``log_every_n_steps`` batches.

        Raises:
            KeyboardInterrupt: after the checkpoint is written.
        """
        asked = self._asked
        if trainer.world_size > 1:
            if (batch_idx + 1) % max(1, trainer.log_every_n_steps):  # type: ignore[attr-defined]
                return
            asked = trainer.strategy.reduce_boolean_decision(asked, all=False)
        if asked:
            path = Path(trainer.default_root_dir) / self.filename
            trainer.save_checkpoint(path)
            self.saved = path
            raise KeyboardInterrupt

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives Ctrl-C back."""
        self._restore()

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        """Gives Ctrl-C back."""
        self._restore()

    def _restore(self) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
