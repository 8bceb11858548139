from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import IO, Any, cast

import lightning.pytorch as pl
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch.callbacks import ModelCheckpoint

from plmlight.text import nearest, replace_file


class Checkpoints(ModelCheckpoint):
    """Keeps ``last.ckpt`` and ``best.ckpt`` in the run's folder.

    ``last.ckpt`` is written after each validation, whatever that says, at the end of each epoch and at the end of the
    run, from where a run with more steps or epochs goes on; ``best.ckpt`` after a validation that is better than those
    before it. A run writes over what an earlier one left in the same folder. Where a validation comes between the
    batches of one step (``accumulate_grad_batches``), ``last.ckpt`` waits for the step, as gradients are in no
    checkpoint.

    Args:
        folder: where; ``trainer.default_root_dir`` by default.
        monitor: what the best one has least of.
        every_n_steps: write ``last.ckpt`` every so many optimiser steps instead of after validations, for long runs;
            there is no best one then.

    Raises:
        ValueError: for an interval below 1, and after a validation that did not measure ``monitor``.
    """

    def __init__(
        self, folder: str | None = None, monitor: str | None = "val_loss", every_n_steps: int | None = None
    ) -> None:
        if every_n_steps is not None and every_n_steps < 1:
            raise ValueError(f"Checkpoints: every_n_steps {every_n_steps}: expected at least 1")
        super().__init__(
            dirpath=folder,
            filename="best",
            monitor=None if every_n_steps else monitor,
            save_last=True,
            save_top_k=0 if every_n_steps or monitor is None else 1,
            every_n_train_steps=every_n_steps,
            enable_version_counter=False,
        )
        self._key = super().state_key  # as ``monitor`` may go
        self._cut = False  # the run ends within an epoch
        self._waits = False  # for the step to which the batches before a validation belong

    @property
    def state_key(self) -> str:
        """What the state is found by when a run goes on: the settings that were given."""
        return self._key

    def setup(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        """Settles the folder, under its one name: by another one Lightning takes it for another folder."""
        folder = self.dirpath or trainer.default_root_dir
        self.dirpath = folder if "://" in str(folder) else os.path.realpath(folder)
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Gives up on the best one where nothing is validated."""
        self._cut = self._waits = False
        if not trainer.fit_loop.epoch_loop.val_loop._data_source.is_defined() or trainer.limit_val_batches == 0:
            self.monitor, self.save_top_k = None, 0
        super().on_train_start(trainer, pl_module)

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Lets what is logged have the step's number, which Lightning guesses in a run that goes on."""
        if pl_module.automatic_optimization:
            trainer.fit_loop.epoch_loop._batches_that_stepped = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Writes the last one where one is due, and where the run ends within an epoch.

        At the end of that epoch Lightning counts it as done, and a run that goes on would leave the rest of it out.
        """
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        loop = trainer.fit_loop
        ends = 0 <= trainer.max_steps <= trainer.global_step or (trainer.should_stop and loop._can_stop_early)
        self._cut = ends and not loop.epoch_loop._num_ready_batches_reached()
        waited = self._waits and not loop._should_accumulate()
        if self._cut or waited:
            self._waits = False
            before = self._last_global_step_saved
            self._write_last(trainer)
            self._last_global_step_saved = before  # a validation that follows may find this one the best

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the best one, where this is it, and the last one."""
        self._waits = (
            trainer.state.fn == "fit" and not trainer.sanity_checking and trainer.fit_loop._should_accumulate()
        )
        super().on_validation_end(trainer, pl_module)
        if not (self._every_n_train_steps or self._should_save_on_train_epoch_end(trainer)):
            self._write_last(trainer)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes the best one, where this is it, and the last one."""
        if not self._cut:
            super().on_train_epoch_end(trainer, pl_module)
            self._write_last(trainer)

    def _should_save_on_train_epoch_end(self, trainer: pl.Trainer) -> bool:
        """Not where the epoch does not come to its end."""
        return not self._cut and super()._should_save_on_train_epoch_end(trainer)

    def _write_last(self, trainer: pl.Trainer) -> None:
        """Writes the last one where nothing was written after this step: Lightning does so beside the best one only."""
        if not self._should_skip_saving_checkpoint(trainer):
            self._save_last_checkpoint(trainer, self._monitor_candidates(trainer))

    def _save_last_checkpoint(self, trainer: pl.Trainer, monitor_candidates: dict[str, Any]) -> None:
        if not self._waits:
            super()._save_last_checkpoint(trainer, monitor_candidates)

    def _save_topk_checkpoint(self, trainer: pl.Trainer, monitor_candidates: dict[str, Any]) -> None:
        """Leaves the best one alone where nothing was validated; refuses to monitor what is not measured."""
        if self.monitor is not None and self.monitor not in monitor_candidates:
            if not trainer.fit_loop.epoch_loop.val_loop._has_run:
                return
            known = sorted(set(monitor_candidates) - {"epoch", "step"})
            raise ValueError(f"Checkpoints: monitor {self.monitor!r} was not logged{nearest(self.monitor, known)}")
        super()._save_topk_checkpoint(trainer, monitor_candidates)


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints to a temporary file beside the place that they then take.

    Lightning's own builds the whole file in memory first, and may put its temporary file on another disk, from where
    the last step is a copy that can stop half-way.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a checkpoint; the old file, if any, stays until the new one is complete.

        Raises:
            OSError: when it cannot be written, for example because the disk is full.
        """
        if "://" in str(path):
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with replace_file(path) as handle:
            recording = _Recording(handle)
            try:
                torch.save(checkpoint, cast(IO[bytes], recording))
            except RuntimeError as error:  # torch's writer forgets why the file refused
                cause = recording.error or OSError(errno.EIO, str(error))
                raise OSError(cause.errno, cause.strerror, str(path)) from None
            except OSError as error:
                raise OSError(error.errno, error.strerror, str(path)) from None


class _Recording:
    """A file that remembers what went wrong."""

    def __init__(self, handle: IO[bytes]) -> None:
        self.handle = handle
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        try:
            return self.handle.write(data)
        except OSError as error:
            self.error = error
            raise

    def flush(self) -> None:
        self.handle.flush()
