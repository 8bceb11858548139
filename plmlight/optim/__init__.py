from plmlight.optim.adamw import AdamW
from plmlight.optim.factory import OptimizerFactory
from plmlight.optim.muon import Muon
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
    "Schedule",
    "WarmupCosine",
    "WarmupLinear",
    "WarmupStableDecay",
]
