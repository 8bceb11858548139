from __future__ import annotations

import torch
from torch import nn

from plmlight.optim.factory import OptimizerFactory, adamw_over, by_rate, check_layer_decay, parameter_kinds


class AdamW(OptimizerFactory):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Args:
        lr: the peak learning rate; the schedule multiplies it.
        betas: of the running means of gradient and square.
        eps: added to the denominator.
        weight_decay: of matrices; biases and norms have none.
        decay_embeddings: whether embeddings and vocabulary projections decay too.
        layer_decay: what the learning rate is multiplied with from each layer to the one below, heads first and
            embeddings last (Howard and Ruder 2018, arXiv:1801.06146, section 3.2; Clark et al. 2020,
            arXiv:2003.10555, appendix B); None for one rate.

    Raises:
        ValueError: for a layer_decay that is not above 0 and at most 1.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        decay_embeddings: bool = True,
        layer_decay: float | None = None,
    ) -> None:
        check_layer_decay(layer_decay)
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.decay_embeddings, self.layer_decay = weight_decay, decay_embeddings, layer_decay

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over two groups, with decay and without; over two for each distance from the heads."""
        kinds = parameter_kinds(model)
        decayed, plain = kinds["matrices"], kinds["vectors"]
        (decayed if self.decay_embeddings else plain).extend(kinds["tables"])
        groups = [
            *by_rate(model, decayed, self.lr, self.layer_decay, weight_decay=self.weight_decay),
            *by_rate(model, plain, self.lr, self.layer_decay, weight_decay=0.0),
        ]
        groups.sort(key=lambda group: -group["lr"])  # the first one's rate is logged
        return adamw_over(groups, (self.betas[0], self.betas[1]), self.eps)
