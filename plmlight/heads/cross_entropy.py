"""Cross entropy of a large vocabulary without the logits of all rows at once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

IGNORED = -100
"""The label of a row that counts for nothing, as in `torch.nn.functional.cross_entropy`."""

_CHUNK_ELEMENTS = 1 << 23
"""Logits that exist at once: 32 MB in float32, 167 rows at a vocabulary of 50,000."""


def chunked_cross_entropy(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    """The sum of the cross entropies of ``softmax(hidden @ weight.T + bias)``.

    The logits are made a few rows at a time, and each chunk's share of the gradients is computed while the chunk is
    there, so that neither the logits nor their gradients are ever kept: the idea of cut cross-entropy (Wijmans et al.
    2024, arXiv:2411.09009) with plain matrix products. The result can be differentiated once.

    Args:
        hidden: [N, D].
        weight: [V, D].
        bias: [V] or None.
        labels: [N], int64; `IGNORED` rows count 0.
        label_smoothing: the share of the probability that the target spreads over all of the vocabulary (Szegedy et
            al. 2016, arXiv:1512.00567, section 7), 0 to 1.

    Returns:
        The sum, a scalar in float32 (float64 for float64 input).
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden = hidden.to(dtype)  # outside the function: its gradient goes back to the width it came in
    out: Tensor = _ChunkedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, labels, label_smoothing, torch.is_grad_enabled()
    )
    return out


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        smoothing: float,
        differentiable: bool,
    ) -> Tensor:
        needs = [differentiable and needed for needed in ctx.needs_input_grad[:3]]
        matrix = weight.to(hidden.dtype)
        offset = None if bias is None else bias.to(hidden.dtype)
        wide = torch.promote_types(hidden.dtype, torch.float32)
        total = torch.zeros((), dtype=wide, device=hidden.device)
        grad_hidden = torch.empty_like(hidden) if needs[0] else None
        grad_weight = torch.zeros_like(weight) if needs[1] else None
        grad_bias = torch.zeros_like(bias) if needs[2] and bias is not None else None
        rows = max(1, _CHUNK_ELEMENTS // weight.shape[0])
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, hidden.shape[0], rows):
                part = hidden[start : start + rows]  # [n, D]
                target = labels[start : start + rows, None]  # [n, 1]
                counted = target != IGNORED
                safe = target.clamp_min(0)
                scores = F.log_softmax(F.linear(part, matrix, offset), -1, dtype=wide)  # [n, V]
                expected = (1 - smoothing) * scores.gather(1, safe)  # [n, 1]
                if smoothing:
                    expected += smoothing * scores.mean(-1, keepdim=True)
                total -= expected.mul_(counted).sum()
                if not any(needs):
                    continue
                slope = scores.exp_()  # the gradient of the logits: softmax minus the target
                slope.scatter_add_(1, safe, slope.new_full((1, 1), smoothing - 1).expand_as(safe))
                if smoothing:
                    slope -= smoothing / slope.shape[1]
                slope = slope.mul_(counted).to(hidden.dtype)
                if grad_hidden is not None:
                    torch.mm(slope, matrix, out=grad_hidden[start : start + rows])
                if grad_weight is not None:
                    _accumulate(grad_weight, slope, part)
                if grad_bias is not None:
                    grad_bias += slope.sum(0)
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor | None, ...]:
        gradients = ctx.saved_tensors
        if factor.device.type != "cpu" or factor != 1:
            # In place, to hold no second [V, D]; torch itself refuses a second pass over what has changed.
            gradients = [None if g is None else g.mul_(factor) for g in gradients]
        return (*gradients, None, None, None)


def _accumulate(grad_weight: Tensor, slope: Tensor, part: Tensor) -> None:
    """Adds ``slope.T @ part``, in the sum's own precision."""
    if slope.dtype == grad_weight.dtype:
        grad_weight.addmm_(slope.mT, part)
    else:
        grad_weight += slope.mT @ part
