from __future__ import annotations

from typing import Any, ClassVar

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.heads import LMHead
from plmlight.metrics import perplexity
from plmlight.nn import Cache, PermutationEncoder, cache_of, present_name
from plmlight.objectives import Batch, KeyedRandom, Objective, Outputs, PermutationLanguageModelling
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.base import Task
from plmlight.tasks.carrying import Carried
from plmlight.tasks.publishing import publish
from plmlight.text import special_token_ids


class PermutationLM(Task):
    """A language model that predicts tokens in any order: an encoder with two streams, and a projection.

    Where the network has a ``memory_length`` and the data comes in streams (``order: streams``), each row reads on with
    the memories of its segment before.

    Args:
        network: the encoder.
        objective: what it learns; `PermutationLanguageModelling` by default.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        tie_head: whether the projection is the token embedding's table (Press and Wolf 2017, arXiv:1608.05859).
        seed: of the orders.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.
    """

    network: PermutationEncoder
    default_objective: ClassVar[type[Objective]] = PermutationLanguageModelling

    def __init__(
        self,
        network: PermutationEncoder,
        objective: PermutationLanguageModelling | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        tie_head: bool = True,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        self.objective = objective if objective is not None else self.default_objective()
        table = network.token_embedding.weight
        self.head = LMHead(table.shape[1], network.vocab_size, bias=True, weight=table if tie_head else None)
        self.mask_token_id: int | None = None
        self._carried = Carried()

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turned text into ids; its mask, if it has one, is what hides a token in `forward`."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        self.mask_token_id = None if tokenizer is None else special_token_ids(tokenizer).get("mask")
        if tokenizer is not None:
            self.objective.use_tokenizer(tokenizer)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        **memories: Tensor,
    ) -> dict[str, Tensor]:
        """Scores every token of the vocabulary at each position.

        Where the tokenizer's mask stands, a token is hidden: no other sees it, and the scores are those of the query
        stream, which sees all that is not hidden. Elsewhere they are those of the content stream, which sees the token
        itself.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding, or [B, M+T]; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: without influence.
            memories: ``mems.0`` and so on, each [B, M, D], of the M tokens before; none to go without.

        Returns:
            ``logits`` [B, T, V], and with memories ``present_mems.0`` and so on: what is remembered for the tokens that
            follow.

        Raises:
            ValueError: for memories that do not fit.
        """
        names = self.network.memory_names()
        given = cache_of(memories, names)
        hidden, kept = self.read(input_ids, attention_mask, token_type_ids, given)
        outputs = {"logits": self.head(hidden)}
        if given is not None:
            outputs |= {present_name(name): tensor for name, tensor in zip(names, kept, strict=True)}
        return outputs

    def read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        memories: Cache | None = None,
    ) -> tuple[Tensor, Cache]:
        """The states [B, T, D] that `forward` projects, and what is remembered; see there."""
        if self.mask_token_id is None:
            states, _, kept = self.network.two_stream(input_ids, attention_mask, token_type_ids, None, None, memories)
            return states, kept
        return self.network.predict(
            input_ids, input_ids == self.mask_token_id, attention_mask, token_type_ids, memories
        )

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets the objective draw orders."""
        return self.objective.corrupt(batch, rng)

    def _query(self, batch: Batch) -> Tensor:
        """The query stream [B, K, D] at the targets."""
        ids, mask = batch["input_ids"], batch.get("attention_mask")
        memories: Cache | None = None
        if "continues" in batch and self.network.memory_length is not None:
            before, *rest = self._carried.take(
                self.training, batch["continues"], self._nothing(ids), self.data_parallel_group
            )
            memories = tuple(rest)
            own = torch.ones_like(ids) if mask is None else (mask != 0).long()
            mask = torch.cat([before, own], 1)  # [B, M+T]
        _, query, kept = self.network.two_stream(
            ids, mask, batch.get("token_type_ids"), batch["permutation_mask"], batch["target_mapping"], memories
        )
        if memories is not None:
            real = torch.cat([before, own[:, : self.network.reuse_length]], 1)[:, -kept[0].shape[1] :]
            self._carried.keep(self.training, (real, *(part.to(memories[0].dtype) for part in kept)))
        assert query is not None
        return query

    def _nothing(self, ids: Tensor) -> Cache:
        """What rows that begin anew remember: which memories there are, [B, M], none; and M of zeros."""
        assert self.network.memory_length is not None
        dtype = self.network.token_embedding.weight.dtype
        memories = self.network.empty_memories(len(ids), dtype, ids.device, self.network.memory_length)
        return (ids.new_zeros(len(ids), self.network.memory_length), *memories)

    def parts(self, batch: Batch) -> Parts:
        """The objective's loss, the vocabulary projected to only at the targets."""
        return self.objective.loss(Outputs(self._query(batch), self.head), batch)

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Mean ``loss`` in nats a target, and its ``perplexity``."""
        return {
            "loss": sums["loss"] / max(sums["loss_count"], 1.0),
            "perplexity": perplexity(sums["loss"], sums["loss_count"]),
        }

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Scores texts, each value [B]: ``sample_ids``, the summed ``loss`` of the targets in nats, their number."""
        query = self._query(batch)
        rows = [self.head.loss(row, labels, select=True) for row, labels in zip(query, batch["labels"], strict=True)]
        return {
            "sample_ids": batch["sample_ids"],
            "loss": torch.stack([total for total, _ in rows]),
            "tokens": torch.stack([count for _, count in rows]).long(),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds the memories of the rows of a stream."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["carried"] = self._carried.save(self.data_parallel_group)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes them back."""
        super().on_load_checkpoint(checkpoint)
        self._carried.load(checkpoint.get("carried", {}))

    def save_pretrained(self, folder: str) -> None:
        """Writes network, head and tokenizer, as ``transformers.XLNetLMHeadModel`` opens them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express network and head, or the folder holds other files.
        """
        publish(self, folder)
