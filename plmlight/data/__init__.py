from plmlight.data.corpus import TextCorpus
from plmlight.data.loader import EvaluationLoader, TrainingLoader
from plmlight.data.shards import Shards

__all__ = ["EvaluationLoader", "Shards", "TextCorpus", "TrainingLoader"]
