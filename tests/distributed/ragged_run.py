"""A run over ragged rows, whose loss and gradients the tests compare between ways of spreading it.

Started by torchrun for several ranks, imported for one.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.strategies import ModelParallelStrategy
from tokenizers import Tokenizer, models, processors
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.data import DataLoader

from plmlight.networks import GPT, GloVe, Transformer
from plmlight.objectives import SequenceToSequence
from plmlight.optim import Constant, Muon, OptimizerFactory
from plmlight.tasks import CausalLM, Seq2Seq, Task, WordVectorModel

STEPS, ROWS = 3, 8
END = 2


class SGD(OptimizerFactory):
    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=0.5)


class Gradients(pl.Callback):
    """Keeps what the optimiser saw."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > len(self.seen):
            self.seen.append({name: full(p.grad) for name, p in pl_module.named_parameters() if p.grad is not None})


def full(tensor: Tensor) -> Tensor:
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().clone()


def rows(rank: int, ranks: int) -> list[dict[str, Tensor]]:
    """Rows of very different lengths; each rank has its part of every step's rows."""
    generator = torch.Generator().manual_seed(7)
    made = []
    for index in range(STEPS * ROWS):
        length = 2 + (index * 5) % 11
        ids = torch.randint(1, 19, (13,), generator=generator)
        mask = (torch.arange(13) < length).long()
        made.append({"input_ids": ids * mask, "attention_mask": mask, "sample_ids": torch.tensor(index)})
    share = ROWS // ranks
    return [row for index, row in enumerate(made) if (index % ROWS) // share == rank]


def pairs(rank: int, ranks: int, *, validation: bool = False) -> list[dict[str, Tensor]]:
    """The rows, each with a target of another length; to validate, the last half of the last step's are padding."""
    made = []
    for row in rows(rank, ranks):
        number = int(row["sample_ids"])
        length = 1 + number * 7 % 9
        ids, mask = row["input_ids"], row["attention_mask"]
        labels = ids.flip(0).masked_fill(torch.arange(13) >= length, -100).clamp_max(18)
        labels = torch.where((torch.arange(13) < length) & (labels == 0), 5, labels)
        labels[length] = END
        if validation and number >= STEPS * ROWS - ROWS // 2:
            ids, mask, labels, number = ids * 0, mask * 0, labels * 0 - 100, -1
        made.append({"input_ids": ids, "attention_mask": mask, "labels": labels, "sample_ids": torch.tensor(number)})
    return made


def causal() -> Task:
    network = GPT(vocab_size=19, d_model=16, num_layers=2, num_heads=2, max_length=12, dropout=0.0)
    return CausalLM(network, optimizer=SGD(), schedule=Constant())


def sequence() -> Task:
    """A task that writes in validation, and is scored on it."""
    network = Transformer(vocab_size=19, d_model=16, num_layers=2, num_heads=2, max_length=14, dropout=0.0)
    task = Seq2Seq(
        network,
        SequenceToSequence(label_smoothing=0.1),
        optimizer=SGD(),
        schedule=Constant(),
        metrics=["bleu", "chrf", "distinct"],
        decoding={"num_beams": 2, "min_new_tokens": 3, "max_new_tokens": 6},
    )
    vocabulary = {"<pad>": 0, **{f"w{i}": i for i in range(1, 19) if i != END}, "</s>": END}
    task.tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="w1"))
    task.tokenizer.add_special_tokens(["<pad>", "</s>"])
    task.tokenizer.post_processor = processors.TemplateProcessing("$A </s>", None, [("</s>", END)])
    return task


def run(
    batch_size: int,
    accumulate: int,
    strategy: str = "auto",
    clip: float | None = None,
    muon: bool = False,
    save: Path | None = None,
    seq2seq: bool = False,
) -> Any:
    """Trains for three steps of eight rows, and saves a checkpoint where asked to, in shards under FSDP2.

    Returns:
        The gradients that the optimiser saw in each step, the weights at the end, and what was logged.
    """
    torch.manual_seed(3)
    task = sequence() if seq2seq else causal()
    if muon:
        task.optimizer = Muon(0.01)
    gradients = Gradients()
    distributed = strategy != "auto"
    chosen: Any = strategy
    if strategy == "fsdp2":
        chosen = ModelParallelStrategy(
            data_parallel_size=2,
            tensor_parallel_size=1,
            save_distributed_checkpoint=save is not None,
            process_group_backend="gloo",
        )
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2 if distributed else 1,
        strategy=chosen,
        max_epochs=1,
        accumulate_grad_batches=accumulate,
        gradient_clip_val=clip,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=[gradients],
    )
    rank, ranks = trainer.global_rank, trainer.world_size
    data: Any = pairs(rank, ranks) if seq2seq else rows(rank, ranks)
    held_out: Any = pairs(rank, ranks, validation=True) if seq2seq else data
    trainer.fit(task, DataLoader(data, batch_size=batch_size), DataLoader(held_out, batch_size=batch_size))
    if save is not None:
        trainer.save_checkpoint(save)
    weights = {name: full(p) for name, p in task.named_parameters()}
    return {
        "gradients": gradients.seen,
        "weights": weights,
        **trainer.callback_metrics,
    }


def word_pairs(rank: int) -> list[dict[str, Tensor]]:
    """One batch of a rank's pairs of words and their counts."""
    generator = torch.Generator().manual_seed(11 + rank)
    ids = torch.randint(0, 19, (2, 40), generator=generator)
    counts = 1 + 30 * torch.rand(40, generator=generator)
    return [{"input_ids": ids[0], "context_ids": ids[1], "cooccurrences": counts, "sample_ids": torch.arange(40)}]


def run_words(rank: int | None = None) -> dict[str, Tensor]:
    """Takes one step with the pairs of one rank, or in each of two ranks with its own.

    Returns:
        The tables, and the sums of squares that the optimiser keeps for them.
    """
    torch.manual_seed(3)
    task = WordVectorModel(GloVe(vocab_size=19, d_model=4))
    task.use_token_counts(torch.ones(19, dtype=torch.int64))
    trainer = pl.Trainer(
        accelerator="cpu",
        devices=2 if rank is None else 1,
        strategy="ddp" if rank is None else "auto",
        max_steps=1,
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    mine: Any = word_pairs(trainer.global_rank if rank is None else rank)
    trainer.fit(task, DataLoader(mine, batch_size=None))
    optimizer = trainer.optimizers[0]
    weights = {name: full(p) for name, p in task.named_parameters()}
    kept = {f"{name}.{key}": full(v) for name, p in task.named_parameters() for key, v in optimizer.state[p].items()}
    return weights | kept


if __name__ == "__main__":
    # By its name, so that the classes above have one that a checkpoint can store.
    from tests.distributed.ragged_run import run, run_words

    results = {
        "plain": run(4, 1, sys.argv[1], save=Path(sys.argv[2]).with_name("saved.ckpt")),
        "accumulated": run(1, 4, sys.argv[1]),
        "clipped": run(4, 1, sys.argv[1], clip=0.05),
        "muon": run(4, 1, sys.argv[1], muon=True),
        "seq2seq": run(2, 2, sys.argv[1], seq2seq=True),
    }
    if sys.argv[1] == "ddp":
        results["words"] = run_words()
    if torch.distributed.get_rank() == 0:
        torch.save(results, Path(sys.argv[2]))
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()  # a rank that goes without may abort as its threads are torn down
