from plmlight.tasks.base import Task
from plmlight.tasks.causal_lm import CausalLM
from plmlight.tasks.checkpoint import task_from_checkpoint
from plmlight.tasks.generation import TorchLanguageModel

__all__ = ["CausalLM", "Task", "TorchLanguageModel", "task_from_checkpoint"]
