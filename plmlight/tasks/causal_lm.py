from __future__ import annotations

from typing import Any, ClassVar, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.heads import AdaptiveHead, Projection, Softmax
from plmlight.metrics import bits_per_byte, perplexity
from plmlight.nn import Decoder, cache_of, is_state, present_name
from plmlight.nn.counting import Counted, cannot_go_on
from plmlight.objectives import Batch, CausalLanguageModelling, KeyedRandom, Objective, Outputs
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.base import Task
from plmlight.tasks.carrying import Carried
from plmlight.tasks.checkpoint import TEXT_FORM
from plmlight.tasks.publishing import publish
from plmlight.text import TextForm, document_separator, special_token_ids, token_byte_lengths


class CausalLM(Task):
    """A language model that reads left to right: a decoder, a projection to the vocabulary, and an objective.

    A network that is counted (`NGram`) is its own projection; ``fit`` reads the text once, in order, and the one step
    that it takes is to estimate the model at the end. Neither optimiser nor schedule has a part in it.

    Args:
        network: the decoder.
        objective: what it learns; `CausalLanguageModelling` by default.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        tie_head: whether the projection is the token embedding's table (Press and Wolf 2017, arXiv:1608.05859).
        seed: of the objective's random choices.
        projection: makes the head; `Softmax` by default, or `AdaptiveSoftmax`.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Attributes:
        text_form: what stands around an instruction; the command line takes it from the data.

    Raises:
        ValueError: when the head cannot be the token embedding's table.
    """

    network: Decoder
    default_objective: ClassVar[type[Objective]] = CausalLanguageModelling

    def __init__(
        self,
        network: Decoder,
        objective: Objective | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        tie_head: bool = True,
        seed: int = 0,
        projection: Projection | None = None,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        self.objective = objective if objective is not None else self.default_objective()
        self.projection = projection if projection is not None else Softmax()
        self.automatic_optimization = not isinstance(network, Counted)
        if isinstance(network, Counted):
            self.head = network.head()
        else:
            table = network.token_embedding.weight if tie_head else None
            self.head = self.projection(network.output_dim, network.vocab_size, table)
        self.text_form = TextForm()
        self._byte_lengths: Tensor | None = None
        self._has_state = all(is_state(name) for name in network.cache_names())
        self._carried = Carried()

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **past_key_values: Tensor
    ) -> dict[str, Tensor]:
        """Scores the token after each position.

        Args:
            input_ids: [B, T].
            attention_mask: [B, P+T], 0 is padding; None where nothing is.
            past_key_values: ``past_key_values.0.key`` and so on, as the exported graph names them; none for no cache.

        Returns:
            ``logits`` [B, T, V], and with a past ``present.0.key`` and so on.

        Raises:
            ValueError: for a past that is not the network's.
        """
        names = self.network.cache_names()
        hidden, present = self.network(input_ids, attention_mask, cache_of(past_key_values, names))
        outputs = {"logits": self.head(hidden)}
        if present is not None:
            outputs |= {present_name(name): tensor for name, tensor in zip(names, present, strict=True)}
        return outputs

    def setup(self, stage: str) -> None:
        """Looks whether all is there, before anything is done.

        Raises:
            ValueError: for a run that is to go on, or on several processes, where the network is counted in one pass.
        """
        super().setup(stage)
        if not isinstance(self.network, Counted) or stage != "fit":
            return
        name = type(self.network).__name__
        if self.trainer.ckpt_path is not None:
            raise ValueError(cannot_go_on(self.network, self.trainer.ckpt_path))
        if self.trainer.world_size > 1:
            raise ValueError(
                f"{name} is counted by one process, not by {self.trainer.world_size}: set trainer.devices 1"
            )

    def configure_optimizers(self) -> Any:
        """The optimiser and the schedule; for a network that is counted one that has nothing to do."""
        if isinstance(self.network, Counted):
            return torch.optim.SGD([{"params": []}], lr=0.0)
        return super().configure_optimizers()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:  # type: ignore[override]
        """The loss to differentiate; a network that is counted takes note of the batch, and estimates at the end."""
        if not isinstance(self.network, Counted):
            return super().training_step(batch, batch_idx)
        self.network.count(batch)
        if self.trainer.is_last_batch:
            special = {} if self.tokenizer is None else special_token_ids(self.tokenizer)
            separator = None if self.tokenizer is None else document_separator(self.tokenizer)
            self.network.estimate([id_ for id_ in (special.get("bos"), separator) if id_ is not None])
            self.trainer.should_stop = True
            cast(LightningOptimizer, self.optimizers()).step()  # what counts as the run's one step
        return None

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Scales the gradients and logs the loss, where there are any."""
        if not isinstance(self.network, Counted):
            super().on_before_optimizer_step(optimizer)

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets the objective make inputs and labels."""
        return self.objective.corrupt(batch, rng)

    def parts(self, batch: Batch) -> Parts:
        """The objective's loss; the vocabulary is projected to only where there are labels."""
        hidden = self._read(batch)
        return self.objective.loss(Outputs(hidden, self.head), batch)

    def _read(self, batch: Batch) -> Tensor:
        """The hidden states [B, T, D]; a network with a state goes on with it where the rows do."""
        ids, mask, continues = batch["input_ids"], batch.get("attention_mask"), batch.get("continues")
        if continues is None or not self._has_state:
            hidden: Tensor = self.network(ids, mask)[0]
            return hidden
        empty = self.network.empty_cache(len(ids), self.head.weight.dtype, ids.device)
        cache = self._carried.take(self.training, continues, empty, self.data_parallel_group)
        hidden, after = self.network(ids, mask, cache)
        assert after is not None
        self._carried.keep(self.training, after)
        return hidden

    def measure(self, batch: Batch, parts: Parts) -> dict[str, Tensor]:
        """Adds the bytes of text that the labels stand for, outside training."""
        measured = super().measure(batch, parts)
        if self.tokenizer is not None and not self.training:
            labels = batch["labels"]
            if self._byte_lengths is None:
                self._byte_lengths = torch.from_numpy(token_byte_lengths(self.tokenizer)).to(torch.float64)
            lengths = self._byte_lengths = self._byte_lengths.to(labels.device)
            measured["bytes"] = (lengths[labels.clamp_min(0)] * (labels >= 0)).sum()
        return measured

    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Mean ``loss`` in nats a token, ``perplexity``, and ``bits_per_byte`` where there is a tokenizer."""
        loss, count = sums["loss"], sums["loss_count"]
        metrics = {"loss": loss / max(count, 1.0), "perplexity": perplexity(loss, count)}
        if "bytes" in sums:
            metrics["bits_per_byte"] = bits_per_byte(loss, sums["bytes"])
        return metrics

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        """Scores texts, each value [B]: ``sample_ids``, the summed ``loss`` in nats, and the number of ``tokens``."""
        hidden = self._read(batch)
        rows = [self.head.loss(row, labels) for row, labels in zip(hidden, batch["labels"], strict=True)]
        return {
            "sample_ids": batch["sample_ids"],
            "loss": torch.stack([total for total, _ in rows]),
            "tokens": torch.stack([count for _, count in rows]).long(),
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what the rows of a stream carry on."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["carried"] = self._carried.save(self.data_parallel_group)
        checkpoint[TEXT_FORM] = self.text_form.as_json()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes it back."""
        super().on_load_checkpoint(checkpoint)
        self._carried.load(checkpoint.get("carried", {}))

    def restore_text(self, checkpoint: dict[str, Any]) -> None:
        """Takes from a checkpoint the tokenizer and what stands around an instruction, where none is given."""
        super().restore_text(checkpoint)
        if self.text_form == TextForm() and checkpoint.get(TEXT_FORM):
            self.text_form = TextForm.from_json(checkpoint[TEXT_FORM])

    def use_token_counts(self, counts: Tensor) -> None:
        """Learns from the data which tokens are frequent, where the head asks for it and does not know yet.

        Args:
            counts: [V], how often each token stands in the text to train on.
        """
        if isinstance(self.head, AdaptiveHead):
            self.head.use_counts(counts)

    def save_pretrained(self, folder: str) -> None:
        """Writes network, head and tokenizer, as ``transformers.AutoModelForCausalLM`` and ``AutoTokenizer`` open them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the network, or the folder holds other files.
        """
        publish(self, folder)
