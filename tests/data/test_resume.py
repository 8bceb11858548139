"""What Lightning does with the loaders: saving, restoring, epochs, ranks."""

import tempfile
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from plmlight.data import TextCorpus
from plmlight.text import save_tokenizer, train_tokenizer

TEXT = "".join(f"line {i}: the quick brown fox, number {i * 37 % 101}\n" for i in range(100))

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed", "ignore:The number of training batches")


class Recorder(lightning.LightningModule):
    """Trains one number and writes down which samples it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, list[int]]] = []
        self.validated: list[int] = []

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        self.seen.append((int(batch["epoch"]), batch["input_ids"][:, 0].tolist() + batch["sample_ids"].tolist()))
        return self.weight * batch["input_ids"].float().mean()

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        self.validated += batch["sample_ids"].tolist()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


def corpus(root: Path, num_workers: int) -> TextCorpus:
    if not (root / "text.txt").exists():
        (root / "text.txt").write_text(TEXT)
        save_tokenizer(train_tokenizer([TEXT], "character", 100), root / "tokenizer")
    return TextCorpus(
        str(root / "text.txt"),
        tokenizer=str(root / "tokenizer"),
        block_length=33,
        batch_size=8,
        validation_fraction=0.1,
        num_workers=num_workers,
        cache_folder=str(root / "cache"),
    )


def run(root: Path, num_workers: int, resume: Path | None = None, **options: Any) -> Recorder:
    module = Recorder()
    folder = Path(tempfile.mkdtemp(dir=root)) if resume or (root / "saved").exists() else root / "saved"
    saving = ModelCheckpoint(folder, "{step}", every_n_train_steps=1, save_top_k=-1, save_on_train_epoch_end=False)
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        callbacks=[saving],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        **{"max_epochs": 3, **options},
    )
    trainer.fit(module, datamodule=corpus(root, num_workers), ckpt_path=resume)
    return module


@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_run_sees_the_batches_of_the_uninterrupted_one(tmp_path: Path, num_workers: int) -> None:
    whole = run(tmp_path, num_workers)
    per_epoch = len(corpus(tmp_path, 0).train_dataloader())
    assert [epoch for epoch, _ in whole.seen] == [0] * per_epoch + [1] * per_epoch + [2] * per_epoch
    # at the start, inside an epoch, one before its end, at its end, in the last one
    for step in (1, per_epoch // 2, per_epoch - 1, per_epoch, per_epoch + 1, 2 * per_epoch, 3 * per_epoch - 1):
        continued = run(tmp_path, num_workers, tmp_path / "saved" / f"step={step}.ckpt")
        assert continued.seen == whole.seen[step:]
        assert torch.equal(continued.weight, whole.weight)


def test_checkpoint_after_the_epochs_end_goes_on_with_the_next(tmp_path: Path) -> None:
    whole = run(tmp_path, 0)
    module = Recorder()
    trainer = lightning.Trainer(
        accelerator="cpu",
        logger=False,
        max_epochs=1,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=corpus(tmp_path, 0))
    trainer.save_checkpoint(tmp_path / "end.ckpt")
    assert module.seen + run(tmp_path, 0, tmp_path / "end.ckpt").seen == whole.seen


def test_shortened_epochs_go_on_in_the_corpus(tmp_path: Path) -> None:
    whole = run(tmp_path, 0)
    assert run(tmp_path, 0, max_epochs=4, limit_train_batches=3).seen == whole.seen[:12]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shortened_epochs_go_on_over_the_corpus_end(tmp_path: Path, num_workers: int) -> None:
    limit = 2 * len(corpus(tmp_path, 0).train_dataloader()) // 3
    made = run(tmp_path, num_workers, max_epochs=3, limit_train_batches=limit)
    whole = run(tmp_path, 0)
    assert made.seen == whole.seen[: 3 * limit]
    assert len(made.validated) == len(whole.validated)  # after each
    for step in (limit - 1, limit, 2 * limit - 1, 2 * limit):
        continued = run(
            tmp_path, num_workers, tmp_path / "saved" / f"step={step}.ckpt", max_epochs=3, limit_train_batches=limit
        )
        assert continued.seen == made.seen[step:]


def test_overfitting_sees_the_same_batches_in_each_epoch(tmp_path: Path) -> None:
    whole = run(tmp_path, 0)
    assert run(tmp_path, 0, overfit_batches=3).seen == whole.seen[:3] * 3


def test_reloaded_loaders_go_on(tmp_path: Path) -> None:
    whole = run(tmp_path, 0)
    assert run(tmp_path, 0, reload_dataloaders_every_n_epochs=1).seen == whole.seen


def test_gradient_accumulation_and_validation_between_do_not_disturb(tmp_path: Path) -> None:
    whole = run(tmp_path, 0)
    assert run(tmp_path, 0, accumulate_grad_batches=2, val_check_interval=2).seen == whole.seen


def test_each_validation_sees_the_same_samples(tmp_path: Path) -> None:
    module = run(tmp_path, 0, max_epochs=2)
    half = len(module.validated) // 2
    assert module.validated == list(range(half)) * 2


def test_lightning_wraps_no_sampler_around_the_shares_of_two_ranks(tmp_path: Path) -> None:
    made = corpus(tmp_path, 0)

    class TwoRanks:
        current_epoch, overfit_batches = 0, 0.0

        def __init__(self, rank: int) -> None:
            self.distributed_sampler_kwargs = {"num_replicas": 2, "rank": rank}

    seen = []
    for rank in range(2):
        made.trainer = TwoRanks(rank)  # type: ignore[assignment]
        seen.append([batch["sample_ids"] for batch in made.train_dataloader()])
    made.trainer = None
    made.batch_size = 16
    alone = [batch["sample_ids"] for batch in made.train_dataloader()]
    assert [torch.cat(pair).tolist() for pair in zip(*seen, strict=True)] == [ids.tolist() for ids in alone]
