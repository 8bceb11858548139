from .bucketing import BucketedEvaluationLoader as BucketedEvaluationLoader
from .bucketing import BucketedTrainingLoader as BucketedTrainingLoader
from .corpus import TextCorpus as TextCorpus
from .document_corpus import DocumentCorpus as DocumentCorpus
from .loader import EvaluationLoader as EvaluationLoader
from .loader import TrainingLoader as TrainingLoader
from .sentences import split_sentences as split_sentences
from .shards import Shards as Shards
