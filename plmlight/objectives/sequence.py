from __future__ import annotations

from plmlight.objectives.base import Batch, Objective, Outputs, Parts
from plmlight.objectives.keyed_random import KeyedRandom


class SequenceToSequence(Objective):
    """Predicts each token of the target from the source and the tokens before it.

    Sutskever et al. 2014, arXiv:1409.3215, section 2, with the true tokens as what came before (teacher forcing). The
    batch has ``labels`` [B, T], -100 at padding, beside the source's ``input_ids`` and ``attention_mask`` [B, S].

    Args:
        label_smoothing: while training, the share of each label's probability that is spread over all of the vocabulary
            (Szegedy et al. 2016, arXiv:1512.00567, section 7): 0.1 in the Transformer (arXiv:1706.03762, section 5.4).
            What is logged as ``train_loss`` has it; validation and test are of the plain cross entropy.

    Raises:
        ValueError: for a share that is none.
    """

    def __init__(self, label_smoothing: float = 0.0) -> None:
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing {label_smoothing}: expected at least 0 and less than 1")
        self.label_smoothing = label_smoothing

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Leaves the batch as the data gives it.

        Raises:
            ValueError: when it has no ``labels``.
        """
        if "labels" not in batch:
            raise ValueError("SequenceToSequence needs sources with targets, as ParallelCorpus gives them")
        return batch

    def loss(self, outputs: Outputs, batch: Batch) -> Parts:
        """``{"loss": (sum, count)}`` of the cross entropies in nats, smoothed where the head is in training mode."""
        smoothing = self.label_smoothing if outputs.head.training else 0.0
        return {"loss": outputs.head.loss(outputs.hidden, batch["labels"], label_smoothing=smoothing)}
