from plmlight.objectives.base import Batch, Objective, Outputs
from plmlight.objectives.causal import CausalLanguageModelling
from plmlight.objectives.cooccurrence import CooccurrenceRegression
from plmlight.objectives.cosent import CoSENT
from plmlight.objectives.cosine_regression import CosineRegression
from plmlight.objectives.denoising import Denoising
from plmlight.objectives.embedding import EmbeddingObjective
from plmlight.objectives.hierarchical_softmax import HierarchicalSoftmax
from plmlight.objectives.in_batch_negatives import InBatchNegatives
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.masked import MaskedLanguageModelling, Masking
from plmlight.objectives.matryoshka import Matryoshka
from plmlight.objectives.negative_sampling import NegativeSampling
from plmlight.objectives.permutation import PermutationLanguageModelling
from plmlight.objectives.prefix import PrefixLanguageModelling
from plmlight.objectives.rates import LinearRate, RateSchedule
from plmlight.objectives.regularised import RegularisedLanguageModelling
from plmlight.objectives.sentence_pair import NextSentencePrediction, SentenceOrderPrediction, SentencePairObjective
from plmlight.objectives.sequence import SequenceToSequence
from plmlight.objectives.span_corruption import SpanCorruption
from plmlight.objectives.spans import SpanMasking
from plmlight.objectives.translation import TranslationLanguageModelling
from plmlight.objectives.triplet import TripletLoss
from plmlight.objectives.whole_words import WholeWordMasking
from plmlight.objectives.word_vectors import RowGradient, WindowObjective, WordObjective

__all__ = [
    "Batch",
    "CausalLanguageModelling",
    "CoSENT",
    "CooccurrenceRegression",
    "CosineRegression",
    "Denoising",
    "EmbeddingObjective",
    "HierarchicalSoftmax",
    "InBatchNegatives",
    "KeyedRandom",
    "LinearRate",
    "MaskedLanguageModelling",
    "Masking",
    "Matryoshka",
    "NegativeSampling",
    "NextSentencePrediction",
    "Objective",
    "Outputs",
    "PermutationLanguageModelling",
    "PrefixLanguageModelling",
    "RateSchedule",
    "RegularisedLanguageModelling",
    "RowGradient",
    "SentenceOrderPrediction",
    "SentencePairObjective",
    "SequenceToSequence",
    "SpanCorruption",
    "SpanMasking",
    "TranslationLanguageModelling",
    "TripletLoss",
    "WholeWordMasking",
    "WindowObjective",
    "WordObjective",
]
