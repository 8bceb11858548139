from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import plmlight
from plmlight import GloVe, NegativeSampling, TextCorpus, WindowCorpus, Word2Vec, WordVectorModel
from plmlight.callbacks import AtomicCheckpointIO
from plmlight.optim import RowAdaGrad, RowSGD

pytestmark = pytest.mark.filterwarnings("ignore:You have overridden")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Words of two kinds that only stand with their own kind."""
    random = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("words") / "text.txt"
    lines = [" ".join(f"{kind}{random.integers(12)}" for _ in range(8)) for _ in range(600) for kind in "ab"]
    path.write_text("\n".join(lines))
    return path


def corpus(text: Path) -> WindowCorpus:
    return WindowCorpus(
        str(text), document="line", chunk_length=200, batch_size=4, subsample=0.0, cache_folder=str(text.parent)
    )


def model(data: WindowCorpus, **changes: Any) -> WordVectorModel:
    torch.manual_seed(0)
    task = WordVectorModel(**{"network": Word2Vec(data.vocab_size, 16), "optimizer": RowSGD(0.05), **changes})
    task.tokenizer = data.tokenizer
    task.use_token_counts(data.token_counts)
    return task


def trainer(folder: Path, **settings: Any) -> pl.Trainer:
    settings = {"max_steps": 30, "accelerator": "cpu", "logger": False, "enable_checkpointing": False, **settings}
    settings = {"limit_val_batches": 0, **settings}
    return pl.Trainer(
        default_root_dir=str(folder),
        enable_progress_bar=False,
        enable_model_summary=False,
        plugins=[AtomicCheckpointIO()],
        **settings,
    )


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
@pytest.mark.parametrize("objective", [NegativeSampling, plmlight.HierarchicalSoftmax])
def test_words_of_a_kind_become_alike(architecture: Any, objective: Any, text: Path, tmp_path: Path) -> None:
    data = corpus(text)
    task = model(
        data,
        network=Word2Vec(data.vocab_size, 16, architecture),
        objective=objective(),
        optimizer=RowSGD(0.05 if architecture == "skip-gram" else 0.3),
        normalise=True,
    )
    trainer(tmp_path, max_steps=60).fit(task, data)
    vectors = task(torch.arange(1, data.vocab_size))["vectors"].detach()
    kinds = torch.tensor([str(data.tokenizer.id_to_token(id_))[0] == "a" for id_ in range(1, data.vocab_size)])
    likeness = vectors @ vectors.T
    same = kinds[:, None] == kinds
    assert likeness[same].mean() > likeness[~same].mean() + 0.3


def test_the_loss_is_logged_and_the_rate_falls(text: Path, tmp_path: Path) -> None:
    data, seen = corpus(text), []

    class Note(pl.Callback):
        def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
            seen.append({name: float(value) for name, value in trainer.callback_metrics.items()})

    run = trainer(tmp_path, max_steps=20, callbacks=[Note()], log_every_n_steps=5)
    run.fit(model(data), data)
    assert run.global_step == 20
    assert seen[-1]["train_loss"] < seen[4]["train_loss"]
    assert seen[-1]["lr"] == pytest.approx(0.05 * (1 - (1 - 0.004) * 19 / 20), rel=1e-6)


@pytest.mark.parametrize("optimizer", [RowSGD(0.05), RowAdaGrad(initial=1.0)], ids=["sgd", "adagrad"])
def test_a_run_that_is_resumed_is_bit_identical(optimizer: Any, text: Path, tmp_path: Path) -> None:
    data = corpus(text)
    whole = model(data, optimizer=optimizer)
    trainer(tmp_path).fit(whole, data)
    first, data = model(corpus(text), optimizer=optimizer), corpus(text)
    run = trainer(tmp_path, callbacks=[Stop(13)])
    run.fit(first, data)
    run.save_checkpoint(tmp_path / "half.ckpt")
    second, data = model(corpus(text), optimizer=optimizer), corpus(text)
    torch.nn.init.normal_(second.network.input_table.weight)
    run = trainer(tmp_path)
    run.fit(second, data, ckpt_path=str(tmp_path / "half.ckpt"), weights_only=True)
    assert run.global_step == 30
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


class Stop(pl.Callback):
    """Ends a run that was meant to be longer."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


def test_a_checkpoint_brings_words_counts_and_vectors(text: Path, tmp_path: Path) -> None:
    data = corpus(text)
    task = model(data)
    run = trainer(tmp_path, max_steps=2)
    run.fit(task, data)
    run.save_checkpoint(tmp_path / "a.ckpt")
    loaded = plmlight.load(tmp_path / "a.ckpt")
    assert isinstance(loaded, WordVectorModel)
    assert "token_counts" not in loaded.hparams
    assert torch.equal(loaded.token_counts, data.token_counts)
    assert loaded.tokenizer is not None
    assert loaded.tokenizer.to_str() == data.tokenizer.to_str()
    ids = torch.arange(5)
    assert torch.equal(loaded(ids)["vectors"], task(ids)["vectors"])
    assert type(loaded.optimizer).__name__ == "RowSGD"


def test_a_rate_that_is_too_high_is_said_so(text: Path, tmp_path: Path) -> None:
    data = corpus(text)
    with pytest.raises(ValueError, match=r"the loss is not a number any more at step \d+: lower the optimizer's lr"):
        trainer(tmp_path).fit(model(data, optimizer=RowAdaGrad(1e30)), data)


def test_counts_are_needed_and_must_fit(text: Path) -> None:
    task = WordVectorModel(network=Word2Vec(10))
    with pytest.raises(ValueError, match="the words' counts are missing"):
        task.check_ready()
    with pytest.raises(ValueError, match="counts of 4 words, but the network has 10"):
        task.use_token_counts(torch.ones(4, dtype=torch.int64))


def test_other_data_is_refused(text: Path, tmp_path: Path) -> None:
    data = corpus(text)
    task = WordVectorModel(network=GloVe(data.vocab_size, 4))
    task.use_token_counts(data.token_counts)
    with pytest.raises(ValueError, match="CooccurrenceRegression cannot learn from this data: give it Cooccurrences"):
        trainer(tmp_path).fit(task, data)
    plain = TextCorpus(str(text), block_length=16, tokenizer_kind="byte", cache_folder=str(tmp_path))
    words = WordVectorModel(network=Word2Vec(plain.vocab_size, 4))
    words.use_token_counts(plain.token_counts)
    with pytest.raises(ValueError, match="NegativeSampling cannot learn from this data: give it WindowCorpus"):
        trainer(tmp_path).fit(words, plain)


def test_vectors_can_have_length_one() -> None:
    found = WordVectorModel(network=Word2Vec(10, 4), normalise=True)(torch.arange(10))["vectors"]
    assert torch.allclose(found.norm(dim=-1), torch.ones(10))
