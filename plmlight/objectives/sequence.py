from __future__ import annotations

from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.objectives.keyed_random import KeyedRandom


class SequenceToSequence(Objective):
    """Predicts each token of the target from the source and the tokens before it.

    Sutskever et al. 2014, arXiv:1409.3215, section 2, with the true tokens as what came before (teacher forcing). The
    batch has ``labels`` [B, T], -100 at padding, beside the source's ``input_ids`` and ``attention_mask`` [B, S].
    """

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Leaves the batch as the data gives it.

        Raises:
            ValueError: when it has no ``labels``.
        """
        if "labels" not in batch:
            raise ValueError("SequenceToSequence needs sources with targets, as ParallelCorpus gives them")
        return batch

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies in nats."""
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"])}
