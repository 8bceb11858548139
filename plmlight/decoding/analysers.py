"""The one place where the answers of tasks with labels are found."""

from __future__ import annotations

from plmlight.decoding.analysis import TextAnalyser
from plmlight.decoding.classification import TextClassifier

ANALYSERS: dict[str, type[TextAnalyser]] = {
    "TextClassification": TextClassifier,
}
"""What answers, by the name of the task; ``export``, the runtime, ``infer`` and ``selftest`` need nothing else."""
