from plmlight.optim.adamw import AdamW
from plmlight.optim.factory import OptimizerFactory
from plmlight.optim.muon import Muon
from plmlight.optim.rows import RowAdaGrad, RowOptimizer, RowOptimizerFactory, RowSGD
from plmlight.optim.schedules import (
    Constant,
    InverseSquareRoot,
    Schedule,
    WarmupCosine,
    WarmupLinear,
    WarmupStableDecay,
)
from plmlight.optim.sgd import SGD

__all__ = [
    "SGD",
    "AdamW",
    "Constant",
    "InverseSquareRoot",
    "Muon",
    "OptimizerFactory",
    "RowAdaGrad",
    "RowOptimizer",
    "RowOptimizerFactory",
    "RowSGD",
    "Schedule",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStableDecay",
]
