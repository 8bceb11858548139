"""Tokens/s of `fit` against a bare PyTorch loop over the same network, and against `transformers` with its Trainer.

    python benchmarks/training_step.py [--size small|large] [--threads 1] [--rounds 5]

small: 4 layers x 128, block 64, batch 12. large: 6 layers x 384, block 256, batch 8. Vocabulary 65, no dropout, fused
AdamW and clipping on all sides, in fp32, on random tokens. `fit` is the command itself, with the callbacks, the
progress bar and the logger that a user gets. The sides take turns, each turn in a process of its own; a turn's first
steps are left out. A ratio is the median over the rounds of the ratio within a round, with its range.
"""

import argparse
import string
import tempfile
import time
from pathlib import Path

import torch
from sides import TheirClock, fit, rate, take_turns, trainer_settings
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer

import plmlight

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=list(SIZES), default="small")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--side", choices=list(SIDES), help="one turn of this side alone (what the rounds run)")
    arguments = parser.parse_args()
    if arguments.side:
        turn(arguments.side, arguments.size, arguments.threads)
        return
    take_turns(__file__, list(SIDES), ["--size", arguments.size], arguments.threads, arguments.rounds)


def turn(side: str, size: str, threads: int) -> None:
    """Runs a side and prints its tokens/s as the last word."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    layers, width, heads, block, batch, steps, skipped = SIZES[size]
    with tempfile.TemporaryDirectory() as folder:
        ends = SIDES[side](layers, width, heads, block, batch, steps, Path(folder))
    print(rate([(end, batch * block) for end in ends], skipped))


def bare(layers: int, width: int, heads: int, block: int, batch: int, steps: int, folder: Path) -> list[float]:
    network = plmlight.GPT(VOCABULARY, width, layers, heads, dropout=0.0, max_length=block)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    ends = []
    for ids in Blocks(batch * steps, block + 1, ("input_ids",)).ids.split(batch):
        hidden, _ = network(ids[:, :-1])
        logits = torch.nn.functional.linear(hidden, network.token_embedding.weight)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return ends


def ours(layers: int, width: int, heads: int, block: int, batch: int, steps: int, folder: Path) -> list[float]:
    letters = (string.ascii_letters + string.digits + "., ")[:VOCABULARY]
    picks = torch.randint(0, len(letters), (batch * (steps + 2) * block,), generator=torch.Generator().manual_seed(0))
    text = folder / "text.txt"
    text.write_text("".join(letters[pick] for pick in picks.tolist()))
    network = {"d_model": width, "num_layers": layers, "num_heads": heads, "max_length": block, "dropout": 0.0}
    config = {
        "model": {
            "class_path": "CausalLM",
            "init_args": {
                "network": {"class_path": "GPT", "init_args": network},
                "optimizer": {"class_path": "AdamW", "init_args": {"lr": 1e-3}},
                "schedule": {"class_path": "Constant"},
            },
        },
        "data": {
            "class_path": "TextCorpus",
            "init_args": {
                "files": [str(text)],
                "tokenizer_kind": "character",
                "end_of_document": False,
                "block_length": block,
                "batch_size": batch,
                "validation_fraction": 0.0,
                "cache_folder": str(folder / "cache"),
            },
        },
        "trainer": {"max_steps": steps},
    }
    return [end for end, _ in fit(config, folder)]


def their_model(layers: int, width: int, heads: int, block: int) -> GPT2LMHeadModel:
    config = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": block, "vocab_size": VOCABULARY}
    off = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    return GPT2LMHeadModel(GPT2Config(**config, **off, bos_token_id=0, eos_token_id=0))


def their_loop(layers: int, width: int, heads: int, block: int, batch: int, steps: int, folder: Path) -> list[float]:
    model = their_model(layers, width, heads, block)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    ends = []
    for ids in Blocks(batch * steps, block, ("input_ids",)).ids.split(batch):
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends.append(time.perf_counter())
    return ends


def their_trainer(layers: int, width: int, heads: int, block: int, batch: int, steps: int, folder: Path) -> list[float]:
    model = their_model(layers, width, heads, block)
    clock = TheirClock()
    settings = trainer_settings(folder, max_steps=steps, per_device_train_batch_size=batch, learning_rate=1e-3)
    data = Blocks(batch * steps, block, ("input_ids", "labels"))
    Trainer(model=model, args=settings, train_dataset=data, callbacks=[clock]).train()
    return clock.ends


SIDES = {
    "bare loop": bare,
    "plmlight": ours,
    "transformers bare": their_loop,
    "transformers Trainer": their_trainer,
}


if __name__ == "__main__":
    main()
