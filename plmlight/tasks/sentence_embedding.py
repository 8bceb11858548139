from __future__ import annotations

from typing import Literal

from torch import Tensor

from plmlight.heads import Pooler, pool
from plmlight.interop import pooling_files
from plmlight.nn import Encoder
from plmlight.objectives import Batch
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.base import Task
from plmlight.tasks.publishing import publish

Pooling = Literal["mean", "cls", "max", "pooler"]


class SentenceEmbedding(Task):
    """A text as one vector: an encoder's pooled hidden states (Reimers and Gurevych 2019, arXiv:1908.10084).

    Args:
        network: the encoder.
        pooling: ``mean`` and ``max`` over the tokens, ``cls`` is the first token (XLNet: the last), ``pooler``
            BERT's layer over it.
        normalise: scale the vectors to length 1.
        pooler: whether there is BERT's layer, though ``pooling`` does not use it: published folders hold one.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
    """

    network: Encoder

    def __init__(
        self,
        network: Encoder,
        pooling: Pooling = "mean",
        normalise: bool = False,
        pooler: bool = False,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed)
        self.pooling, self.normalise = pooling, normalise
        self.pooler = Pooler(network.d_model, last=network.cls_last) if pooler or pooling == "pooler" else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Embeds texts.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``last_hidden_state`` [B, T, D] and ``sentence_embedding`` [B, D].
        """
        hidden = self.network(input_ids, attention_mask, token_type_ids, position_ids)
        if self.pooling == "pooler":
            assert self.pooler is not None
            pooled: Tensor = self.pooler(hidden, attention_mask)
        else:
            pooled = pool(hidden, attention_mask, self.pooling, last=self.network.cls_last)
        if self.normalise:
            pooled = pooled / pooled.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return {"last_hidden_state": hidden, "sentence_embedding": pooled}

    def parts(self, batch: Batch) -> Parts:
        """There is no objective yet.

        Raises:
            ValueError: always.
        """
        raise ValueError("SentenceEmbedding embeds with a trained encoder; it has no objective to train with")

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Nothing, as nothing is summed."""
        return {}

    def save_pretrained(self, folder: str) -> None:
        """Writes network, pooling and tokenizer, as ``transformers.AutoModel`` and sentence-transformers open them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the network, or sentence-transformers the pooling; or
                the folder holds other files.
        """
        publish(self, folder, pooling_files(self.pooling, self.normalise, self.network.d_model, self.network.cls_last))
