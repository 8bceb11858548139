from plmlight.metrics.sums import Sums, all_reduce_sum
from plmlight.metrics.text import bits_per_byte, perplexity
from plmlight.metrics.text_metrics import TEXT_METRICS, TextMetric, gather_texts, text_metrics

__all__ = [
    "TEXT_METRICS",
    "Sums",
    "TextMetric",
    "all_reduce_sum",
    "bits_per_byte",
    "gather_texts",
    "perplexity",
    "text_metrics",
]
