from plmlight.heads.cross_entropy import chunked_cross_entropy
from plmlight.heads.lm import LMHead
from plmlight.heads.masked_lm import MaskedLMHead
from plmlight.heads.pooling import PairHead, Pooler, pool

__all__ = ["LMHead", "MaskedLMHead", "PairHead", "Pooler", "chunked_cross_entropy", "pool"]
