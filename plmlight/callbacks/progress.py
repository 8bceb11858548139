from __future__ import annotations

from typing import Any

import lightning.pytorch as pl
from lightning.pytorch.callbacks import RichProgressBar

SHORT = {"tokens_per_second": "tokens/s", "train_loss": "train", "val_loss": "val"}


class ProgressBar(RichProgressBar):
    """Lightning's bar on one line: drawn every 20 steps, with short names and round numbers.

    Args:
        refresh_rate: steps between two drawings, each of which takes time.
        console_kwargs: of rich's console, on which tables are printed too.
    """

    def __init__(self, refresh_rate: int = 20, console_kwargs: dict[str, Any] | None = None) -> None:
        super().__init__(refresh_rate=refresh_rate, console_kwargs=console_kwargs)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Looks at the metrics only when the bar is drawn: Lightning's own does so in each step."""
        if (batch_idx + 1) % self.refresh_rate == 0 or batch_idx + 1 == self.total_train_batches:
            super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)

    def get_metrics(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> dict[str, Any]:
        """What is shown beside the bar."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        if not metrics.get("padding"):
            metrics.pop("padding", None)
        return {SHORT.get(name, name): _rounded(name, value) for name, value in metrics.items()}

    def _get_train_description(self, current_epoch: int) -> str:
        end = self.trainer.max_epochs
        return f"Epoch {current_epoch}" + (f"/{end - 1}" if end is not None and end > 0 else "")


def _rounded(name: str, value: Any) -> Any:
    if not isinstance(value, float):
        return value
    if name in ("mfu", "padding"):
        return f"{value:.0%}"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3f}"
