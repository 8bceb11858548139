from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.distributed import ProcessGroup

from plmlight.decoding import WordSpace, vocabulary_of
from plmlight.nn import WordVectors
from plmlight.objectives import (
    Batch,
    CooccurrenceRegression,
    KeyedRandom,
    NegativeSampling,
    WordObjective,
)
from plmlight.objectives.base import Parts
from plmlight.optim import Constant, RowAdaGrad, RowOptimizer, RowOptimizerFactory, RowSGD, Schedule, WarmupLinear
from plmlight.tasks.base import Task


class WordVectorModel(Task):
    """Static vectors of words: word2vec or GloVe.

    A training step takes many small ones, one for each ``sub_batch`` of the objective, with gradients of single rows
    that are written by hand; the loss that is logged is that of each step's first, before it changed anything. Because
    of this there is nothing to accumulate or to clip.

    Several ranks (DDP) each learn from their own part of a step's data by themselves; then the mean of their tables is
    taken (McDonald et al. 2010, N10-1069). That is not one large step on all of it: more ranks are another result.

    Args:
        network: the tables.
        objective: what they learn; by default `CooccurrenceRegression` where the network has biases (GloVe), else
            `NegativeSampling`.
        optimizer: changes rows; by default `RowAdaGrad` for a `CooccurrenceRegression`, else `RowSGD`.
        schedule: the learning rate over the run; by default it is `Constant` for `RowAdaGrad`, else a line down to
            1/250 of it, as in word2vec's program.
        normalise: give vectors of length 1.
        seed: of the objective's random choices.

    Raises:
        ValueError: when network and objective do not fit together, and in training when the loss is not a number.
    """

    network: WordVectors
    token_counts: Tensor

    def __init__(
        self,
        network: WordVectors,
        objective: WordObjective | None = None,
        optimizer: RowOptimizerFactory | None = None,
        schedule: Schedule | None = None,
        normalise: bool = False,
        seed: int = 0,
    ) -> None:
        if objective is None:
            objective = NegativeSampling() if network.input_bias is None else CooccurrenceRegression()
        objective.check_network(network)
        if optimizer is None:
            optimizer = RowAdaGrad() if isinstance(objective, CooccurrenceRegression) else RowSGD()
        if schedule is None:
            schedule = Constant() if isinstance(optimizer, RowAdaGrad) else WarmupLinear(final=0.004)
        super().__init__(network, optimizer, schedule, seed)
        self.objective, self.normalise = objective, normalise
        self.automatic_optimization = False
        self.register_buffer("token_counts", torch.zeros(network.vocab_size, dtype=torch.int64))
        self._counted = False

    def forward(self, word_ids: Tensor) -> dict[str, Tensor]:
        """Looks words up.

        Args:
            word_ids: [B].

        Returns:
            ``vectors`` [B, D].
        """
        vectors: Tensor = self.network(word_ids)
        if self.normalise:
            vectors = vectors / vectors.norm(dim=-1, keepdim=True).clamp_min(1e-12)
        return {"vectors": vectors}

    @torch.inference_mode()
    def space(self) -> WordSpace:
        """The words and their vectors.

        Raises:
            ValueError: when there is no tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError("there are no words without a tokenizer")
        words, ids = vocabulary_of(self.tokenizer)
        found = self(torch.from_numpy(ids).to(self.token_counts.device))["vectors"]
        return WordSpace(words, found.float().cpu().numpy())

    def use_token_counts(self, counts: Tensor) -> None:
        """Learns from the data how often each word stands in the text to train on.

        Args:
            counts: [V].

        Raises:
            ValueError: for counts of another vocabulary.
        """
        if counts.shape != self.token_counts.shape:
            raise ValueError(f"there are counts of {len(counts)} words, but the network has {len(self.token_counts)}")
        self.token_counts.copy_(counts)
        self._counted = False

    def check_ready(self) -> None:
        """The words' counts must be known.

        Raises:
            ValueError: when they are not.
        """
        if not self.token_counts.any():
            raise ValueError("the words' counts are missing: call use_token_counts with those of the data")

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets the objective draw what it draws."""
        self.objective.check_batch(batch)
        if not self._counted:  # not earlier, as a checkpoint may have brought other counts
            self.objective.use_counts(self.token_counts)
            self._counted = True
        return self.objective.corrupt(batch, rng)

    def parts(self, batch: Batch) -> Parts:
        """The objective's loss."""
        return self.objective.loss(self.network, batch)

    def training_step(self, batch: Batch, batch_idx: int) -> None:  # type: ignore[override]
        """Takes the small steps, and one of the schedule."""
        optimizer: Any = self.optimizers()
        rows: RowOptimizer = optimizer.optimizer
        with torch.no_grad():
            for number, part in enumerate(self.objective.parts_of(batch)):
                if number == 0:
                    self._note(part)
                for found in self.objective.gradients(self.network, part):
                    rows.update(found.table, found.rows, found.gradient, found.weights)
            _average(rows, self.data_parallel_group)
        optimizer.step()
        scheduler: Any = self.lr_schedulers()
        scheduler.step()

    def _note(self, batch: Batch) -> None:
        parts = self.parts(batch)
        if not all(bool(total.isfinite()) for total, _ in parts.values()):
            raise ValueError(
                f"the loss is not a number any more at step {self.trainer.global_step}: lower the optimizer's lr, or "
                "the objective's sub_batch"
            )
        self.train_sums.add(self.measure(batch, parts))

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Mean ``loss``: in nats a prediction, or half the weighted square a pair."""
        return {"loss": sums["loss"] / max(sums["loss_count"], 1.0)}


def _average(rows: RowOptimizer, group: ProcessGroup | None) -> None:
    """Gives all ranks the mean of their tables, and of what the optimiser keeps for them."""
    if group is None or group.size() == 1:
        return
    tables = [parameter for part in rows.param_groups for parameter in part["params"]]
    kept = [value for table in tables for value in rows.state[table].values()]
    for value in (*tables, *kept):
        torch.distributed.all_reduce(value, group=group)
        value /= group.size()
