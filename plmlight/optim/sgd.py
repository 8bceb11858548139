from __future__ import annotations

import torch
from torch import nn

from plmlight.optim.factory import OptimizerFactory


class SGD(OptimizerFactory):
    """Stochastic gradient descent, as Merity et al. (2017, arXiv:1708.02182) train recurrent language models.

    Args:
        lr: the peak learning rate; the schedule multiplies it.
        momentum: how much of a step goes into the next one.
        weight_decay: of all parameters; theirs is 1.2e-6.
    """

    def __init__(self, lr: float = 30.0, momentum: float = 0.0, weight_decay: float = 0.0) -> None:
        self.lr, self.momentum, self.weight_decay = lr, momentum, weight_decay

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        """One group of all trainable parameters."""
        parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        return torch.optim.SGD(parameters, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
