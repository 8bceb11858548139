from __future__ import annotations

from torch import Tensor

from plmlight.heads.cross_entropy import IGNORED
from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.objectives.keyed_random import KeyedRandom


class CausalLanguageModelling(Objective):
    """Predicts each token from those before it (Bengio et al. 2003, JMLR 3, section 2).

    Data may say itself what is learned: where a batch has ``labels``, of the tokens in their place (an answer, but not
    the instruction before it, which has -100), nothing else is predicted.
    """

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Shifts the labels: [B, L] ids give [B, L-1] inputs, each with the token after it as its label.

        Where padding or another document follows there is no label. Nothing is random here.
        """
        ids = batch["input_ids"]
        learned = batch.get("labels")
        labels: Tensor = (ids if learned is None else learned)[:, 1:]
        shifted = {**batch, "input_ids": ids[:, :-1]}
        mask = batch.get("attention_mask")
        if mask is not None:
            follows = (mask[:, 1:] == mask[:, :-1]) & (mask[:, 1:] != 0)
            labels = labels.masked_fill(~follows, IGNORED)
            shifted["attention_mask"] = mask[:, :-1]
        return {**shifted, "labels": labels}

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies in nats."""
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"])}

    def source_length(self, max_length: int) -> int:
        """One more: the last token is only a label."""
        return max_length + 1
