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

__all__ = [
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
