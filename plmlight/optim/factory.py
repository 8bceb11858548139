"""What makes an optimiser for a model, and which of its parameters are of which kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import nn

from plmlight.heads import AdaptiveHead, LMHead
from plmlight.nn import Configured
from plmlight.nn.depth import distances_from_top


class OptimizerFactory(Configured, ABC):
    """Makes the one optimiser of a task. Build one on it in a file of your own and name it by its class path."""

    @abstractmethod
    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """Makes the optimiser.

        Args:
            model: its parameters that require a gradient are trained, shared ones once.

        Returns:
            A new optimiser over all of them.
        """


def parameter_kinds(model: nn.Module) -> dict[str, list[tuple[str, nn.Parameter]]]:
    """The trainable parameters of a model by what they are.

    Args:
        model: any module.

    Returns:
        ``vectors`` (biases, norms, whatever is no plain matrix), ``tables`` (embeddings and vocabulary projections) and
        ``matrices`` (the rest), each a list of name and parameter; a tied parameter is listed once, as a table.
    """
    tables = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, nn.Embedding | LMHead | AdaptiveHead)
        for parameter in module.parameters(recurse=False)
    }
    kinds: dict[str, list[tuple[str, nn.Parameter]]] = {"vectors": [], "tables": [], "matrices": []}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            vector = parameter.ndim != 2 or name.endswith("bias")  # an attention's bias has a row for each head
            kind = "vectors" if vector else "tables" if id(parameter) in tables else "matrices"
            kinds[kind].append((name, parameter))
    return kinds


def check_layer_decay(layer_decay: float | None) -> None:
    """Refuses a factor from layer to layer that is none.

    Raises:
        ValueError: for such a factor.
    """
    if layer_decay is not None and not 0 < layer_decay <= 1:
        raise ValueError(f"layer_decay {layer_decay}: expected more than 0 and at most 1")


def by_rate(
    model: nn.Module,
    parameters: list[tuple[str, nn.Parameter]],
    lr: float,
    layer_decay: float | None,
    **settings: Any,
) -> list[dict[str, Any]]:
    """Parameters in groups of one learning rate.

    Args:
        model: that has them.
        parameters: with their names in it.
        lr: of the heads.
        layer_decay: see `plmlight.optim.AdamW`; None for one group.
        settings: of each group.

    Returns:
        Groups with ``params`` and ``lr``, the highest first.

    Raises:
        ValueError: when the layers of the model cannot be counted.
    """
    distances = {} if layer_decay is None else distances_from_top(model)
    groups: dict[int, list[nn.Parameter]] = {}
    for name, parameter in parameters:
        groups.setdefault(distances.get(name, 0), []).append(parameter)
    decay = 1.0 if layer_decay is None else layer_decay
    return [{"params": groups[distance], "lr": lr * decay**distance, **settings} for distance in sorted(groups)]


def adamw_over(groups: list[dict[str, Any]], betas: tuple[float, float], eps: float) -> torch.optim.AdamW:
    """AdamW of torch, fused where it has such a kernel for all parameters.

    Args:
        groups: ``params``, ``lr`` and ``weight_decay``; empty ones are left out.
        betas: of the running means.
        eps: added to the denominator.

    Returns:
        The optimiser.
    """
    groups = [group for group in groups if group["params"]]
    parameters = [parameter for group in groups for parameter in group["params"]]
    fused = all(p.device.type in ("cpu", "cuda") and p.is_floating_point() for p in parameters)
    optimizer = torch.optim.AdamW(groups, betas=betas, eps=eps, fused=fused)
    # A fused step would unscale fp16 gradients by itself, after they were clipped: leave that to the scaler.
    optimizer._step_supports_amp_scaling = False
    return optimizer
