from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from plmlight.nn import PACKED
from plmlight.optim.combined import Combined
from plmlight.optim.factory import OptimizerFactory, adamw_over, by_rate, check_layer_decay, parameter_kinds
from plmlight.optim.orthogonal import Orthogonal


class Muon(OptimizerFactory):
    """Muon for hidden matrices (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/), AdamW for the rest.

    The rest are embeddings, vocabulary projections, norms and biases.

    Args:
        lr: the peak learning rate of the matrices.
        adamw_lr: of the rest; the same by default.
        weight_decay: of the matrices, and of the embeddings where ``decay_embeddings`` says so.
        momentum: of the matrices.
        adjust_lr: match_rms_adamw scales updates so that AdamW's learning rates fit (arXiv:2502.16982); original is
            Jordan's, and wants about 0.02.
        split_packed: orthogonalise query, key and value each for itself, though one matrix holds them.
        betas: AdamW's.
        eps: AdamW's.
        decay_embeddings: whether embeddings and vocabulary projections decay.
        relative: let ``lr`` be relative to the size of each matrix, the root mean square of its elements, as Adafactor
            does (Shazeer and Stern 2018, arXiv:1804.04235, section 8), with which T5 was trained: its queries begin
            much smaller than its other matrices, as its attention has no scale. Then ``lr`` is about 0.05, and
            ``adamw_lr`` must be given.
        layer_decay: what both learning rates are multiplied with from each layer to the one below; see `AdamW`.

    Raises:
        ValueError: for a layer_decay that is not above 0 and at most 1.
    """

    def __init__(
        self,
        lr: float = 3e-3,
        adamw_lr: float | None = None,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        adjust_lr: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
        split_packed: bool = True,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        decay_embeddings: bool = True,
        layer_decay: float | None = None,
        relative: bool = False,
    ) -> None:
        check_layer_decay(layer_decay)
        if relative and adamw_lr is None:
            raise ValueError("Muon: relative: lr is relative to the size of matrices, so give the rest its adamw_lr")
        self.layer_decay, self.relative = layer_decay, relative
        self.lr, self.adamw_lr = lr, adamw_lr if adamw_lr is not None else lr
        self.weight_decay, self.momentum, self.match_rms = weight_decay, momentum, adjust_lr == "match_rms_adamw"
        self.split_packed, self.betas, self.eps, self.decay_embeddings = split_packed, betas, eps, decay_embeddings

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """Both as one optimiser."""
        kinds = parameter_kinds(model)
        groups: dict[int, list[tuple[str, nn.Parameter]]] = {}
        for name, parameter in kinds["matrices"]:
            module = name.split(".")[-2] if "." in name else ""
            parts = len(PACKED.get(module, (module,))) if self.split_packed else 1
            groups.setdefault(parts, []).append((name, parameter))
        tables, vectors = kinds["tables"], kinds["vectors"]
        optimizers: list[torch.optim.Optimizer] = []
        if groups:
            packed = [
                group
                for parts, parameters in groups.items()
                for group in by_rate(model, parameters, self.lr, self.layer_decay, parts=parts)
            ]
            optimizers.append(
                Orthogonal(packed, self.lr, self.weight_decay, self.momentum, self.match_rms, self.relative)
            )
        if tables or vectors:
            decay = self.weight_decay if self.decay_embeddings else 0.0
            rest = [
                group
                for parameters, share in ((tables, decay), (vectors, 0.0))
                for group in by_rate(model, parameters, self.adamw_lr, self.layer_decay, weight_decay=share)
            ]
            optimizers.append(adamw_over(rest, (self.betas[0], self.betas[1]), self.eps))
        return Combined(optimizers)
