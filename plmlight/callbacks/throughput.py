from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.throughput import get_available_flops
from torch import Tensor, nn

from plmlight.nn import Stack


class Throughput(pl.Callback):
    """Reports tokens per second, the share of padding, and model FLOPs utilisation, every ``log_every_n_steps`` steps.

    Utilisation (MFU; Chowdhery et al. 2022, arXiv:2204.02311, appendix B) is what the model needs (`flops_per_token`)
    over the device's peak: a GPU's from its data sheet, a CPU's as a product of
    two large matrices reaches it.

    Nothing here waits for the device more often than the values are shown.
    """

    def __init__(self) -> None:
        self._tokens = 0
        self._padding: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._since = 0.0
        self._step = -1
        self._peak: float | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measures the peak and starts the clock."""
        self._peak = peak_flops(pl_module.device, _compute_type(trainer))
        self._restart(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock again: validation is no training."""
        self._restart(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts, and reports when it is time."""
        ids = batch["input_ids"]
        self._tokens += ids.numel()
        mask = batch.get("attention_mask")
        if mask is not None:
            self._padding.append((mask == 0).sum())
        if "labels" in batch:
            self._labels.append((batch["labels"] >= 0).sum())
        step = trainer.global_step
        if step == self._step or step % max(1, trainer.log_every_n_steps):  # type: ignore[attr-defined]
            return
        self._step = step
        padding = int(torch.stack(self._padding).sum()) if self._padding else 0  # waits for the device
        seconds = time.perf_counter() - self._since
        rate = self._tokens / seconds
        values = {"tokens_per_second": rate * trainer.world_size, "padding": padding / self._tokens}
        if self._peak:
            labelled = int(torch.stack(self._labels).sum()) / self._tokens if self._labels else 1.0
            values["mfu"] = rate * flops_per_token(pl_module, ids.shape[1], labelled) / self._peak
        pl_module.log_dict(values, prog_bar=True)
        self._restart(trainer)

    def _restart(self, trainer: pl.Trainer) -> None:
        self._tokens, self._padding, self._labels, self._since = 0, [], [], time.perf_counter()


def flops_per_token(model: nn.Module, length: int, labelled: float = 1.0) -> float:
    """What a training step needs for one token, forward and backward.

    Args:
        model: a task; lookups in embedding tables are free, but a table that is also the head's counts.
        length: T.
        labelled: the share of the tokens that have a label, as the head is asked for no others.

    Returns:
        ``6 N + 12 L D T``, where N counts a weight as often as it is applied; without the attention term for a network
        that has no ``num_layers`` and ``d_model``.
    """
    head = getattr(model, "head", None)
    projections = {id(p): p for p in head.parameters()} if isinstance(head, nn.Module) else {}
    free = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} | projections.keys()
    weights = labelled * sum(p.numel() for p in projections.values())
    weights += sum(p.numel() for p in model.parameters() if id(p) not in free)
    for stack in (module for module in model.modules() if isinstance(module, Stack)):
        weights += (stack.num_layers / len(stack.layers) - 1) * sum(p.numel() for p in stack.parameters())
    network = getattr(model, "network", None)
    layers, width = getattr(network, "num_layers", 0), getattr(network, "d_model", 0)
    return 6.0 * weights + 12.0 * layers * width * length


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """The most floating-point operations a second that a device does.

    Args:
        device: of the model.
        dtype: in which it multiplies.

    Returns:
        A GPU's from the data sheet, None for an unknown one; a CPU's measured with its present number of threads.
    """
    if device.type != "cpu":
        known = get_available_flops(device, dtype)
        return None if known is None else float(known)
    size = 512
    left, right = torch.randn(size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    out = torch.empty(size, size, dtype=dtype)
    best = float("inf")
    for _ in range(8):
        start = time.perf_counter()
        torch.mm(left, right, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def _compute_type(trainer: pl.Trainer) -> torch.dtype:
    precision = str(trainer.precision)
    if precision.startswith("bf16"):
        return torch.bfloat16
    if precision.startswith("16"):
        return torch.bfloat16 if trainer.strategy.root_device.type == "cpu" else torch.float16
    return torch.float64 if precision.startswith("64") else torch.float32
