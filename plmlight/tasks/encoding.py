from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from plmlight.decoding import Inputs
from plmlight.tasks.permutation_lm import PermutationLM
from plmlight.tasks.reading import num_token_types

if TYPE_CHECKING:
    from plmlight.tasks.labelled import LabelledTask  # which predicts with what is here
    from plmlight.tasks.masked_lm import MaskedLM
    from plmlight.tasks.sentence_embedding import SentenceEmbedding


class _TorchEncoder:
    """A task that reads texts as `plmlight.decoding` wants it; it runs where its weights are.

    Args:
        task: put into evaluation mode.
    """

    def __init__(self, task: MaskedLM | PermutationLM | SentenceEmbedding | LabelledTask) -> None:
        network = task.eval().network
        self.max_length, self.pad_token_id = network.max_length, network.pad_token_id
        self.num_token_types, self.width = num_token_types(network), network.d_model
        self.device = network.token_embedding.weight.device

    def tensors(self, inputs: Inputs) -> dict[str, Tensor]:
        """A batch on the device, without segments where there is nothing to tell apart."""
        names = ("input_ids", "attention_mask", *(["token_type_ids"] if self.num_token_types > 1 else []))
        return {name: torch.from_numpy(inputs[name]).to(self.device) for name in names}


class TorchMaskedModel(_TorchEncoder):
    """A `MaskedLM` or `PermutationLM` for `plmlight.decoding.MaskFiller`.

    Args:
        task: the task.
    """

    def __init__(self, task: MaskedLM | PermutationLM) -> None:
        super().__init__(task)
        self.task = task

    @torch.inference_mode()
    def scores(self, inputs: Inputs, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `plmlight.decoding.MaskedModel.scores`; the vocabulary is projected to at these positions only."""
        given = self.tensors(inputs)
        if isinstance(self.task, PermutationLM):
            hidden, _ = self.task.read(given["input_ids"], given["attention_mask"], given["token_type_ids"])
        else:
            hidden = self.task.network(**given)
        chosen = hidden[torch.from_numpy(rows).to(self.device), torch.from_numpy(columns).to(self.device)]  # [N, D]
        logits: NDArray[np.float32] = self.task.head(chosen).float().cpu().numpy()
        return logits


class TorchEmbeddingModel(_TorchEncoder):
    """A `SentenceEmbedding` for `plmlight.decoding.TextEmbedder`.

    Args:
        task: the task.
    """

    def __init__(self, task: SentenceEmbedding) -> None:
        super().__init__(task)
        self.task, self.max_length = task, task.text_length

    @torch.inference_mode()
    def embed(self, inputs: Inputs) -> NDArray[np.float32]:
        """See `plmlight.decoding.EmbeddingModel.embed`."""
        vectors: NDArray[np.float32] = self.task(**self.tensors(inputs))["sentence_embedding"].float().cpu().numpy()
        return vectors


class TorchOutputModel(_TorchEncoder):
    """A task with labels, whatever its network, for `plmlight.decoding.TextAnalyser`.

    Args:
        task: the task.
    """

    def __init__(self, task: LabelledTask) -> None:
        super().__init__(task)
        self.task = task

    @torch.inference_mode()
    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """See `plmlight.decoding.OutputModel`."""
        marks = {name: torch.from_numpy(inputs[name]).to(self.device) for name in self.task.graph_inputs}
        found: dict[str, Tensor] = self.task(**self.tensors(inputs), **marks)
        return {name: as_array(found[name]) for name in self.task.graph_outputs}


def as_array(tensor: Tensor) -> NDArray[Any]:
    """A tensor as numpy has it: numbers with a fraction as float32, others as they are."""
    array: NDArray[Any] = (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
    return array
