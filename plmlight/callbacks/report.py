from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import lightning.pytorch as pl

from plmlight.callbacks.report_page import Content, Told, report_page
from plmlight.text import replace_file
from plmlight.text.tables import Analysis, Mistake, Table


@runtime_checkable
class Reports(Protocol):
    """A task that tells more of its last evaluation than its measures."""

    def report(self) -> Analysis:
        """Tables and the worst mistakes, without communication between ranks."""


@runtime_checkable
class Tells(Protocol):
    """Data that tells what it is made of."""

    def statistics(self) -> Sequence[Table]:
        """Numbers of examples, their lengths, the balance of labels."""

    def told(self, stage: Any, sample: int) -> Told:
        """What a sample of a stage was made of, for a person to read: a text, or words."""


class Report(pl.Callback):
    """Writes what a run came to as a page for people, after training, after a validation and after a test.

    In the run's folder: ``report.html`` at the end of ``fit``, with curves and the last validation;
    ``report-validate.html`` after ``validate``, ``report-test.html`` after ``test``. Each is one file without script
    that loads nothing. A task that has ``report()`` (`Reports`) adds scores of each class and its worst mistakes, data
    that has ``statistics()`` and ``told()`` (`Tells`) what it is made of and the mistakes' texts.

    Args:
        folder: where; ``trainer.default_root_dir`` by default.
    """

    def __init__(self, folder: str | None = None) -> None:
        self.folder = folder
        self._curves: dict[str, list[tuple[int, float]]] = {}
        self._step = -1
        self._validated = False
        self._began: int | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Forgets an earlier run."""
        self._validated, self._began = False, None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes where the run begins; one that is over before it begins does not come here."""
        self._began = trainer.global_step

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Notes the losses whenever they are logged."""
        step = trainer.global_step
        every = max(1, trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if step != self._step and step % every == 0:
            self._step = step
            self._note(trainer, "train_")

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Notes the metrics; writes ``report-validate.html`` where there was nothing else to do."""
        if trainer.state.fn == "validate":
            self._write(trainer, pl_module, "report-validate.html", "The validation set.", "validate")
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._validated = True
            self._note(trainer, "val_")

    def on_fit_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes ``report.html``; a run that did no step leaves that of the run it would have gone on with."""
        if self._began in (None, trainer.global_step):
            return
        if self._validated:
            shown = "; the last validation."
        elif any(name.startswith("val_") for name in self._curves):
            shown = "; the last validation was before the run was resumed."
        else:
            shown = ", without validation."
        text = f"After {trainer.global_step:,} steps{shown}"
        self._write(trainer, pl_module, "report.html", text, "validate" if self._validated else None)

    def on_test_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Writes ``report-test.html``."""
        self._write(trainer, pl_module, "report-test.html", "The test set.", "test")

    def state_dict(self) -> dict[str, Any]:
        """The curves, which a run that goes on draws on."""
        return {"curves": {name: [list(point) for point in curve] for name, curve in self._curves.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes them back.

        Args:
            state_dict: what `state_dict` returned.
        """
        curves = state_dict["curves"]
        self._curves = {name: [(int(step), float(value)) for step, value in curves[name]] for name in curves}

    def _note(self, trainer: pl.Trainer, prefix: str) -> None:
        if not trainer.is_global_zero:
            return
        for name, value in trainer.callback_metrics.items():
            if name.startswith(prefix):
                self._curves.setdefault(name, []).append((trainer.global_step, float(value)))

    def _write(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, file: str, text: str, stage: str | None
    ) -> None:
        """Writes a page, with the evaluation of a stage if there was one."""
        if not trainer.is_global_zero or trainer.fast_dev_run:  # type: ignore[attr-defined]
            return
        data = getattr(trainer, "datamodule", None)
        analysis = pl_module.report() if stage is not None and isinstance(pl_module, Reports) else Analysis()
        prefixes = ("test_",) if stage == "test" else ("train_", "val_") if stage else ("train_",)
        metrics = {n: float(v) for n, v in trainer.callback_metrics.items() if n.startswith(prefixes)}
        content = Content(
            title=f"{type(pl_module).__name__}: {Path(trainer.default_root_dir).resolve().name}",
            text=text,
            curves=self._curves if stage != "test" else {},
            metrics=metrics,
            analysis=analysis,
            texts=[_text(data, stage, mistake) for mistake in analysis.mistakes],
            statistics=data.statistics() if isinstance(data, Tells) else (),
        )
        with replace_file(Path(self.folder or trainer.default_root_dir) / file, "w") as handle:
            handle.write(report_page(content))


def _text(data: Any, stage: str | None, mistake: Mistake) -> Told:
    return data.told(stage, mistake.sample) if isinstance(data, Tells) else f"sample {mistake.sample}"
