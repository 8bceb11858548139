from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint
from tokenizers import Tokenizer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from plmlight.data import TextCorpus
from plmlight.interop import read_checkpoint
from plmlight.networks import BERT, XLM
from plmlight.objectives import (
    KeyedRandom,
    LinearRate,
    MaskedLanguageModelling,
    NextSentencePrediction,
    SentenceOrderPrediction,
    SpanMasking,
    TranslationLanguageModelling,
    WholeWordMasking,
)
from plmlight.optim import Constant, OptimizerFactory
from plmlight.tasks import MaskedLM, task_from_checkpoint
from plmlight.text import save_tokenizer, train_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:You have overridden", "ignore:This DataLoader will create 4 worker"),
    pytest.mark.filterwarnings("ignore:The number of training batches", "ignore:The dirpath has changed"),
]

TEXT = "".join(f"line {i}: the quick brown fox, number {i * 37 % 101}\n" for i in range(100))
ROWS, LENGTH = 24, 20


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([TEXT], "wordpiece", 60)


class SGD(OptimizerFactory):
    def __init__(self, lr: float = 0.5) -> None:
        self.lr = lr

    def __call__(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(model.parameters(), lr=self.lr)


def small(tokenizer: Tokenizer, dropout: float = 0.0, **changes: Any) -> MaskedLM:
    torch.manual_seed(3)
    network = BERT(60, d_model=16, num_layers=2, num_heads=2, d_ff=32, max_length=LENGTH, dropout=dropout)
    task = MaskedLM(network, **changes)
    task.tokenizer = tokenizer
    return task


def rows(pairs: bool = False) -> list[dict[str, Tensor]]:
    """Rows of very different lengths, as `[CLS] words [SEP]`."""
    generator = torch.Generator().manual_seed(7)
    made = []
    for index in range(ROWS):
        length = 4 + (index * 5) % 17
        ids = torch.randint(5, 60, (LENGTH,), generator=generator)
        mask = (torch.arange(LENGTH) < length).long()
        ids[0], ids[length - 1] = 2, 3
        row = {"input_ids": ids * mask, "attention_mask": mask, "sample_ids": torch.tensor(index)}
        if pairs:
            row |= {"token_type_ids": (torch.arange(LENGTH) > 5).long(), "pair_labels": torch.tensor(index % 3 // 2)}
        made.append(row)
    return made


def loader(batch_size: int = 8, pairs: bool = False) -> DataLoader[Any]:
    data: Any = rows(pairs)
    return DataLoader(data, batch_size=batch_size)


def trainer(folder: Path, **changes: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    settings = {"accelerator": "cpu", "max_epochs": 1, "enable_checkpointing": False, "log_every_n_steps": 1, **quiet}
    return pl.Trainer(default_root_dir=folder, **{**settings, **changes})


def hidden(task: MaskedLM, batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The batch as the task sees it outside training."""
    return task.prepare(batch, KeyedRandom(task.seed, batch["sample_ids"], None, 1.0))


def plain(task: MaskedLM, batch: dict[str, Tensor]) -> Tensor:
    """The cross entropies over full logits, [B, T], 0 without label."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    with torch.no_grad():
        logits = task(**{name: batch[name] for name in names if name in batch})["logits"]
    return F.cross_entropy(logits.transpose(1, 2), batch["labels"], reduction="none")


def test_inputs_and_outputs_have_the_graphs_names(tokenizer: Tokenizer) -> None:
    ids = torch.randint(5, 60, (2, 7))
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "token_type_ids": torch.zeros_like(ids)}
    assert {n: tuple(t.shape) for n, t in small(tokenizer)(**inputs).items()} == {"logits": (2, 7, 60)}
    with_pairs = small(tokenizer, pair_objective=NextSentencePrediction())
    assert with_pairs(**inputs)["pair_logits"].shape == (2, 2)


def test_loss_is_that_of_full_logits(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer, objective=WholeWordMasking(rate=0.3))
    (metrics,) = trainer(tmp_path).validate(task, loader(), verbose=False)
    total, count = 0.0, 0
    for batch in loader():
        seen = hidden(task, batch)
        total += float(plain(task, seen).sum())
        count += int((seen["labels"] >= 0).sum())
    assert count > 30
    assert metrics["val_loss"] == pytest.approx(total / count, rel=1e-5)
    assert metrics["val_perplexity"] == pytest.approx(torch.tensor(total / count).exp().item(), rel=1e-5)


def test_the_vocabulary_is_projected_to_at_hidden_tokens_only(
    tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = small(tokenizer)
    counted: list[int] = []
    before = task.head.before_projection

    def counting(rows: Tensor) -> Tensor:
        counted.append(len(rows))
        return before(rows)

    monkeypatch.setattr(task.head, "before_projection", counting)
    batch = hidden(task, next(iter(loader(ROWS))))
    _, count = task.parts(batch)["loss"]
    assert counted == [int(count)] == [int((batch["labels"] >= 0).sum())]
    assert 0 < counted[0] < ROWS * LENGTH / 5


def test_pairs_have_a_loss_and_an_accuracy_of_their_own(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer, pair_objective=SentenceOrderPrediction())
    (metrics,) = trainer(tmp_path).validate(task, loader(pairs=True), verbose=False)
    nats, count, pair_nats, right = 0.0, 0, 0.0, 0
    for batch in loader(pairs=True):
        seen = hidden(task, batch)
        nats += float(plain(task, seen).sum())
        count += int((seen["labels"] >= 0).sum())
        names = ("input_ids", "attention_mask", "token_type_ids")
        with torch.no_grad():
            logits = task(**{name: seen[name] for name in names})["pair_logits"]
        pair_nats += float(F.cross_entropy(logits, batch["pair_labels"], reduction="sum"))
        right += int((logits.argmax(1) == batch["pair_labels"]).sum())
    assert metrics["val_mlm_loss"] == pytest.approx(nats / count, rel=1e-5)
    assert metrics["val_pair_loss"] == pytest.approx(pair_nats / ROWS, rel=1e-5)
    assert metrics["val_loss"] == pytest.approx(nats / count + pair_nats / ROWS, rel=1e-5)
    assert metrics["val_pair_accuracy"] == pytest.approx(right / ROWS)
    assert 0 < right < ROWS


def test_rows_without_a_pair_count_for_nothing(tokenizer: Tokenizer) -> None:
    task = small(tokenizer, pair_objective=NextSentencePrediction())
    batch = next(iter(loader(ROWS, pairs=True)))
    batch["pair_labels"][5:] = -100
    parts = task.parts(seen := hidden(task, batch))
    with torch.no_grad():
        logits = task(seen["input_ids"], seen["attention_mask"], seen["token_type_ids"])["pair_logits"][:5]
    total, count = parts["pair_loss"]
    assert int(count) == 5
    assert float(total.detach()) == pytest.approx(
        float(F.cross_entropy(logits, batch["pair_labels"][:5], reduction="sum"))
    )
    assert int(task.measure(seen, parts)["pair_correct"]) == int((logits.argmax(1) == batch["pair_labels"][:5]).sum())


def test_a_pair_objective_without_pairs_says_where_they_come_from(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer, pair_objective=NextSentencePrediction())
    with pytest.raises(ValueError, match=r"NextSentencePrediction needs pair_labels.*DocumentCorpus.*pairs.*next"):
        trainer(tmp_path).validate(task, loader(), verbose=False)


class Gradients(pl.Callback):
    """Keeps what the optimiser saw."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step > len(self.seen):
            named = pl_module.named_parameters()
            self.seen.append({name: p.grad.clone() for name, p in named if p.grad is not None})


def gradients(tokenizer: Tokenizer, folder: Path, batch_size: int, accumulate: int) -> list[dict[str, Tensor]]:
    task = small(tokenizer, optimizer=SGD(), schedule=Constant(), objective=SpanMasking(rate=0.3))
    kept = Gradients()
    trainer(folder, accumulate_grad_batches=accumulate, callbacks=[kept]).fit(task, loader(batch_size))
    return kept.seen


def difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """The largest difference, relative to the largest gradient."""
    assert one.keys() == other.keys()
    largest = max(float(g.abs().max()) for g in other.values())
    return max(float((one[name] - other[name]).abs().max()) for name in other) / largest


def test_gradients_are_exact_under_accumulation(tokenizer: Tokenizer, tmp_path: Path) -> None:
    whole = gradients(tokenizer, tmp_path, 8, 1)
    assert len(whole) == 3
    for batch_size, accumulate in ((1, 8), (2, 4)):
        parted = gradients(tokenizer, tmp_path, batch_size, accumulate)
        for one, other in zip(parted, whole, strict=True):
            assert difference(one, other) <= 1e-6


def test_an_epochs_last_step_is_the_mean_over_its_micro_batches_of_several_parts(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    def seen(accumulate: int) -> list[dict[str, Tensor]]:
        task = small(tokenizer, optimizer=SGD(1e-12), schedule=Constant(), pair_objective=SentenceOrderPrediction())
        kept = Gradients()
        trainer(tmp_path, accumulate_grad_batches=accumulate, callbacks=[kept]).fit(task, loader(pairs=True))
        return kept.seen

    one, two, alone = seen(1)
    both, last = seen(2)  # of three batches
    assert difference(last, alone) <= 1e-6
    assert difference(both, {name: (one[name] + two[name]) / 2 for name in one}) <= 1e-6


def test_a_step_without_a_hidden_token_changes_nothing_but_by_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer, optimizer=SGD(), schedule=Constant(), objective=MaskedLanguageModelling(rate=1e-6))
    before = {name: p.clone() for name, p in task.named_parameters()}
    trainer(tmp_path).fit(task, loader())
    for name, parameter in task.named_parameters():
        assert torch.equal(parameter, before[name])


def test_a_checkpoint_builds_objectives_and_rate_again(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(
        tokenizer,
        objective=WholeWordMasking(rate=LinearRate(0.4, 0.2)),
        pair_objective=SentenceOrderPrediction(),
        tie_head=False,
    )
    run = trainer(tmp_path)
    run.fit(task, loader(pairs=True))
    run.save_checkpoint(tmp_path / "x.ckpt")
    held = read_checkpoint(tmp_path / "x.ckpt")
    assert held["hyper_parameters"]["pair_objective"]["class_path"] == "plmlight.SentenceOrderPrediction"
    rebuilt = task_from_checkpoint(tmp_path / "x.ckpt")
    assert isinstance(rebuilt, MaskedLM)
    assert isinstance(rebuilt.objective, WholeWordMasking)
    assert isinstance(rebuilt.pair_objective, SentenceOrderPrediction)
    assert isinstance(rebuilt.objective.rate, LinearRate)
    assert rebuilt.objective.rate.start == 0.4
    assert rebuilt.head.weight is not rebuilt.network.token_embedding.weight
    batch = next(iter(loader(pairs=True)))
    task.eval()
    assert torch.equal(hidden(rebuilt, batch)["input_ids"], hidden(task, batch)["input_ids"])
    for name, value in task(batch["input_ids"], batch["attention_mask"]).items():
        assert torch.equal(rebuilt(batch["input_ids"], batch["attention_mask"])[name], value)


def test_predictions_are_per_sample(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer)
    predicted: Any = trainer(tmp_path).predict(task, loader())
    assert torch.cat([batch["sample_ids"] for batch in predicted]).tolist() == list(range(ROWS))
    for batch, answer in zip(loader(), predicted, strict=True):
        seen = hidden(task, batch)
        torch.testing.assert_close(answer["loss"], plain(task, seen).sum(1))
        assert torch.equal(answer["tokens"], (seen["labels"] >= 0).sum(1))


def test_the_rate_falls_over_a_run_and_is_the_last_in_validation(tokenizer: Tokenizer, tmp_path: Path) -> None:
    rates: dict[str, list[float]] = {"train": [], "val": []}

    class Watched(LinearRate):
        def at(self, progress: float) -> float:
            rates["train" if task.trainer.training else "val"].append(progress)
            return super().at(progress)

    task = small(tokenizer, objective=MaskedLanguageModelling(rate=Watched(0.4, 0.2)))
    trainer(tmp_path, max_epochs=2).fit(task, loader(), loader())
    assert rates["train"] == pytest.approx([step / 6 for step in range(6)])
    assert set(rates["val"]) == {1.0}


def test_a_tokenizer_is_asked_for_before_anything_is_done(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = MaskedLM(BERT(60, d_model=16, num_layers=1, num_heads=2, max_length=LENGTH))
    with pytest.raises(ValueError, match="MaskedLanguageModelling needs a tokenizer"):
        trainer(tmp_path).fit(task, loader())
    task.tokenizer = train_tokenizer([TEXT], "character", 60)
    with pytest.raises(ValueError, match=r"named \[MASK\] or <mask>: this one has none"):
        trainer(tmp_path).fit(task, loader())
    assert task.trainer.global_step == 0


class Seen(pl.Callback):
    """Keeps what the network was shown."""

    def __init__(self) -> None:
        self.batches: list[dict[str, Tensor]] = []

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        self.batches.append({name: batch[name].clone() for name in ("input_ids", "labels", "sample_ids", "epoch")})


def trained(
    folder: Path, tokenizer: Tokenizer, name: str, workers: int = 0, resume: Path | None = None
) -> tuple[MaskedLM, list[dict[str, Tensor]]]:
    if not (folder / "text.txt").exists():
        (folder / "text.txt").write_text(TEXT)
        save_tokenizer(tokenizer, folder / "tokenizer")
    corpus = TextCorpus(
        str(folder / "text.txt"),
        tokenizer=str(folder / "tokenizer"),
        block_length=LENGTH,
        batch_size=16,
        num_workers=workers,
        cache_folder=str(folder / "cache"),
    )
    task = small(tokenizer, dropout=0.2, objective=SpanMasking(rate=LinearRate(0.3, 0.1)))
    seen = Seen()
    saving = ModelCheckpoint(folder / name, "{step}", every_n_train_steps=1, save_top_k=-1)
    run = trainer(folder, max_epochs=2, enable_checkpointing=True, callbacks=[seen, saving])
    run.fit(task, datamodule=corpus, ckpt_path=resume, weights_only=True)
    return task, seen.batches


def assert_same(one: list[dict[str, Tensor]], other: list[dict[str, Tensor]]) -> None:
    assert len(one) == len(other)
    for mine, theirs in zip(one, other, strict=True):
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), name


def test_masks_and_weights_are_the_same_for_any_workers_and_after_a_resume(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    whole, batches = trained(tmp_path, tokenizer, "whole")
    half = len(batches) // 2
    assert len(batches) >= 6
    assert {int(batch["epoch"]) for batch in batches} == {0, 1}
    assert not torch.equal(batches[0]["input_ids"] == 4, batches[half]["input_ids"] == 4)
    for workers in (1, 4):
        assert_same(trained(tmp_path, tokenizer, f"workers{workers}", workers)[1], batches)
    for step in (1, half + 1):
        again, rest = trained(tmp_path, tokenizer, f"resumed{step}", resume=tmp_path / "whole" / f"step={step}.ckpt")
        assert_same(rest, batches[step:])
        for name, value in whole.state_dict().items():
            assert torch.equal(again.state_dict()[name], value), name


def test_translations_need_a_network_with_languages(tokenizer: Tokenizer) -> None:
    networks = (XLM(60, d_model=8, num_layers=1, num_heads=1, num_token_types=n) for n in (0, 2))
    without, fine = (MaskedLM(network, TranslationLanguageModelling()) for network in networks)
    for task in (without, fine):
        task.tokenizer = tokenizer
    with pytest.raises(ValueError, match="num_token_types is 0"):
        without.check_ready()
    fine.check_ready()
