import copy
import csv
import os
import resource
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.flop_counter import FlopCounterMode

from plmlight.callbacks import AtomicCheckpointIO, Checkpoints, ExponentialMovingAverage, StopsCleanly, Throughput
from plmlight.callbacks.throughput import flops_per_pair, flops_per_token, peak_flops
from plmlight.networks import ALBERT, BERT, GPT, T5, LSTMSeq2Seq, Transformer
from plmlight.nn import EncoderDecoder
from plmlight.objectives import KeyedRandom
from plmlight.tasks import CausalLM, MaskedLM, Seq2Seq, task_from_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")


def small() -> CausalLM:
    torch.manual_seed(1)
    return CausalLM(GPT(vocab_size=23, d_model=16, num_layers=2, num_heads=2, max_length=12))


def loader() -> "DataLoader[Any]":
    generator = torch.Generator().manual_seed(5)
    data: Any = [{"input_ids": torch.randint(1, 23, (13,), generator=generator)} for _ in range(32)]
    return DataLoader(data, batch_size=4)


def trainer(folder: Path, steps: int, *callbacks: pl.Callback, **changes: Any) -> pl.Trainer:
    torch.manual_seed(1)  # of the run, which the last step of the one before has changed
    quiet: dict[str, Any] = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    checkpointing = any(isinstance(c, Checkpoints) for c in callbacks)
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_steps=steps,
        callbacks=list(callbacks),
        enable_checkpointing=checkpointing,
        plugins=[AtomicCheckpointIO()],
        log_every_n_steps=1,
        **quiet,
        **changes,
    )


class Weights(pl.Callback):
    def __init__(self) -> None:
        self.after: list[list[torch.Tensor]] = []
        self.validated: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.after.append([p.detach().clone() for p in pl_module.parameters()])

    def on_validation_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        self.validated = [p.detach().clone() for p in pl_module.parameters()]


@pytest.mark.parametrize("frozen", [0, 2])
def test_average_equals_its_formula_and_is_what_is_validated_and_kept(tmp_path: Path, frozen: int) -> None:
    task, weights = small(), Weights()
    for parameter in list(task.parameters())[:frozen]:
        parameter.requires_grad_(False)
    average = [p.detach().clone() for p in task.parameters()]
    run = trainer(tmp_path, 8, weights, ExponentialMovingAverage(0.5), Checkpoints(), num_sanity_val_steps=0)
    run.fit(task, loader(), loader())
    for step, after in enumerate(weights.after, 1):
        decay = min(0.5, (1 + step) / (10 + step))
        average = [decay * a + (1 - decay) * w for a, w in zip(average, after, strict=True)]
    kept = list(task_from_checkpoint(tmp_path / "last.ckpt").parameters())
    for expected, in_model, validated, stored in zip(average, task.parameters(), weights.validated, kept, strict=True):
        torch.testing.assert_close(in_model, expected)
        torch.testing.assert_close(validated, expected)
        torch.testing.assert_close(stored, expected)


def test_after_training_the_average_stays_and_is_what_is_measured(tmp_path: Path) -> None:
    task = small()
    run = trainer(tmp_path, 8, ExponentialMovingAverage(0.5), Checkpoints(), num_sanity_val_steps=0)
    run.fit(task, loader(), loader())
    measured = float(run.callback_metrics["val_loss"])
    average = [p.detach().clone() for p in task.parameters()]
    for _ in range(2):
        assert run.validate(task, loader(), verbose=False)[0]["val_loss"] == measured
        for one, other in zip(task.parameters(), average, strict=True):
            assert torch.equal(one, other)
    run.save_checkpoint(tmp_path / "after.ckpt")  # has the weights under training too
    written = [torch.load(tmp_path / f"{name}.ckpt", weights_only=True) for name in ("last", "after")]
    for part in ("state_dict", "raw_weights"):
        assert written[0][part].keys() == written[1][part].keys()
        assert all(torch.equal(value, written[1][part][name]) for name, value in written[0][part].items())
    assert not torch.equal(next(iter(written[0]["raw_weights"].values())), average[0])


