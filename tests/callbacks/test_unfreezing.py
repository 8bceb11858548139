from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from torch import Tensor

from plmlight import GPT, CausalLM
from plmlight.callbacks import Checkpoints, Unfreezing
from plmlight.nn.depth import distances_from_top
from plmlight.optim import AdamW, Constant, Muon, OptimizerFactory

from .test_callbacks import loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")


class Changes(pl.Callback):
    """Notes which parameters each step changes, as the distances of their layers."""

    def __init__(self) -> None:
        self.changed: list[set[int]] = []
        self._before: dict[str, Tensor] = {}

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        distances = distances_from_top(pl_module)
        now = {name: parameter.detach().clone() for name, parameter in pl_module.named_parameters()}
        self.changed.append({distances[name] for name, old in self._before.items() if not torch.equal(now[name], old)})
        self._before = now

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._before = {name: parameter.detach().clone() for name, parameter in pl_module.named_parameters()}


def run(
    folder: Path, steps: int, unfreezing: Unfreezing, optimizer: OptimizerFactory | None = None, **how: Any
) -> tuple[CausalLM, list[set[int]]]:
    torch.manual_seed(1)
    network = GPT(vocab_size=23, d_model=16, num_layers=2, num_heads=2, max_length=12)
    task = CausalLM(network, tie_head=False, optimizer=optimizer or AdamW(1e-2), schedule=Constant())
    changes, path = Changes(), how.pop("ckpt_path", None)
    fit = trainer(folder, steps, unfreezing, changes, Checkpoints(every_n_steps=2), **how)
    fit.fit(task, loader(), weights_only=True, ckpt_path=path)
    assert all(parameter.requires_grad for parameter in task.parameters())
    return task, changes.changed


def test_the_network_is_frozen_at_first(tmp_path: Path) -> None:
    _, changed = run(tmp_path, 4, Unfreezing(steps=3))
    assert changed == [{0}, {0}, {0}, {0, 1, 2, 3}]


def test_layers_follow_from_the_top(tmp_path: Path) -> None:
    _, changed = run(tmp_path, 8, Unfreezing(steps=2, gradually=True))
    assert changed[::2] == [{0}, {0, 1}, {0, 1, 2}, {0, 1, 2, 3}]
    assert changed[1::2] == changed[::2]


def test_epochs(tmp_path: Path) -> None:
    _, changed = run(tmp_path, 6, Unfreezing(epochs=1), limit_train_batches=3)
    assert changed == [{0}] * 3 + [{0, 1, 2, 3}] * 3


@pytest.mark.parametrize("optimizer", [AdamW(1e-2, layer_decay=0.8), Muon(1e-2)], ids=["adamw", "muon"])
@pytest.mark.parametrize("at", [2, 4])
def test_it_resumes_bit_for_bit_on_either_side(at: int, optimizer: OptimizerFactory, tmp_path: Path) -> None:
    how: dict[str, Any] = {"optimizer": optimizer, "limit_train_batches": 2}  # a plain loader goes on between epochs
    straight, _ = run(tmp_path / "a", 6, Unfreezing(steps=3), **how)
    run(tmp_path / "b", at, Unfreezing(steps=3), **how)
    resumed, _ = run(tmp_path / "b", 6, Unfreezing(steps=3), **how, ckpt_path=tmp_path / "b" / "last.ckpt")
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="steps None and epochs None: expected one of both"):
        Unfreezing()
    with pytest.raises(ValueError, match="epochs 0: at least 1"):
        Unfreezing(epochs=0)
    task = CausalLM(GPT(vocab_size=23, d_model=16, num_layers=2, num_heads=2, max_length=12))
    with pytest.raises(ValueError, match="CausalLM trains nothing but its network"):
        trainer(tmp_path, 1, Unfreezing(steps=1)).fit(task, loader())
