from plmlight.tasks.base import Task
from plmlight.tasks.causal_lm import CausalLM
from plmlight.tasks.checkpoint import read_checkpoint, task_from_checkpoint
from plmlight.tasks.generation import TorchLanguageModel

__all__ = ["CausalLM", "Task", "TorchLanguageModel", "read_checkpoint", "task_from_checkpoint"]
