"""A recurrent language model over streams: truncated back-propagation with the state that rows carry."""

import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
import torch.nn.functional as F
from lightning.pytorch.callbacks import ModelCheckpoint

from plmlight import LSTMLM, NNLM, CausalLanguageModelling, CausalLM, RegularisedLanguageModelling, TextCorpus
from plmlight.heads import AdaptiveSoftmax
from plmlight.nn import Decoder
from plmlight.objectives import Outputs
from plmlight.text import save_tokenizer, train_tokenizer

TEXT = "".join(f"line {i}: the quick brown fox, number {i * 37 % 101}\n" for i in range(60))

pytestmark = pytest.mark.filterwarnings("ignore")


def corpus(root: Path, **options: Any) -> TextCorpus:
    if not (root / "text.txt").exists():
        (root / "text.txt").write_text(TEXT)
        save_tokenizer(train_tokenizer([TEXT], "character", 100), root / "tokenizer")
    return TextCorpus(
        str(root / "text.txt"),
        tokenizer=str(root / "tokenizer"),
        block_length=11,
        batch_size=4,
        validation_fraction=0.25,
        cache_folder=str(root / "cache"),
        **{"order": "streams", **options},
    )


def task(data: TextCorpus, kind: str = "lstm", **options: Any) -> CausalLM:
    torch.manual_seed(0)
    network: Decoder
    if kind == "lstm":
        network = LSTMLM(
            data.vocab_size,
            12,
            2,
            0.2,
            locked_dropout=True,
            weight_dropout=0.2,
            embedding_dropout=0.1,
            initial_range=0.4,
        )
        made = CausalLM(network, **options)
    else:
        network = NNLM(data.vocab_size, 12, 4, 0.1, d_embedding=8)
        made = CausalLM(network, tie_head=False, projection=AdaptiveSoftmax(), **options)
        made.use_token_counts(data.token_counts)
    made.tokenizer = data.tokenizer
    return made


def trainer(root: Path, **options: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    settings: dict[str, Any] = {"accelerator": "cpu", "num_sanity_val_steps": 0, "enable_checkpointing": False}
    return pl.Trainer(default_root_dir=root, **{**quiet, **settings, **options})


class Seen(pl.Callback):
    def __init__(self) -> None:
        self.losses: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(float(outputs["loss"]))


@pytest.mark.parametrize("kind", ["lstm", "nnlm"])
def test_validation_is_that_of_each_stream_read_at_once(kind: str, tmp_path: Path) -> None:
    data = corpus(tmp_path)
    made = task(data, kind).eval()
    (metrics,) = trainer(tmp_path).validate(made, data, verbose=False)
    loader = data.val_dataloader()
    assert not isinstance(loader, list)
    batches = list(loader)
    nats, count = 0.0, 0
    for row in range(4):
        pieces = [batch["input_ids"][row][batch["attention_mask"][row] > 0] for batch in batches]
        whole = torch.cat([pieces[0], *(piece[1:] for piece in pieces[1:])])[None]
        with torch.no_grad():
            logits = made(whole[:, :-1])["logits"][0]
        nats += float(F.cross_entropy(logits, whole[0, 1:], reduction="sum"))
        count += whole.shape[1] - 1
    assert metrics["val_loss"] == pytest.approx(nats / count, rel=1e-5)
    assert metrics["val_perplexity"] == pytest.approx(math.exp(nats / count), rel=1e-4)


@pytest.mark.parametrize("kind", ["lstm", "nnlm"])
def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(kind: str, tmp_path: Path) -> None:
    data, seen = corpus(tmp_path), Seen()
    per_epoch = len(data.train_dataloader())
    saving = ModelCheckpoint(
        tmp_path / "saved", "{step}", every_n_train_steps=1, save_top_k=-1, save_on_train_epoch_end=False
    )
    whole = task(data, kind)
    steps = per_epoch + 4
    options: dict[str, Any] = {"max_steps": steps, "val_check_interval": 3, "enable_checkpointing": True}
    trainer(tmp_path, callbacks=[saving, seen], **options).fit(whole, datamodule=data)
    assert len(seen.losses) == steps
    for step in (1, 3, per_epoch - 1, per_epoch, per_epoch + 1):
        made, again = task(data, kind), Seen()
        path = tmp_path / "saved" / f"step={step}.ckpt"
        trainer(tmp_path, callbacks=[again], max_steps=steps, val_check_interval=3).fit(
            made, datamodule=corpus(tmp_path), ckpt_path=path, weights_only=True
        )
        assert again.losses == seen.losses[step:]
        for one, other in zip(whole.parameters(), made.parameters(), strict=True):
            assert torch.equal(one, other)


def test_the_state_goes_from_step_to_step(tmp_path: Path) -> None:
    """Without it the losses after the first step are others."""
    seen, forgetful = Seen(), Seen()
    data = corpus(tmp_path)
    trainer(tmp_path, callbacks=[seen], max_steps=3).fit(task(data), datamodule=data)
    made = task(data)
    made._has_state = False
    trainer(tmp_path, callbacks=[forgetful], max_steps=3).fit(made, datamodule=corpus(tmp_path))
    assert seen.losses[0] == forgetful.losses[0]
    assert seen.losses[1] != forgetful.losses[1]


def test_other_streams_than_the_checkpoints_are_refused(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    run = trainer(tmp_path, max_steps=2)
    run.fit(task(data), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    other = corpus(tmp_path, order="shuffled")
    with pytest.raises(ValueError, match="its blocks was None"):
        trainer(tmp_path, max_steps=4).fit(task(other), datamodule=other, ckpt_path=tmp_path / "x.ckpt")


def test_hidden_states_that_are_large_or_change_cost() -> None:
    made = CausalLM(LSTMLM(23, 8, 1, 0.0, initial_range=0.5))
    hidden, labels = torch.randn(2, 5, 8), torch.randint(23, (2, 5))
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0]])
    parts = RegularisedLanguageModelling(2.0, 3.0).loss(
        Outputs(hidden, made.head), {"labels": labels, "attention_mask": mask}
    )
    plain = CausalLanguageModelling().loss(Outputs(hidden, made.head), {"labels": labels})
    assert torch.equal(parts["loss"][0], plain["loss"][0])
    valid = torch.cat([hidden[0], hidden[1, :3]])
    changes = torch.cat([hidden[0, 1:] - hidden[0, :-1], hidden[1, 1:3] - hidden[1, :2]])
    for name, expected in (("activation", 2 * valid.square().mean()), ("slowness", 3 * changes.square().mean())):
        total, count = parts[name]
        torch.testing.assert_close(total / count, expected)


def test_a_regularised_model_reports_the_perplexity_of_the_text(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    plain, other = task(data), task(data, objective=RegularisedLanguageModelling())
    other.load_state_dict(plain.state_dict())
    (expected,), (found,) = (trainer(tmp_path).validate(made, data, verbose=False) for made in (plain, other))
    assert found == pytest.approx(expected)
