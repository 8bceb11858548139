"""The step of Muon: momentum, made orthogonal."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, Replicate

SMALLEST = 1e-3
"""The size below which a matrix is not taken for smaller (Shazeer and Stern 2018, arXiv:1804.04235, section 8)."""

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)


def orthogonalise(matrix: Tensor, steps: int = 5) -> Tensor:
    """The nearest matrix with all singular values near one, by Newton-Schulz iteration.

    Keller Jordan's quintic (2024, https://kellerjordan.github.io/posts/muon/): it stops within about 0.7 to 1.2 of one.
    In bfloat16 where the device multiplies it natively, else in float32: a CPU without that needs 20 times as long.

    Args:
        matrix: [..., M, N].
        steps: of the iteration.

    Returns:
        [..., M, N], in the type it was computed in.
    """
    a, b, c = _COEFFICIENTS
    x = matrix.to(torch.bfloat16 if _multiplies_bfloat16(matrix.device) else torch.float32)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp_min(1e-7)  # singular values at most 1
    for _ in range(steps):
        gram = x @ x.mT  # [..., M, M]
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    out: Tensor = x.mT if tall else x
    return out


class Orthogonal(torch.optim.Optimizer):
    """Momentum whose every update is orthogonalised (Jordan et al. 2024, as `torch.optim.Muon`).

    It differs from torch's in three points: the iteration runs in float32 where bfloat16 is emulated, a packed matrix
    (query, key and value in one) is orthogonalised part by part, and sharded parameters (FSDP2) are gathered for it.

    Args:
        params: matrices, or groups of them; a group's ``parts`` is the number of matrices that lie in each one, one
            above the other.
        lr: the learning rate.
        weight_decay: decoupled.
        momentum: of the running mean, with Nesterov's look-ahead.
        match_rms: scale updates to the root mean square that AdamW's have, 0.2 (Liu et al. 2025, arXiv:2502.16982,
            section 2.2), so that they share one learning rate; else by the root of rows over columns where it is
            above 1.
        relative: scale them by the root mean square of the matrix they change, too, or by 0.001 where it is less.
    """

    def __init__(
        self,
        params: Any,
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        match_rms: bool = True,
        relative: bool = False,
    ) -> None:
        defaults = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "match_rms": match_rms, "parts": 1}
        defaults["relative"] = relative
        super().__init__(params, defaults)
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.ndim != 2 or parameter.shape[0] % group["parts"]:
                    raise ValueError(f"{tuple(parameter.shape)} is not {group['parts']} matrices one above the other")

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """One step, over the parameters that have gradients."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)
        return loss

    def _update(self, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        grad = parameter.grad
        assert grad is not None
        state = self.state[parameter]
        if not state:
            state["momentum_buffer"] = torch.zeros_like(grad)
        average = state["momentum_buffer"].lerp_(grad, 1 - group["momentum"])
        update = grad.lerp(average, group["momentum"])
        full = update.full_tensor() if isinstance(update, DTensor) else update
        parts = group["parts"]
        direction = orthogonalise(full.unflatten(0, (parts, -1)))
        if group["relative"]:
            matrix = parameter.full_tensor() if isinstance(parameter, DTensor) else parameter
            sizes = matrix.unflatten(0, (parts, -1)).square().mean((1, 2), keepdim=True).sqrt()
            direction = direction * sizes.clamp_min(SMALLEST)
        direction = direction.flatten(0, 1).to(parameter.dtype)
        if isinstance(update, DTensor):
            replicated = DTensor.from_local(direction, update.device_mesh, [Replicate()] * update.device_mesh.ndim)
            direction = replicated.redistribute(placements=update.placements)
        rows, columns = parameter.shape[0] // parts, parameter.shape[1]
        scale = 0.2 * math.sqrt(max(rows, columns)) if group["match_rms"] else math.sqrt(max(1.0, rows / columns))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        parameter.add_(direction, alpha=-group["lr"] * scale)


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cpu":
        return bool(torch.backends.cpu.get_cpu_capability() == "AVX512" and torch.cpu._is_avx512_bf16_supported())
    return device.type != "cuda" or torch.cuda.is_bf16_supported(including_emulation=False)
