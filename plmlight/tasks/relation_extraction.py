from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.heads import ClassificationHead
from plmlight.heads.cross_entropy import IGNORED
from plmlight.metrics.relations import confusions, relation_measures
from plmlight.nn import Decoder, Network
from plmlight.nn.growing import grow_vocabulary
from plmlight.objectives import Batch
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.analyses import of_classes, samples_of
from plmlight.tasks.labelled import Found, LabelledTask
from plmlight.tasks.reading import check_reads, freeze_writers, hidden_states, hidden_width, pooled
from plmlight.text.tables import Analysis

RelationPooling = Literal["entity_start", "cls", "mean"]


class RelationExtraction(LabelledTask):
    """The relation between two entities of a text, which stand between marker tokens.

    Baldini Soares et al. 2019, arXiv:1906.03158, section 3.2. The direction of a relation is part of its label:
    ``Cause-Effect(e1,e2)``.

    Args:
        network: an encoder; a decoder, which reads from left to right; or both, of which the encoder reads. Where it
            has no token for a marker, its token table grows.
        labels: the names of the classes, in order; the command line takes them from the data, as the next one.
        markers: the ids of the four markers: before and after the first entity, before and after the second.
        pooling: ``entity_start`` takes the hidden states of the two markers before the entities, one after the other (a
            decoder's of those after them, which have seen them); ``cls`` the token that has seen all; ``mean`` all.
        head_dropout: on that vector.
        max_length: tokens of a text at most; what the network reads by default. The command line takes the data's.
        negative: the class that says that there is no relation, which F1 leaves out; nothing where no class has the
            name.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Raises:
        ValueError: for a network that cannot read or grow, fewer than two classes, or markers that are not four.
    """

    def __init__(
        self,
        network: Network,
        labels: list[str],
        markers: list[int],
        pooling: RelationPooling = "entity_start",
        head_dropout: float = 0.1,
        max_length: int | None = None,
        negative: str | None = "Other",
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        if len(set(markers)) != 4 or min(markers) < 0:
            raise ValueError(f"markers {markers}: expected the ids of four tokens")
        grow_vocabulary(network, max(markers) + 1)  # before anything is noted of it
        super().__init__(network, optimizer, schedule, seed, adapter)
        check_reads(network, "RelationExtraction")
        freeze_writers(network, adapter)
        if len(labels) < 2:
            raise ValueError(f"labels {labels}: at least two classes are needed")
        self.labels, self.markers, self.pooling = labels, markers, pooling
        self.max_length, self.negative = max_length, negative
        ends = isinstance(network, Decoder)
        self._read_at = (markers[1], markers[3]) if ends else (markers[0], markers[2])
        width = hidden_width(network) * (2 if pooling == "entity_start" else 1)
        self.head = ClassificationHead(width, len(labels), head_dropout)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scores the relations of texts.

        Args:
            input_ids: [B, T], with the four markers in each row.
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``logits`` [B, L].
        """
        hidden = hidden_states(self.network, input_ids, attention_mask, token_type_ids, position_ids)
        if self.pooling == "entity_start":
            at = [(input_ids == marker).unsqueeze(1).to(hidden.dtype) for marker in self._read_at]  # [B, 1, T]
            vector = torch.cat([(where @ hidden).squeeze(1) for where in at], -1)  # [B, 2 D]
        else:
            vector = pooled(self.network, hidden, attention_mask, self.pooling)
        return {"logits": self.head(vector)}

    @property
    def graph_outputs(self) -> dict[str, tuple[str | int, ...]]:
        """``logits``."""
        return {"logits": ("batch", len(self.labels))}

    def facts(self) -> dict[str, Any]:
        """The names of the classes, which of them is no relation, the markers, and how long texts are read."""
        return {
            "labels": self.labels,
            "negative": self.negative,
            "markers": self.markers,
            "max_length": self.max_length,
        }

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """Cross entropy, a sum over the examples that have a label."""
        labels = batch["labels"]
        total = F.cross_entropy(outputs["logits"].float(), labels, ignore_index=IGNORED, reduction="sum")
        return {"loss": (total, (labels != IGNORED).sum().float())}

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """The likeliest class with its probability, and the true one."""
        certainty, predicted = outputs["logits"].float().softmax(-1).max(-1)
        return {"predicted": predicted, "certainty": certainty, "labels": batch["labels"]}

    def score(self, found: Found) -> dict[str, float]:
        """See `plmlight.metrics.relations.relation_measures`."""
        gold, predicted = (np.asarray(found[name]) for name in ("labels", "predicted"))
        counts = confusions(gold, predicted, len(self.labels))
        measures = relation_measures(counts, self.labels, self.negative)
        return {name: float(values[0]) for name, values in measures.items()}

    def analyse(self, found: Found) -> Analysis:
        """Each relation, confusions, and the most certain mistakes."""
        said, certainty, labels = (np.asarray(found[name]) for name in ("predicted", "certainty", "labels"))
        return of_classes(said, certainty, labels, self.labels, samples_of(found))
