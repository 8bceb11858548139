from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.heads import PairHead, masked_head
from plmlight.metrics import perplexity
from plmlight.nn import Encoder
from plmlight.objectives import (
    Batch,
    KeyedRandom,
    MaskedLanguageModelling,
    Masking,
    Objective,
    Outputs,
    SentencePairObjective,
    TranslationLanguageModelling,
)
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.base import Task
from plmlight.tasks.publishing import publish


class MaskedLM(Task):
    """A masked language model: an encoder, a head that names hidden tokens, and perhaps one that judges pairs.

    Args:
        network: the encoder.
        objective: which tokens are hidden; `MaskedLanguageModelling` by default.
        pair_objective: what is learned from pairs of segments; nothing by default.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        tie_head: whether the projection is the token embedding's table (Press and Wolf 2017, arXiv:1608.05859).
        seed: of the masks.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.
    """

    network: Encoder
    default_objective: ClassVar[type[Objective]] = MaskedLanguageModelling

    def __init__(
        self,
        network: Encoder,
        objective: Masking | None = None,
        pair_objective: SentencePairObjective | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        tie_head: bool = True,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        self.objective = objective if objective is not None else self.default_objective()
        self.pair_objective = pair_objective
        self.head = masked_head(network, tie_head)
        self.pair_head = PairHead(network.d_model, last=network.cls_last) if pair_objective is not None else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scores every token of the vocabulary at each position.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``logits`` [B, T, V], and ``pair_logits`` [B, 2] where there is such a head.
        """
        hidden = self.network(input_ids, attention_mask, token_type_ids, position_ids)
        outputs = {"logits": self.head(hidden)}
        if self.pair_head is not None:
            outputs["pair_logits"] = self.pair_head(hidden, attention_mask)
        return outputs

    def check_ready(self) -> None:
        """Refuses translations where the network cannot tell languages apart, beside what every task refuses.

        Raises:
            ValueError: naming what is missing.
        """
        super().check_ready()
        languages = self.network.num_token_types
        if isinstance(self.objective, TranslationLanguageModelling) and languages < 2:
            raise ValueError(
                f"TranslationLanguageModelling reads two languages, but the network's num_token_types is {languages}: "
                "set it to their number"
            )

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets the objective hide tokens."""
        return self.objective.corrupt(batch, rng)

    def _hidden(self, batch: Batch) -> Tensor:
        hidden: Tensor = self.network(
            batch["input_ids"], batch.get("attention_mask"), batch.get("token_type_ids"), batch.get("position_ids")
        )
        return hidden

    def parts(self, batch: Batch) -> Parts:
        """The objective's loss, the vocabulary projected to only at hidden tokens; with pairs the sum of two means."""
        hidden = self._hidden(batch)
        parts = self.objective.loss(Outputs(hidden, self.head), batch)
        if self.pair_head is not None and self.pair_objective is not None:
            logits = self.pair_head(hidden, batch.get("attention_mask"))
            parts = {"mlm_loss": parts["loss"], **self.pair_objective.loss(logits, batch)}
            batch["pair_correct"] = self.pair_objective.correct(logits, batch)
        return parts

    def measure(self, batch: Batch, parts: Parts) -> dict[str, Tensor]:
        """Adds how many pairs were told right."""
        measured = super().measure(batch, parts)
        return measured | ({"pair_correct": batch["pair_correct"]} if "pair_correct" in batch else {})

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Mean ``loss`` in nats a hidden token and its ``perplexity``; with pairs each loss and ``pair_accuracy``."""
        if "pair_loss" not in sums:
            return {
                "loss": sums["loss"] / max(sums["loss_count"], 1.0),
                "perplexity": perplexity(sums["loss"], sums["loss_count"]),
            }
        mlm, pair = (sums[name] / max(sums[f"{name}_count"], 1.0) for name in ("mlm_loss", "pair_loss"))
        return {
            "loss": mlm + pair,
            "mlm_loss": mlm,
            "perplexity": perplexity(sums["mlm_loss"], sums["mlm_loss_count"]),
            "pair_loss": pair,
            "pair_accuracy": sums["pair_correct"] / max(sums["pair_loss_count"], 1.0),
        }

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Scores texts, each value [B]: ``sample_ids``, the summed ``loss`` of hidden tokens in nats, their number."""
        hidden = self._hidden(batch)
        rows = [self.head.loss(row, labels, select=True) for row, labels in zip(hidden, batch["labels"], strict=True)]
        return {
            "sample_ids": batch["sample_ids"],
            "loss": torch.stack([total for total, _ in rows]),
            "tokens": torch.stack([count for _, count in rows]).long(),
        }

    def save_pretrained(self, folder: str) -> None:
        """Writes network, heads and tokenizer, as ``transformers.AutoModelForMaskedLM`` opens them.

        With a head for pairs ``AutoModelForPreTraining`` opens all of it, as BERT's for the next sentence or ALBERT's
        for the order, whichever of the two was learned.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express network and heads, or the folder holds other files.
        """
        publish(self, folder)
