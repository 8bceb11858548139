from plmlight.heads.adaptive import AdaptiveHead
from plmlight.heads.backoff import BackoffHead
from plmlight.heads.classification import ClassificationHead
from plmlight.heads.crf import LinearChainCRF
from plmlight.heads.cross_entropy import chunked_cross_entropy
from plmlight.heads.lm import LMHead
from plmlight.heads.masked_lm import MaskedLMHead, masked_head
from plmlight.heads.pooling import PairHead, Pooler, pool
from plmlight.heads.projection import AdaptiveSoftmax, Projection, Softmax
from plmlight.heads.span import SpanHead

__all__ = [
    "AdaptiveHead",
    "AdaptiveSoftmax",
    "BackoffHead",
    "ClassificationHead",
    "LMHead",
    "LinearChainCRF",
    "MaskedLMHead",
    "PairHead",
    "Pooler",
    "Projection",
    "Softmax",
    "SpanHead",
    "chunked_cross_entropy",
    "masked_head",
    "pool",
]
