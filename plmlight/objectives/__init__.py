from plmlight.objectives.base import Batch, KeyedRandom, Objective, Outputs
from plmlight.objectives.causal import CausalLanguageModelling

__all__ = ["Batch", "CausalLanguageModelling", "KeyedRandom", "Objective", "Outputs"]
