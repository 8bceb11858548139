from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from plmlight.heads import LMHead
from plmlight.heads.cross_entropy import IGNORED
from plmlight.metrics import perplexity
from plmlight.nn import EncoderDecoder
from plmlight.objectives import Batch, KeyedRandom, Objective, Outputs, SequenceToSequence
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.base import Task


class Seq2Seq(Task):
    """A model that reads a text and writes another: translation, summarisation, dialogue.

    Args:
        network: the encoder and decoder.
        objective: what it learns; `SequenceToSequence` by default.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        tie_head: whether the projection is the target's token table (Press and Wolf 2017, arXiv:1608.05859); with a
            vocabulary for both, source, target and projection then share one (arXiv:1706.03762, section 3.4).
        head_bias: whether the projection adds a number to each token's score.
        seed: of the objective's random choices.
    """

    network: EncoderDecoder
    default_objective: ClassVar[type[Objective]] = SequenceToSequence

    def __init__(
        self,
        network: EncoderDecoder,
        objective: Objective | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        tie_head: bool = True,
        head_bias: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed)
        self.objective = objective if objective is not None else self.default_objective()
        table = network.target_embedding.weight
        self.head = LMHead(
            table.shape[1],
            network.target_vocab_size,
            bias=head_bias,
            weight=table if tie_head else None,
            scale=network.head_scale if tie_head else 1.0,
        )

    def forward(
        self, input_ids: Tensor, decoder_input_ids: Tensor, attention_mask: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Scores the token after each position of the target.

        Args:
            input_ids: [B, S].
            decoder_input_ids: [B, T], the start token and what was written.
            attention_mask: [B, S], 0 is padding; None where nothing is.

        Returns:
            ``logits`` [B, T, V] and ``encoder_last_hidden_state`` [B, S, D].
        """
        memory = self.network.encode(input_ids, attention_mask)
        hidden, _ = self.network.decode(decoder_input_ids, memory, attention_mask)
        return {"logits": self.head(hidden), "encoder_last_hidden_state": memory}

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets the objective make inputs and labels, and moves the labels right behind the start token."""
        batch = self.objective.corrupt(batch, rng)
        return {**batch, "decoder_input_ids": self.shift_right(batch["labels"])}

    def shift_right(self, labels: Tensor) -> Tensor:
        """What the decoder reads to write ``labels`` [B, T]: the start token, and all of them but the last."""
        start = labels.new_full((labels.shape[0], 1), self.network.decoder_start_token_id)
        return torch.cat([start, labels[:, :-1].masked_fill(labels[:, :-1] == IGNORED, self.network.pad_token_id)], 1)

    def parts(self, batch: Batch) -> Parts:
        """The objective's loss; the vocabulary is projected to only where there are labels."""
        hidden = self.network(
            batch["input_ids"],
            batch["decoder_input_ids"],
            batch.get("attention_mask"),
            batch.get("decoder_attention_mask"),
        )
        return self.objective.loss(Outputs(hidden, self.head), batch)

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Mean ``loss`` in nats a token, and ``perplexity``."""
        loss, count = sums["loss"], sums["loss_count"]
        return {"loss": loss / max(count, 1.0), "perplexity": perplexity(loss, count)}
