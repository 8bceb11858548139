from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.metrics.roles import role_counts
from plmlight.metrics.spans import SpanCounts
from plmlight.nn import Encoder, EncoderDecoder, Network
from plmlight.nn.growing import grow_vocabulary
from plmlight.objectives import Batch
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.token_classification import TokenClassification
from plmlight.text.tagging import OUTSIDE


class SemanticRoleLabelling(TokenClassification):
    """Who did what to whom: the arguments of a predicate and their roles, as BIO tags of the words.

    The predicate is given. As in Shi and Lin 2019, arXiv:1904.05255, section 3.2, the network is told which it is by
    its input, and roles are a layer over its hidden states; we differ in that two marker tokens around the predicate
    tell it, which suits networks without segments too. The best sequence of tags that BIO allows is given (He et al.
    2017, aclanthology.org/P17-1044, section 2.4), without transitions that are learned.

    Args:
        network: an encoder; or one that reads and writes, of which the encoder reads. Where it has no token for a
            marker, its token table grows.
        labels: the names of the tags, in order, with O; the command line takes them from the data, as the next one.
        markers: the ids of the two markers, before and after the predicate.
        head_dropout: on the hidden states.
        max_length: tokens of a sentence at most; what the network reads by default. The command line takes the data's.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Raises:
        ValueError: for a network that does not read in both directions, or cannot grow; tags that are not BIO; or
            markers that are not two.
    """

    def __init__(
        self,
        network: Network,
        labels: list[str],
        markers: list[int],
        head_dropout: float = 0.1,
        max_length: int | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        if not isinstance(network, Encoder | EncoderDecoder):
            raise ValueError(
                f"SemanticRoleLabelling needs a network that reads in both directions, as {type(network).__name__} "
                "does not: what stands before a predicate is its argument too"
            )
        if not len(markers) == len(set(markers)) == 2 or min(markers) < 0:
            raise ValueError(f"markers {markers}: expected the ids of two tokens")
        if OUTSIDE not in labels:
            raise ValueError(f"labels {labels}: {OUTSIDE!r}, of words without a role, is missing")
        grow_vocabulary(network, max(markers) + 1)  # before anything is noted of it
        super().__init__(
            network,
            labels,
            scheme="BIO",
            head_dropout=head_dropout,
            max_length=max_length,
            optimizer=optimizer,
            schedule=schedule,
            seed=seed,
            adapter=adapter,
        )
        self.markers = markers

    def facts(self) -> dict[str, Any]:
        """Adds the markers."""
        return super().facts() | {"markers": self.markers}

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """The tags of whole sentences: words too far from the predicate to be read have none."""
        found = super().find(outputs, batch)
        tags = []
        for said, first, gold in zip(found["tags"], batch["first_words"].tolist(), batch["roles"], strict=True):
            whole = np.full(len(gold), self.labels.index(OUTSIDE), np.int64)
            whole[first : first + len(said)] = said
            tags.append(whole)
        gold = [np.array(roles, np.int64) for roles in batch["roles"]]
        return {**found, "tags": tags, "gold": gold, "first_words": torch.zeros_like(batch["first_words"])}

    def count_spans(self, gold: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> SpanCounts:
        """Arguments, without the predicate itself; see `plmlight.metrics.roles.arguments_of`."""
        return role_counts(gold, tags)
