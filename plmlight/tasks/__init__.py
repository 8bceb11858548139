from plmlight.tasks.base import Task
from plmlight.tasks.causal_lm import CausalLM
from plmlight.tasks.checkpoint import task_from_checkpoint
from plmlight.tasks.encoding import TorchEmbeddingModel, TorchMaskedModel
from plmlight.tasks.generation import TorchLanguageModel
from plmlight.tasks.masked_lm import MaskedLM
from plmlight.tasks.sentence_embedding import SentenceEmbedding

__all__ = [
    "CausalLM",
    "MaskedLM",
    "SentenceEmbedding",
    "Task",
    "TorchEmbeddingModel",
    "TorchLanguageModel",
    "TorchMaskedModel",
    "task_from_checkpoint",
]
