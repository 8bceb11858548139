"""What tasks with labels train of a network that reads and writes."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch

from plmlight.adapters import Adapter, LoRA, PrefixTuning, PromptTuning
from plmlight.networks import BERT, GPT, T5, EncoderDecoderPair, LSTMSeq2Seq, Transformer
from plmlight.nn import EncoderDecoder, Network
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


@pytest.mark.parametrize("task", TASKS)
def test_an_adapter_of_which_only_the_decoder_has_something_is_refused(task: str) -> None:
    told = (
        "LoRA: all that it adds to T5 only writes, and here the encoder alone reads; targets ['decoder*query'] match "
        "'decoder.layers.0.attention.query'; did you mean 'encoder.layers.0.attention.query'?"
    )
    with pytest.raises(ValueError, match=re.escape(told)):
        TASKS[task](NETWORKS["t5"](), LoRA(2, targets=["decoder*query"]))
    with pytest.raises(ValueError, match=r"targets \['\*'\] match 'bridge'$"):  # a recurrent encoder has no matrix
        TASKS[task](NETWORKS["lstm"](), LoRA(2, targets=["*"]))


def test_an_adapter_in_the_decoder_is_for_tasks_that_read_with_both() -> None:
    adapter = LoRA(2, targets=["decoder*query"])
    task = TextClassification(NETWORKS["t5"](), ["a", "b"], pooling="pooler", adapter=adapter)
    assert any(each.requires_grad for each in task.network.parameters())


class OfTheNorm(Adapter):
    """Trains a network's last norm."""

    def insert(self, network: Network) -> None:
        """Lets it be trained."""
        assert isinstance(network, T5)
        network.decoder_norm.requires_grad_(True)


def test_so_is_one_of_ones_own() -> None:
    with pytest.raises(ValueError, match="OfTheNorm: all that it adds to T5 only writes, and here the encoder alone"):
        TASKS["tags"](NETWORKS["t5"](), OfTheNorm())
