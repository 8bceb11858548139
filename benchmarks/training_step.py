"""Tokens/s of `fit` against a bare PyTorch loop over the same network, and against `transformers` with its Trainer.

    python benchmarks/training_step.py [--size small|large] [--threads 1] [--rounds 5]

small: 4 layers x 128, block 64, batch 12. large: 6 layers x 384, block 256, batch 8. Vocabulary 65, no dropout, fused
AdamW and clipping on all sides, the same batches, in fp32. `fit` runs with the callbacks, the progress bar and the
logger that the command line gives it. The sides take turns in one process; each turn's first steps are left out, and
the ratios are of the medians.
"""

import argparse
import contextlib
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import lightning.pytorch as pl
import torch
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainerCallback, TrainingArguments

import plmlight
from plmlight.callbacks import Checkpoints, ProgressBar, StopsCleanly, Throughput
from plmlight.optim import AdamW, Constant

SIZES = {"small": (4, 128, 4, 64, 12, 150, 20), "large": (6, 384, 6, 256, 8, 12, 2)}
"""Layers, width, heads, block, batch, steps a turn, steps left out of each turn."""

VOCABULARY = 65


class Blocks(Dataset[dict[str, torch.Tensor]]):
    """Random blocks, with the keys that a side wants."""

    def __init__(self, count: int, length: int, keys: tuple[str, ...]) -> None:
        self.ids = torch.randint(0, VOCABULARY, (count, length), generator=torch.Generator().manual_seed(0))
        self.keys = keys

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return dict.fromkeys(self.keys, self.ids[index])


class Clock(pl.Callback):
    """Notes when each step ends; it stands in for nothing and costs two attribute look-ups."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.ends.append(time.perf_counter())


class TheirClock(TrainerCallback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: object, **__: object) -> None:
        self.ends.append(time.perf_counter())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    layers, width, heads, block, batch, steps, skipped = SIZES[arguments.size]
    torch.manual_seed(0)
    network = plmlight.GPT(VOCABULARY, width, layers, heads, dropout=0.0, max_length=block)
    config = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": block, "vocab_size": VOCABULARY}
    off = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    theirs = GPT2LMHeadModel(GPT2Config(**config, **off, bos_token_id=0, eos_token_id=0))
    with tempfile.TemporaryDirectory() as folder:
        sides: dict[str, Callable[[], list[float]]] = {
            "bare loop": lambda: bare(network, block, batch, steps),
            "plmlight": lambda: ours(network, block, batch, steps, Path(folder)),
            "transformers bare": lambda: their_loop(theirs, block, batch, steps),
            "transformers Trainer": lambda: their_trainer(theirs, block, batch, steps, Path(folder)),
        }
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(arguments.rounds):
            for name, side in sides.items():
                with contextlib.redirect_stdout(io.StringIO()):
                    ends = side()[skipped:]
                rates[name].append(batch * block * (len(ends) - 1) / (ends[-1] - ends[0]))
    medians = {name: statistics.median(rate) for name, rate in rates.items()}
    for name, rate in medians.items():
        print(f"{name}: {rate:.0f} tokens/s, plmlight is {medians['plmlight'] / rate:.3f} of it")


def bare(network: plmlight.GPT, block: int, batch: int, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    data = Blocks(batch * steps, block + 1, ("input_ids",)).ids.split(batch)
    ends = []
    for ids in data:
        hidden, _ = network(ids[:, :-1])
        logits = torch.nn.functional.linear(hidden, network.token_embedding.weight)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return ends


def ours(network: plmlight.GPT, block: int, batch: int, steps: int, folder: Path) -> list[float]:
    task = plmlight.CausalLM(network=network, optimizer=AdamW(lr=1e-3), schedule=Constant())
    clock = Clock()
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator="cpu",
        gradient_clip_val=1.0,
        default_root_dir=folder,
        callbacks=[clock, Throughput(), StopsCleanly(), Checkpoints(), ProgressBar()],
        logger=CSVLogger(folder),
        enable_model_summary=False,
    )
    trainer.fit(task, DataLoader(Blocks(batch * steps, block + 1, ("input_ids",)), batch_size=batch))
    return clock.ends


def their_loop(model: GPT2LMHeadModel, block: int, batch: int, steps: int) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ends = []
    for ids in Blocks(batch * steps, block, ("input_ids",)).ids.split(batch):
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return ends


def their_trainer(model: GPT2LMHeadModel, block: int, batch: int, steps: int, folder: Path) -> list[float]:
    clock = TheirClock()
    settings = TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch,
        learning_rate=1e-3,
        optim="adamw_torch_fused",
        max_grad_norm=1.0,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_steps=50,
    )
    data = Blocks(batch * steps, block, ("input_ids", "labels"))
    Trainer(model=model, args=settings, train_dataset=data, callbacks=[clock]).train()
    return clock.ends


if __name__ == "__main__":
    main()
