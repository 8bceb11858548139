from plmlight.heads.cross_entropy import chunked_cross_entropy
from plmlight.heads.lm import LMHead

__all__ = ["LMHead", "chunked_cross_entropy"]
