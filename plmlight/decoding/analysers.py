"""The one place where the answers of tasks with labels are found."""

from __future__ import annotations

from plmlight.decoding.analysis import TextAnalyser
from plmlight.decoding.classification import TextClassifier
from plmlight.decoding.question_answering import QuestionAnswerer
from plmlight.decoding.relations import RelationExtractor
from plmlight.decoding.roles import RoleLabeller
from plmlight.decoding.tagging import Tagger

ANALYSERS: dict[str, type[TextAnalyser]] = {
    "QuestionAnswering": QuestionAnswerer,
    "RelationExtraction": RelationExtractor,
    "SemanticRoleLabelling": RoleLabeller,
    "TextClassification": TextClassifier,
    "TokenClassification": Tagger,
}
"""What answers, by the name of the task; ``export``, the runtime, ``infer`` and ``selftest`` need nothing else."""
