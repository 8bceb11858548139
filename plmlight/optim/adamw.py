from __future__ import annotations

import torch
from torch import nn

from plmlight.optim.factory import OptimizerFactory, adamw_over, parameter_kinds


class AdamW(OptimizerFactory):
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Args:
        lr: the peak learning rate; the schedule multiplies it.
        betas: of the running means of gradient and square.
        eps: added to the denominator.
        weight_decay: of matrices; biases and norms have none.
        decay_embeddings: whether embeddings and vocabulary projections decay too.
    """

    def __init__(
        self,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
        weight_decay: float = 0.1,
        decay_embeddings: bool = True,
    ) -> None:
        self.lr, self.betas, self.eps = lr, betas, eps
        self.weight_decay, self.decay_embeddings = weight_decay, decay_embeddings

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW over two groups: with decay, and without."""
        kinds = {kind: [p for _, p in listed] for kind, listed in parameter_kinds(model).items()}
        decayed, plain = kinds["matrices"], kinds["vectors"]
        (decayed if self.decay_embeddings else plain).extend(kinds["tables"])
        return adamw_over(
            [
                {"params": decayed, "lr": self.lr, "weight_decay": self.weight_decay},
                {"params": plain, "lr": self.lr, "weight_decay": 0.0},
            ],
            (self.betas[0], self.betas[1]),
            self.eps,
        )
