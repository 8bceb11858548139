"""Going through a sequence step by step, also in a graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from plmlight.nn.roles import Cache


def run_steps(
    step: Callable[[Cache, tuple[Tensor, ...]], tuple[Cache, Tensor]], state: Cache, steps: tuple[Tensor, ...]
) -> tuple[Cache, Tensor]:
    """Goes through a sequence; in a graph as a loop, which takes any number of steps.

    Args:
        step: from a state, and what it reads of each of ``steps``, to the state after it and what comes out.
        state: the first one.
        steps: [T, ...] each.

    Returns:
        The last state, and all that came out [T, ...].
    """
    if torch.onnx.is_in_onnx_export():
        return _scan(step, state, steps)
    outs = []
    for at in zip(*(sequence.unbind(0) for sequence in steps), strict=True):
        state, one = step(state, at)
        outs.append(one)
    return state, torch.stack(outs)


def _scan(
    step: Callable[[Cache, tuple[Tensor, ...]], tuple[Cache, Tensor]], state: Cache, steps: tuple[Tensor, ...]
) -> tuple[Cache, Tensor]:
    """A loop that becomes one in the graph, so that it takes any number of steps."""
    from torch._higher_order_ops.scan import scan

    def body(state: list[Tensor], at: list[Tensor]) -> tuple[list[Tensor], Tensor]:
        after, out = step(tuple(state), tuple(at))
        return [part.clone() for part in after], out.clone()  # nothing in it may be the same tensor twice

    after, out = scan(body, list(state), list(steps))
    return tuple(after), out
