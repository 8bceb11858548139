from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any, cast

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.throughput import get_available_flops
from torch import Tensor, nn

from plmlight.nn import CrossAttention, Stack, TransformerLayer, WordVectors

PEAK_SECONDS = 0.2
"""How long a CPU's peak is looked for: longer than other processes take a core at a time."""


class Throughput(pl.Callback):
    """Reports tokens per second, the share of padding, and model FLOPs utilisation, every ``log_every_n_steps`` steps.

    Utilisation (MFU; Chowdhery et al. 2022, arXiv:2204.02311, appendix B) is what the model needs (`flops_per_token`,
    `flops_per_pair`) over the device's peak: a GPU's from its data sheet, a CPU's as a product of
    two large matrices reaches it.

    Of a model that reads one text and writes another the tokens are those of both, padding included, and ``padding`` is
    of both; ``source_padding``, ``target_padding`` and ``target_tokens_per_second``, without padding, are logged too.
    Of pairs of words and their counts a pair is a token. Vectors of words, which are looked up, have no utilisation.

    Nothing here waits for the device more often than the values are shown.
    """

    def __init__(self) -> None:
        self._tokens = self._target_tokens = 0
        self._flops = 0.0
        self._padding: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._since = 0.0
        self._step = -1
        self._peak: float | None = None
        self._costs: dict[tuple[int, int], float] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Measures the peak and starts the clock."""
        looks_up = isinstance(getattr(pl_module, "network", None), WordVectors)
        self._peak = None if looks_up else peak_flops(pl_module.device, _compute_type(trainer))
        self._costs = {}
        self._restart(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Starts the clock again: validation is no training."""
        self._restart(trainer)

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts, and reports when it is time."""
        ids, target = batch["input_ids"], batch.get("decoder_input_ids")
        self._tokens += ids.numel()
        self._target_tokens += target.numel() if target is not None else 0
        lengths = (ids.shape[1] if ids.dim() > 1 else 1, 0 if target is None else target.shape[1])
        self._flops += ids.shape[0] * self._cost(pl_module, *lengths)
        mask = batch.get("attention_mask")
        if mask is not None:
            self._padding.append((mask == 0).sum())
        if "labels" in batch:
            self._labels.append((batch["labels"] >= 0).sum())
        step = trainer.global_step
        if step == self._step or step % max(1, trainer.log_every_n_steps):  # type: ignore[attr-defined]
            return
        self._step = step
        self._report(trainer, pl_module)
        self._restart(trainer)

    def _cost(self, model: nn.Module, source: int, target: int) -> float:
        """What a row needs but for the head."""
        if (source, target) not in self._costs:
            alone = source * flops_per_token(model, source, 0.0) if not target else 0.0
            self._costs[source, target] = flops_per_pair(model, source, target, 0) if target else alone
        return self._costs[source, target]

    def _report(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        padding = int(torch.stack(self._padding).sum()) if self._padding else 0  # waits for the device
        labelled = int(torch.stack(self._labels).sum()) if self._labels else self._tokens
        seconds = time.perf_counter() - self._since
        tokens = self._tokens + self._target_tokens
        target_padding = self._target_tokens - labelled if self._target_tokens else 0
        values = {
            "tokens_per_second": tokens / seconds * trainer.world_size,
            "padding": (padding + target_padding) / tokens,
        }
        if self._peak:
            head = 6.0 * labelled * _weights(_projections(pl_module).values())
            values["mfu"] = (self._flops + head) / seconds / self._peak
        pl_module.log_dict(values, prog_bar=True)
        if self._target_tokens:
            sides = {
                "source_padding": padding / self._tokens,
                "target_padding": target_padding / self._target_tokens,
                "target_tokens_per_second": labelled / seconds * trainer.world_size,
            }
            pl_module.log_dict(sides)

    def _restart(self, trainer: pl.Trainer) -> None:
        self._tokens = self._target_tokens = 0
        self._flops = 0.0
        self._padding, self._labels, self._since = [], [], time.perf_counter()


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
    projections = _projections(model)
    network = getattr(model, "network", None)
    layers, width = getattr(network, "num_layers", 0), getattr(network, "d_model", 0)
    weights = labelled * _weights(projections.values()) + _applied(model, projections)
    return 6.0 * weights + 12.0 * layers * width * length


def flops_per_pair(model: nn.Module, source: int, target: int, labelled: int) -> float:
    """What a training step needs for a source and its target, forward and backward.

    Args:
        model: a task with a network that has an ``encoder`` and a ``decoder``; what is named after either is applied to
            each token of its side, but keys and values of the source are made of the source's tokens.
        source: S.
        target: T.
        labelled: how many tokens of the target have a label, as the head is asked for no others.

    Returns:
        ``6 N + 12 L D S`` for each token that is read, ``6 N + 12 L D (T + S)`` for each that is written, each with the
        weights N and the layers L of its side.
    """
    projections = _projections(model)
    network = cast(nn.Module, model.network)
    flops = 6.0 * labelled * _weights(projections.values())
    for side, tokens in (("encoder", source), ("decoder", target)):
        for part in (part for name, part in network.named_children() if name.startswith(side)):
            flops += 6.0 * tokens * _applied(part, projections)
            for module in part.modules():
                if isinstance(module, CrossAttention):
                    flops += 6.0 * (source - target) * _weights(module.key_value.parameters())
                elif isinstance(module, Stack):
                    attention = cast(TransformerLayer, module.layers[0]).attention
                    width = attention.num_heads * attention.head_dim
                    flops += 12.0 * module.num_layers * width * tokens * (target + source if module.crosses else tokens)
    return flops


def _projections(model: nn.Module) -> dict[int, nn.Parameter]:
    """The head's parameters by identity."""
    head = getattr(model, "head", None)
    return {id(p): p for p in head.parameters()} if isinstance(head, nn.Module) else {}


def _weights(parameters: Iterable[nn.Parameter]) -> int:
    return sum(p.numel() for p in parameters)


def _applied(model: nn.Module, projections: Mapping[int, nn.Parameter]) -> float:
    """How many weights a token meets, each as often as it is applied; without tables to look up and the head."""
    free = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)} | projections.keys()
    weights: float = sum(p.numel() for p in model.parameters() if id(p) not in free)
    for stack in (module for module in model.modules() if isinstance(module, Stack)):
        weights += (stack.num_layers / len(stack.layers) - 1) * sum(p.numel() for p in stack.parameters())
    return weights


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
    end = time.perf_counter() + PEAK_SECONDS
    while (start := time.perf_counter()) < end:
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
