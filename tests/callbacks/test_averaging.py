"""Averaging that begins when validation does not get better."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch

from plmlight.callbacks import Checkpoints, NonMonotonicAveraging
from plmlight.optim import SGD, Constant
from plmlight.tasks import task_from_checkpoint

from .test_callbacks import Weights, loader, small, trainer

pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")


class Losses(pl.Callback):
    """Says what validation gave, whatever it gave."""

    def __init__(self, *losses: float) -> None:
        self.losses = list(losses)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("said", self.losses.pop(0))


def run(
    folder: Path, losses: list[float], *callbacks: pl.Callback, n: int = 2, every: int = 2, steps: int = 0, **how: Any
) -> Any:
    task, averaging = small(), NonMonotonicAveraging(n, "said")
    task.optimizer, task.schedule = SGD(0.5), Constant()
    settings: dict[str, Any] = {"num_sanity_val_steps": 0, "val_check_interval": every, "check_val_every_n_epoch": None}
    fit = trainer(folder, steps or every * len(losses), Losses(*losses), averaging, *callbacks, **settings)
    fit.fit(task, loader(), loader(), weights_only=True, **how)
    return task, averaging


@pytest.mark.parametrize(
    ("losses", "triggered"),
    [
        ([5.0, 4.0, 3.0, 2.0, 1.0], False),
        ([5.0, 3.0, 4.0, 4.5, 2.5], False),  # worse than one of the last two, but not than all before them
        ([5.0, 3.0, 4.0, 4.5, 3.5], True),
    ],
)
def test_the_trigger_is_the_papers(tmp_path: Path, losses: list[float], triggered: bool) -> None:
    _, averaging = run(tmp_path, losses, n=2)
    assert averaging.losses == losses
    assert averaging.triggered is triggered


def test_from_then_on_the_mean_is_what_is_validated_and_kept(tmp_path: Path) -> None:
    weights = Weights()
    task, averaging = run(tmp_path, [3.0, 4.0, 1.0, 2.0], weights, Checkpoints(), n=0)
    assert averaging.triggered
    after = [torch.stack(steps).mean(0) for steps in zip(*weights.after[4:], strict=True)]  # the second one was worse
    kept = list(task_from_checkpoint(tmp_path / "last.ckpt").parameters())
    for expected, in_model, validated, stored in zip(after, task.parameters(), weights.validated, kept, strict=True):
        torch.testing.assert_close(in_model, expected)
        torch.testing.assert_close(validated, expected)
        torch.testing.assert_close(stored, expected)


def test_it_resumes_bit_for_bit(tmp_path: Path) -> None:
    losses = [3.0, 4.0, 1.0, 2.0, 1.0]
    straight, _ = run(tmp_path / "a", losses, n=0, every=3, steps=16)
    run(tmp_path / "b", losses[:2], Checkpoints(every_n_steps=8), n=0, every=3, steps=8)
    path = tmp_path / "b" / "last.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == 8
    task, averaging = run(
        tmp_path / "b", losses[2:], Checkpoints(every_n_steps=8), n=0, every=3, steps=16, ckpt_path=path
    )
    assert averaging.losses == losses
    for one, other in zip(straight.parameters(), task.parameters(), strict=True):
        assert torch.equal(one, other)


def test_what_is_not_logged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"monitor 'lost' was not logged; there is .*val_loss"):
        trainer(tmp_path, 1, NonMonotonicAveraging(monitor="lost"), num_sanity_val_steps=0, val_check_interval=1).fit(
            small(), loader(), loader()
        )
    with pytest.raises(ValueError, match="n -1"):
        NonMonotonicAveraging(-1)
