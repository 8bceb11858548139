from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import lightning.pytorch as pl
import torch
from lightning.pytorch.utilities import rank_zero_info
from tokenizers import Tokenizer
from torch import Tensor
from torch.distributed import ProcessGroup
from torch.optim.lr_scheduler import LambdaLR

from plmlight.adapters import Adapter
from plmlight.interop import merged_weights
from plmlight.metrics import Sums
from plmlight.nn import Configured, Network, build, config_of
from plmlight.objectives import Batch, KeyedRandom, Objective
from plmlight.objectives.base import Parts
from plmlight.optim import AdamW, OptimizerFactory, Schedule, WarmupCosine
from plmlight.tasks.checkpoint import ARGUMENTS, ORIGIN, TASK, TOKENIZER, task_from_checkpoint
from plmlight.tasks.sharding import shard
from plmlight.tasks.step_seed import seed_step
from plmlight.tasks.weighting import TokenWeighting, divisor


class Task(Configured, pl.LightningModule):
    """What training, checkpoints and the command line ask of every task.

    A subclass says what its loss is (`parts`), how ids become inputs and labels (`prepare`), what it reports
    (`summarise`), and what it answers (``forward``, by the exported graph's names). It is built from its constructor's
    arguments alone: networks, objectives, optimisers and schedules, each a `plmlight.nn.Configured`.

    Args:
        network: the backbone.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of the objective's random choices.
        adapter: what is trained in the place of the network's weights, beside the heads; nothing by default.
    """

    default_objective: ClassVar[type[Objective] | None] = None
    """What the task learns where nothing else is named."""

    def __init__(
        self,
        network: Network,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__()
        self.network, self.adapter = network, adapter
        if adapter is not None:
            adapter.apply(network)
        # None in the signature, as an object there would lend its arguments to another class named on the command line
        self.optimizer = optimizer if optimizer is not None else AdamW()
        self.schedule = schedule if schedule is not None else WarmupCosine()
        self.seed = seed
        self._tokenizer: Tokenizer | None = None
        config = config_of(self)
        self.class_path: str = config["class_path"]  # now, as sharding changes the class
        self.save_hyperparameters(config["init_args"])
        self.train_sums, self.evaluation_sums = Sums(), Sums()
        self._weighting = TokenWeighting()
        self._run_seed: int | None = None

    @abstractmethod
    def parts(self, batch: Batch) -> Parts:
        """The loss of a prepared batch by parts: name to (sum, count)."""

    @abstractmethod
    def summarise(self, sums: dict[str, float]) -> dict[str, float]:
        """Turns sums over a data set, of what `measure` gave, into the metrics to report."""

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Makes inputs and labels from what the data yields; nothing by default."""
        return batch

    def measure(self, batch: Batch, parts: Parts) -> dict[str, Tensor]:
        """What is summed over a data set: ``<name>`` and ``<name>_count`` of each part of the loss."""
        sums = {name: total for name, (total, _) in parts.items()}
        return sums | {f"{name}_count": count for name, (_, count) in parts.items()}

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What turned text into ids; the command line takes it from the data, and checkpoints keep it."""
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer | None) -> None:
        self._tokenizer = tokenizer
        objective = getattr(self, "objective", None)
        if tokenizer is not None and isinstance(objective, Objective):
            objective.use_tokenizer(tokenizer)

    def check_ready(self) -> None:
        """Refuses to begin where the objective lacks something, a tokenizer with a mask for example.

        Raises:
            ValueError: naming what is missing.
        """
        objective = getattr(self, "objective", None)
        if isinstance(objective, Objective):
            objective.check_ready()

    def __setattr__(self, name: str, value: Any) -> None:
        """Sets an attribute; the name of the running hook, 30 times a step, without a search for modules in it."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)

    # What Lightning calls, in the order of a step.

    def setup(self, stage: str) -> None:
        """Looks whether all is there, before anything is done, and lets an adapter begin."""
        self.check_ready()
        if stage == "fit" and self.adapter is not None:
            self.adapter.begin(self.network, self.tokenizer)

    def configure_model(self) -> None:
        """Shards the parameters where the strategy is FSDP2 (`ModelParallelStrategy`)."""
        if self.device_mesh is not None:
            shard(self, self.device_mesh["data_parallel"])

    def configure_optimizers(self) -> Any:
        """The optimiser, and the schedule per optimiser step."""
        optimizer = self.optimizer(self)
        total = self.trainer.estimated_stepping_batches
        if total == float("inf") and self.schedule.needs_total:
            raise ValueError(
                f"{type(self.schedule).__name__} needs to know where the run ends: set trainer.max_steps or max_epochs"
            )
        steps = int(total) if total != float("inf") else 0
        scheduler = LambdaLR(optimizer, lambda step: self.schedule.factor(step, steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_fit_start(self) -> None:
        """Notes the run's seed, unless a checkpoint has given it; says how much an adapter leaves to be trained."""
        if self._run_seed is None:
            self._run_seed = torch.initial_seed()
        if self.adapter is not None:
            trained, total = self.trained_parameters()
            name = type(self.adapter).__name__
            rank_zero_info(f"{name}: {trained:,} of {total:,} parameters are trained ({trained / total:.2%})")

    def trained_parameters(self) -> tuple[int, int]:
        """How many parameters are trained, and how many there are."""
        sizes = [(parameter.numel(), parameter.requires_grad) for parameter in self.parameters()]
        return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)

    def on_before_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Leaves an attention mask out that masks nothing, so that attention takes its fastest kernel."""
        mask = batch.get("attention_mask")
        if mask is not None and bool(((mask == mask[:, :1]) & (mask != 0)).all()):
            return {name: value for name, value in batch.items() if name != "attention_mask"}
        return batch

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """Moves the tensors: a flat dictionary needs none of Lightning's search for them."""
        return {
            name: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value
            for name, value in batch.items()
        }

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Makes inputs and labels, on the device."""
        rng = KeyedRandom(self.seed, batch.get("sample_ids"), batch.get("epoch"), self._progress())
        return self.prepare(batch, rng)

    def _progress(self) -> float:
        """How much of the run is over, 0 to 1; 0 for a run without an end, 1 outside training."""
        if not self.trainer.training:
            return 1.0
        total = self.trainer.estimated_stepping_batches
        return min(1.0, self.trainer.global_step / total) if total not in (0, float("inf")) else 0.0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seeds the step, so that dropout is the same when a run is resumed."""
        assert self._run_seed is not None
        step = self.trainer.fit_loop.epoch_loop.total_batch_idx
        seed_step(self._run_seed, step, self.global_rank, self.device)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss to differentiate: a single part's sum, or the sum of several parts' means; both are scaled later."""
        parts = self.parts(batch)
        self.train_sums.add(self.measure(batch, parts))
        if len(parts) == 1:
            ((total, count),) = parts.values()
            self._weighting.add(count)
            return total
        self._weighting.add(torch.ones((), device=self.device))  # an epoch's last step may have fewer micro-batches
        return cast(Tensor, sum(total / divisor(count) for total, count in parts.values()))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Makes the gradients those of the mean over the step's tokens, or micro-batches, and logs the loss at times.

        What is logged every ``log_every_n_steps`` optimiser steps is the mean since the last time. It is done here, so
        that a checkpoint written after the step holds what is not logged yet, and no more.
        """
        group = self.data_parallel_group
        ranks = 1 if group is None else group.size()
        parameters = [parameter for part in optimizer.param_groups for parameter in part["params"]]
        self._weighting.rescale(parameters, self.trainer.accumulate_grad_batches * ranks, group)
        every = max(1, self.trainer.log_every_n_steps)  # type: ignore[attr-defined]
        if (self.trainer.global_step + 1) % every == 0:
            metrics = self.summarise(self.train_sums.take(group))
            self.log("train_loss", metrics["loss"], prog_bar=True)
            for name in (name for name in metrics if name.endswith("_loss")):
                self.log(f"train_{name}", metrics[name])
            self.log("lr", optimizer.param_groups[0]["lr"])

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to the sums of the data set."""
        self.evaluation_sums.add(self.measure(batch, self.parts(batch)))

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Adds to the sums of the data set."""
        self.evaluation_sums.add(self.measure(batch, self.parts(batch)))

    def on_validation_epoch_end(self) -> None:
        """Logs the metrics of the whole set, over all ranks."""
        self._report("val")

    def on_test_epoch_end(self) -> None:
        """Logs the metrics of the whole set, over all ranks."""
        self._report("test")

    def _report(self, prefix: str) -> None:
        metrics = self.summarise(self.evaluation_sums.take(self.data_parallel_group))
        for name, value in metrics.items():
            self.log(f"{prefix}_{name}", value, prog_bar=name == "loss", sync_dist=True)

    @property
    def data_parallel_group(self) -> ProcessGroup | None:
        """The ranks that share a step; None for a single process."""
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return None
        if self.device_mesh is not None:
            return self.device_mesh["data_parallel"].get_group()
        return torch.distributed.group.WORLD

    # Checkpoints.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Adds what builds the task again, and what the run needs to go on: its seed, and the loss not yet logged."""
        checkpoint[TASK] = self.class_path
        chosen = {name: getattr(self, name, None) for name, value in self.hparams.items() if value is None}
        checkpoint[ARGUMENTS] = {**self.hparams, **{name: config_of(value) for name, value in chosen.items()}}
        checkpoint[TOKENIZER] = None if self.tokenizer is None else self.tokenizer.to_str()
        checkpoint[ORIGIN] = self.network.origin
        checkpoint["run_seed"] = self._run_seed
        checkpoint["train_sums"] = self.train_sums.save(self.data_parallel_group)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Takes back what `on_save_checkpoint` gave, the tokenizer only where there is none yet."""
        self._run_seed = checkpoint.get("run_seed")
        self.train_sums.load(checkpoint.get("train_sums", {}))
        self.restore_text(checkpoint)

    def restore_text(self, checkpoint: dict[str, Any]) -> None:
        """Takes from a checkpoint how text becomes ids, where there is nothing yet that says it.

        Args:
            checkpoint: what `on_save_checkpoint` wrote into.
        """
        if self.tokenizer is None and checkpoint.get(TOKENIZER):
            self.tokenizer = Tokenizer.from_str(checkpoint[TOKENIZER])

    def merged(self) -> Task:
        """The same task without an adapter: what it learned is in the network's weights.

        Returns:
            A new task with weights of its own, in the same mode; this one where there is no adapter.

        Raises:
            ValueError: for an adapter that cannot be merged.
        """
        if self.adapter is None:
            return self
        checkpoint: dict[str, Any] = {}
        self.on_save_checkpoint(checkpoint)
        arguments = checkpoint[ARGUMENTS]
        own = {name: tensor for name, tensor in self.state_dict().items() if not name.startswith("network.")}
        network = merged_weights(
            arguments["network"], arguments["adapter"], self.network.state_dict(), type(self).__name__
        )
        made: Task = build({"class_path": self.class_path, "init_args": {**arguments, "adapter": None}})
        made.load_state_dict({**own, **{f"network.{name}": tensor for name, tensor in network.items()}})
        made.restore_text(checkpoint)
        return made.train(self.training)

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: str | Path, map_location: Any = None, **_: Any) -> Self:  # type: ignore[override]
        """Builds the task of a checkpoint again; see `task_from_checkpoint`.

        Raises:
            ValueError: when the checkpoint's task is of another class.
        """
        task = task_from_checkpoint(checkpoint_path)
        if not isinstance(task, cls):
            raise ValueError(f"{checkpoint_path}: holds a {task.class_path}, expected {cls.__name__}")
        return task if map_location is None else task.to(map_location)
