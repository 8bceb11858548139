from __future__ import annotations

from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor

from plmlight.nn import Configured
from plmlight.objectives.base import Batch, Parts


class SentencePairObjective(Configured):
    """Tells true pairs of segments from false ones; the data draws them and gives ``pair_labels`` [B]."""

    pairs: ClassVar[Literal["next", "order"]]
    """What the data must draw, as `DocumentCorpus` names it."""

    def loss(self, logits: Tensor, batch: Batch) -> Parts:
        """``{"pair_loss": (sum, count)}`` of logits [B, 2]; rows with the label -100 count for nothing.

        Raises:
            ValueError: when the data gave no pairs.
        """
        if "pair_labels" not in batch:
            raise ValueError(
                f"{type(self).__name__} needs pair_labels, which the batch has not: take DocumentCorpus, and set its "
                f"pairs to {self.pairs}"
            )
        labels = batch["pair_labels"]
        total = F.cross_entropy(logits.float(), labels, reduction="sum")
        return {"pair_loss": (total, (labels >= 0).sum().float())}

    def correct(self, logits: Tensor, batch: Batch) -> Tensor:
        """How many pairs were told right."""
        right: Tensor = (logits.argmax(-1) == batch["pair_labels"]).sum()
        return right


class NextSentencePrediction(SentencePairObjective):
    """Whether the second segment follows the first (Devlin et al. 2019, arXiv:1810.04805, section 3.1, task 2)."""

    pairs = "next"


class SentenceOrderPrediction(SentencePairObjective):
    """Whether two consecutive segments are in their order (Lan et al. 2020, arXiv:1909.11942, section 3.1)."""

    pairs = "order"
