from plmlight.objectives.base import Batch, Objective, Outputs
from plmlight.objectives.causal import CausalLanguageModelling
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.masked import MaskedLanguageModelling, Masking
from plmlight.objectives.sentence_pair import NextSentencePrediction, SentenceOrderPrediction, SentencePairObjective

__all__ = [
    "Batch",
    "CausalLanguageModelling",
    "KeyedRandom",
    "MaskedLanguageModelling",
    "Masking",
    "NextSentencePrediction",
    "Objective",
    "Outputs",
    "SentenceOrderPrediction",
    "SentencePairObjective",
]
