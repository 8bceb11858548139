"""Tasks with labels for the tests, small and without training."""

from typing import TypeVar

import torch

from plmlight.networks import BERT
from plmlight.nn import Network
from plmlight.tasks import LabelledTask, TextClassification
from tests.runtime.encoders import wordpiece

T = TypeVar("T", bound=LabelledTask)
LABELS = ["news", "sport", "weather"]


def small_classifier(network: Network | None = None, **arguments: object) -> TextClassification:
    """A classifier of odd sizes whose answers differ."""
    torch.manual_seed(0)
    network = (
        network if network is not None else BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=37)
    )
    task = TextClassification(network, LABELS, **arguments)  # type: ignore[arg-type]
    return ready(task)


def ready(task: T) -> T:
    """A task with weights large enough for answers to differ, and a tokenizer."""
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.tokenizer = wordpiece()
    return task.eval()