def test_a_second_run_begins_with_what_the_first_left(tmp_path: Path) -> None:
    task, average = small(), ExponentialMovingAverage(0.5)
    trainer(tmp_path / "a", 8, average).fit(task, loader())
    other = copy.deepcopy(task)
    trainer(tmp_path / "b", 8, average).fit(task, loader())
    trainer(tmp_path / "c", 8, ExponentialMovingAverage(0.5)).fit(other, loader())
    for one, two in zip(task.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)


class Stops(pl.Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            trainer.should_stop = True


def test_average_resumes_bit_for_bit(tmp_path: Path) -> None:
    straight, stopped, resumed = small(), small(), small()
    trainer(tmp_path / "a", 12, ExponentialMovingAverage(0.9)).fit(straight, loader())
    # Between two epochs, as a plain loader does not know where it stood within one.
    saves = Checkpoints(every_n_steps=8)
    trainer(tmp_path / "b", 12, ExponentialMovingAverage(0.9), Stops(8), saves).fit(stopped, loader())
    path = tmp_path / "b" / "last.ckpt"
    assert torch.load(path, weights_only=True)["global_step"] == 8
    again = trainer(tmp_path / "b", 12, ExponentialMovingAverage(0.9), Checkpoints(every_n_steps=8))
    again.fit(resumed, loader(), ckpt_path=path, weights_only=True)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "x.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)
    code = """
import sys, torch
from plmlight.callbacks import AtomicCheckpointIO
try:
    AtomicCheckpointIO().save_checkpoint({"a": torch.zeros(10**6)}, sys.argv[1])
except OSError as error:
    print(error.filename, error.strerror)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert done.stdout.strip() == f"{path} File too large", done.stderr
    assert torch.load(path, weights_only=True) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.ckpt"]


def test_throughput_reports_rate_padding_and_utilisation(tmp_path: Path) -> None:
    ids = torch.randint(1, 23, (8, 13))
    mask = torch.ones_like(ids)
    mask[:, 7:] = 0
    data: Any = [{"input_ids": i, "attention_mask": m} for i, m in zip(ids, mask, strict=True)]
    run = trainer(tmp_path, 2, Throughput())
    run.fit(small(), DataLoader(data, batch_size=4))
    metrics = run.callback_metrics
    assert float(metrics["padding"]) == pytest.approx(5 / 12)
    assert float(metrics["tokens_per_second"]) > 0
    assert 0 < float(metrics["mfu"]) < 1


def test_flops_count_the_tied_table_once_and_no_lookups() -> None:
    task = small()
    weights = sum(p.numel() for p in task.parameters()) - 12 * 16  # without the positions
    assert flops_per_token(task, 12) == 6 * weights + 12 * 2 * 16 * 12
    untied = CausalLM(copy.deepcopy(task.network), tie_head=False)
    assert flops_per_token(untied, 12) == flops_per_token(task, 12)


def test_peak_of_the_cpu_is_measured() -> None:
    peak = peak_flops(torch.device("cpu"), torch.float32)
    assert peak is not None
    assert peak > 1e8


def test_the_peak_is_not_that_of_a_core_that_is_taken_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    free = time.perf_counter() + 0.08

    def product(*arguments: Tensor, out: Tensor) -> None:
        time.sleep(0.01 if time.perf_counter() < free else 0)

    monkeypatch.setattr(torch, "mm", product)
    peak = peak_flops(torch.device("cpu"), torch.float32)
    assert peak is not None
    assert peak > 2 * 512**3 / 0.005


def test_checkpoints_without_validation_keep_the_last(tmp_path: Path) -> None:
    trainer(tmp_path, 8, Checkpoints()).fit(small(), loader())
    assert sorted(os.listdir(tmp_path)) == ["last.ckpt"]


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
@pytest.mark.parametrize("first", [5, 8, 10])  # within an epoch of 8, at its end, within the next
@pytest.mark.parametrize("validates", [False, True])
def test_a_run_that_goes_on_logs_the_steps_of_one_that_was_not_interrupted(
    tmp_path: Path, first: int, validates: bool
) -> None:
    def steps(name: str, until: int, **how: Any) -> list[str]:
        run = trainer(tmp_path / name, until, Checkpoints(), num_sanity_val_steps=0)
        logs = CSVLogger(tmp_path / "logs")
        run.logger = logs
        run.fit(small(), loader(), loader() if validates else None, weights_only=True, **how)
        with (Path(logs.log_dir) / "metrics.csv").open() as handle:
            return [row["step"] for row in csv.DictReader(handle)]

    whole = steps("whole", 12)
    before = steps("parts", first)
    after = steps("parts", 12, ckpt_path=tmp_path / "parts" / "last.ckpt")
    assert list(map(int, dict.fromkeys(before + after))) == list(map(int, dict.fromkeys(whole)))


def test_a_run_without_validation_goes_on_with_the_state_of_its_checkpoints(tmp_path: Path) -> None:
    trainer(tmp_path, 3, Checkpoints(), limit_val_batches=0).fit(small(), loader(), loader())
    again = trainer(tmp_path, 5, Checkpoints(), limit_val_batches=0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        again.fit(small(), loader(), loader(), ckpt_path=tmp_path / "last.ckpt", weights_only=True)
    assert not [each for each in told if "Be aware" in str(each.message)]
    assert again.global_step == 5


def test_a_run_shorter_than_its_first_validation_keeps_the_last(tmp_path: Path) -> None:
    trainer(tmp_path, 6, Checkpoints(), num_sanity_val_steps=0).fit(small(), loader(), loader())
    assert sorted(os.listdir(tmp_path)) == ["last.ckpt"]


class Worse(pl.Callback):
    """What gets larger with every step."""

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        pl_module.log("worse", float(trainer.global_step))


@pytest.mark.parametrize(
    ("saves", "validates", "best"),
    [
        ({}, {}, 8),
        ({}, {"check_val_every_n_epoch": 2}, 16),
        ({}, {"val_check_interval": 0.5}, 4),
        ({}, {"val_check_interval": 3}, 3),
        ({"every_n_steps": 7}, {}, None),
    ],
)
def test_the_last_checkpoint_is_of_the_last_step_whatever_validation_says(
    tmp_path: Path, saves: dict[str, Any], validates: dict[str, Any], best: int | None
) -> None:
    run = trainer(tmp_path, 20, Worse(), Checkpoints(monitor="worse", **saves), num_sanity_val_steps=0, **validates)
    run.fit(small(), loader(), loader())  # epochs of 8 steps
    kept = {path.stem: torch.load(path, weights_only=True)["global_step"] for path in tmp_path.glob("*.ckpt")}
    assert kept == {"last": 20} | ({} if best is None else {"best": best})


@pytest.mark.filterwarnings("ignore:Checkpoint directory")
def test_a_run_goes_on_from_the_last_checkpoint_bit_for_bit_after_a_validation_that_was_worse(tmp_path: Path) -> None:
    straight, stopped, resumed = small(), small(), small()

    def run(folder: str, *callbacks: pl.Callback) -> pl.Trainer:
        callbacks = (Worse(), Checkpoints(monitor="worse"), *callbacks)
        return trainer(tmp_path / folder, 24, *callbacks, num_sanity_val_steps=0, val_check_interval=0.5)

    run("a").fit(straight, loader(), loader())
    run("b", Stops(16)).fit(stopped, loader(), loader())
    run("b").fit(resumed, loader(), loader(), ckpt_path=tmp_path / "b" / "last.ckpt", weights_only=True)
    for one, other in zip(straight.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_flops_count_a_shared_layer_as_often_as_it_is_applied() -> None:
    alone, shared = (MaskedLM(network=ALBERT(50, 16, 4, 2, d_embedding=8, num_groups=n)) for n in (4, 1))
    assert flops_per_token(shared, 10) == flops_per_token(alone, 10)


def test_flops_count_the_head_only_where_there_are_labels() -> None:
    task = MaskedLM(network=BERT(50, 16, 2, 2))
    saved = flops_per_token(task, 10) - flops_per_token(task, 10, 0.25)
    assert saved == pytest.approx(6 * 0.75 * sum(p.numel() for p in task.head.parameters()))


def test_throughput_counts_both_sides_of_a_pair(tmp_path: Path) -> None:
    mask = (torch.arange(10) < 7).long()
    labels = torch.randint(1, 23, (6,)).masked_fill(torch.arange(6) >= 4, -100)
    data: Any = [{"input_ids": torch.randint(1, 23, (10,)), "attention_mask": mask, "labels": labels}] * 8
    run = trainer(tmp_path, 2, Throughput())
    run.fit(
        Seq2Seq(Transformer(vocab_size=23, d_model=16, num_layers=1, num_heads=2, max_length=12)),
        DataLoader(data, batch_size=4),
    )
    metrics = run.callback_metrics
    assert float(metrics["source_padding"]) == pytest.approx(0.3)
    assert float(metrics["target_padding"]) == pytest.approx(1 / 3)
    assert float(metrics["padding"]) == pytest.approx(5 / 16)
    assert float(metrics["target_tokens_per_second"]) == pytest.approx(float(metrics["tokens_per_second"]) / 4)
    assert 0 < float(metrics["mfu"]) < 1


@pytest.mark.parametrize(
    ("network", "attention"),
    [
        # a width of 64 in each of 2 layers that read 48 tokens, and of 3 or 2 that write 20
        (
            Transformer(50, d_model=64, num_layers=2, num_heads=2, num_decoder_layers=3, max_length=64, dropout=0.0),
            12 * 64 * (2 * 48 * 48 + 3 * 20 * 68),
        ),
        (T5(50, d_model=64, num_layers=2, num_heads=2, dropout=0.0), 12 * 64 * (2 * 48 * 48 + 2 * 20 * 68)),
    ],
)
def test_flops_of_a_pair_are_those_that_torch_counts(network: EncoderDecoder, attention: int) -> None:
    """Products with matrices as torch counts them, and attention, of which it counts only some, by the formula."""
    task = Seq2Seq(network)
    labels = torch.randint(1, 50, (4, 20))
    labels[:, 15:] = -100
    batch = task.prepare({"input_ids": torch.randint(1, 50, (4, 48)), "labels": labels}, KeyedRandom(0, None, None))
    with FlopCounterMode(display=False) as counter:
        task.parts(batch)["loss"][0].backward()
    products = counter.get_flop_counts()["Global"]
    counted = sum(products[op] for op in (torch.ops.aten.mm, torch.ops.aten.addmm) if op in products)
    assert 4 * flops_per_pair(task, 48, 20, 15) == pytest.approx(counted + 4 * attention, rel=0.02)


def test_flops_of_recurrent_pairs_count_weights_for_their_side() -> None:
    network = LSTMSeq2Seq(vocab_size=50, d_model=16, num_layers=1)
    task = Seq2Seq(network, tie_head=False)
    longer = flops_per_pair(task, 30, 10, 10) - flops_per_pair(task, 20, 10, 10)
    assert longer >= 6 * 10 * sum(p.numel() for p in network.encoder.parameters())
    more = flops_per_pair(task, 20, 10, 10) - flops_per_pair(task, 20, 10, 4)
    assert more == 6 * 6 * sum(p.numel() for p in task.head.parameters())


class Interrupts(pl.Callback):
    """Ctrl-C in the second batch of the first run."""

    told = False

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 1 and not self.told:
            self.told = True
            signal.raise_signal(signal.SIGINT)


def test_a_run_after_one_that_was_interrupted_goes_to_its_end(tmp_path: Path) -> None:
    stops, task = StopsCleanly(), small()
    with pytest.raises((SystemExit, KeyboardInterrupt)):
        trainer(tmp_path, 4, stops, interrupts := Interrupts()).fit(task, loader())
    assert stops.saved == tmp_path / "last.ckpt"
    again = trainer(tmp_path, 4, stops, interrupts)
    again.fit(task, loader(), ckpt_path=stops.saved, weights_only=True)
    assert again.global_step == 4
    assert not any((stops.saved, stops.signal))
