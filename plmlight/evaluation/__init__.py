"""How good a model is, and how sure that is."""

from plmlight.evaluation.models import Opened, open_model
from plmlight.evaluation.run import METRICS, Metric, Settings, evaluate
from plmlight.evaluation.sequence import Generation, Writer
from plmlight.evaluation.significance import Bootstrap, Comparison, Estimate, compare, estimate
from plmlight.evaluation.similarity import Columns

__all__ = [
    "METRICS",
    "Bootstrap",
    "Columns",
    "Comparison",
    "Estimate",
    "Generation",
    "Metric",
    "Opened",
    "Settings",
    "Writer",
    "compare",
    "estimate",
    "evaluate",
    "open_model",
]
