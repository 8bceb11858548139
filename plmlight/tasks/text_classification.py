from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.heads import ClassificationHead
from plmlight.heads.cross_entropy import IGNORED
from plmlight.nn import Network
from plmlight.objectives import Batch
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.labelled import Found, LabelledTask
from plmlight.tasks.reading import check_reads, hidden_states, hidden_width, pooled

ClassificationPooling = Literal["mean", "cls", "max"]


class TextClassification(LabelledTask):
    """The class of a text, or of a pair of texts: topic, sentiment, spam.

    Args:
        network: an encoder; a decoder, which reads from left to right; or both, of which the encoder reads.
        labels: the names of the classes, in order; the command line takes them from the data.
        pooling: how a text's hidden states become one vector: ``mean`` or ``max`` over its tokens, or ``cls``, the
            token that has seen all (an encoder's first, XLNet's and a decoder's last).
        head_dropout: on that vector.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Raises:
        ValueError: for a network that cannot read, or fewer than two classes.
    """

    def __init__(
        self,
        network: Network,
        labels: list[str],
        pooling: ClassificationPooling = "mean",
        head_dropout: float = 0.1,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        check_reads(network, "TextClassification")
        if len(labels) < 2:
            raise ValueError(f"labels {labels}: at least two classes are needed")
        self.labels, self.pooling = labels, pooling
        self.head = ClassificationHead(hidden_width(network), len(labels), head_dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scores the classes of texts.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``logits`` [B, L].
        """
        hidden = hidden_states(self.network, input_ids, attention_mask, token_type_ids, position_ids)
        return {"logits": self.head(pooled(self.network, hidden, attention_mask, self.pooling))}

    @property
    def graph_outputs(self) -> dict[str, tuple[str | int, ...]]:
        """``logits``."""
        return {"logits": ("batch", len(self.labels))}

    def facts(self) -> dict[str, Any]:
        """The names of the classes."""
        return {"labels": self.labels}

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """Cross entropy, a sum over the examples that have a label."""
        labels = batch["labels"]
        total = F.cross_entropy(outputs["logits"].float(), labels, ignore_index=IGNORED, reduction="sum")
        return {"loss": (total, (labels != IGNORED).sum().float())}

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """The probabilities and the label."""
        return {"scores": outputs["logits"].float().softmax(-1), "labels": batch["labels"]}

    def score(self, found: Found) -> dict[str, float]:
        """``accuracy``."""
        return {"accuracy": 100 * float(np.mean(found["scores"].argmax(-1) == found["labels"]))}
