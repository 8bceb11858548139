from plmlight.tasks.auxiliary import Auxiliary, Distillation, MaskedWords, PseudoLabels, RDrop
from plmlight.tasks.base import Task
from plmlight.tasks.carrying import Carried
from plmlight.tasks.causal_lm import CausalLM
from plmlight.tasks.checkpoint import task_from_checkpoint
from plmlight.tasks.encoding import TorchEmbeddingModel, TorchMaskedModel, TorchOutputModel
from plmlight.tasks.generation import TorchLanguageModel, TorchSequenceModel
from plmlight.tasks.labelled import LabelledTask, ScoredTask
from plmlight.tasks.masked_lm import MaskedLM
from plmlight.tasks.permutation_lm import PermutationLM
from plmlight.tasks.problems import MultiLabel, Problem, Regression, SingleLabel
from plmlight.tasks.question_answering import QuestionAnswering
from plmlight.tasks.relation_extraction import RelationExtraction
from plmlight.tasks.semantic_role_labelling import SemanticRoleLabelling
from plmlight.tasks.sentence_embedding import SentenceEmbedding
from plmlight.tasks.seq2seq import Seq2Seq, SpanCorruptionLM
from plmlight.tasks.text_classification import TextClassification
from plmlight.tasks.token_classification import TokenClassification
from plmlight.tasks.word_vectors import WordVectorModel

__all__ = [
    "Auxiliary",
    "Carried",
    "CausalLM",
    "Distillation",
    "LabelledTask",
    "MaskedLM",
    "MaskedWords",
    "MultiLabel",
    "PermutationLM",
    "Problem",
    "PseudoLabels",
    "QuestionAnswering",
    "RDrop",
    "Regression",
    "RelationExtraction",
    "ScoredTask",
    "SemanticRoleLabelling",
    "SentenceEmbedding",
    "Seq2Seq",
    "SingleLabel",
    "SpanCorruptionLM",
    "Task",
    "TextClassification",
    "TokenClassification",
    "TorchEmbeddingModel",
    "TorchLanguageModel",
    "TorchMaskedModel",
    "TorchOutputModel",
    "TorchSequenceModel",
    "WordVectorModel",
    "task_from_checkpoint",
]
