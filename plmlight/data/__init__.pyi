from .corpus import TextCorpus as TextCorpus
from .loader import EvaluationLoader as EvaluationLoader
from .loader import TrainingLoader as TrainingLoader
from .shards import Shards as Shards
