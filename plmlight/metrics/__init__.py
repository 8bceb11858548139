from plmlight.metrics.sums import Sums, all_reduce_sum
from plmlight.metrics.text import bits_per_byte, perplexity

__all__ = ["Sums", "all_reduce_sum", "bits_per_byte", "perplexity"]
