"""What tasks with labels train of a network that reads and writes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from plmlight.adapters import Adapter, LoRA, PrefixTuning, PromptTuning
from plmlight.networks import BERT, GPT, T5, EncoderDecoderPair, LSTMSeq2Seq, Transformer
from plmlight.nn import EncoderDecoder
from plmlight.tasks import (
    LabelledTask,
    QuestionAnswering,
    RelationExtraction,
    SemanticRoleLabelling,
    TextClassification,
    TokenClassification,
)

SIZES: dict[str, Any] = {"d_model": 16, "num_layers": 1, "num_heads": 2}
NETWORKS: dict[str, Callable[[], EncoderDecoder]] = {
    "t5": lambda: T5(20, **SIZES),
    "transformer": lambda: Transformer(20, **SIZES, positions="learned", norm_first=True, norm_embedding=True),
    "transformer of two vocabularies": lambda: Transformer(20, **SIZES, target_vocab_size=30),
    "lstm": lambda: LSTMSeq2Seq(20, d_model=16, num_layers=1, target_vocab_size=30),
    "pair": lambda: EncoderDecoderPair(BERT(20, **SIZES), GPT(30, **SIZES, memory_dim=16)),
}
TASKS: dict[str, Callable[..., LabelledTask]] = {
    "classes": lambda *given: TextClassification(given[0], ["a", "b"], adapter=given[1]),
    "tags": lambda *given: TokenClassification(given[0], ["a", "b"], adapter=given[1]),
    "roles": lambda *given: SemanticRoleLabelling(given[0], ["B-V", "O"], [5, 6], adapter=given[1]),
    "answers": lambda *given: QuestionAnswering(given[0], adapter=given[1]),
    "relations": lambda *given: RelationExtraction(given[0], ["a", "b"], [5, 6, 7, 8], adapter=given[1]),
}
IDS = torch.tensor([[9, 5, 10, 6, 11, 7, 12, 8, 13]])


def trained_in_vain(task: LabelledTask) -> list[str]:
    """The parameters that are trained and have no gradient."""
    sum(output.float().sum() for output in task(IDS).values()).backward()
    return [name for name, each in task.named_parameters() if each.requires_grad and each.grad is None]


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("task", TASKS)
def test_what_only_writes_is_not_trained(network: str, task: str) -> None:
    assert trained_in_vain(TASKS[task](NETWORKS[network](), None)) == []


@pytest.mark.parametrize("adapter", [LoRA(2), PrefixTuning(2), PromptTuning(2)], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("network", ["t5", "transformer"])
@pytest.mark.parametrize("task", TASKS)
def test_nor_is_what_an_adapter_adds_there(network: str, task: str, adapter: Adapter) -> None:
    assert trained_in_vain(TASKS[task](NETWORKS[network](), adapter)) == []


@pytest.mark.parametrize("adapter", [None, LoRA(2)])
def test_both_halves_are_trained_where_both_read(adapter: Adapter | None) -> None:
    task = TextClassification(NETWORKS["t5"](), ["a", "b"], pooling="pooler", adapter=adapter)
    assert trained_in_vain(task) == []
    assert isinstance(task.network, EncoderDecoder)
    assert any(each.requires_grad for part in task.network.writers() for each in part.parameters())
    alone = TextClassification(NETWORKS["t5"](), ["a", "b"], adapter=adapter)
    assert alone.trained_parameters()[0] < task.trained_parameters()[0]
