"""A permutation language model over streams: what it learns, and the memories that rows carry."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from plmlight import PermutationLM, TextCorpus, XLNet
from plmlight.objectives import Batch, KeyedRandom, Outputs
from plmlight.optim import AdamW
from plmlight.text import save_tokenizer, train_tokenizer
from tests.tasks.test_streams import Seen, trainer

TEXT = "".join(f"line {i}: the quick brown fox, number {i * 37 % 101}\n" for i in range(120))
V, D, LENGTH = 31, 12, 8

pytestmark = pytest.mark.filterwarnings("ignore")


def corpus(root: Path, **options: Any) -> TextCorpus:
    if not (root / "text.txt").exists():
        (root / "text.txt").write_text(TEXT)
        save_tokenizer(train_tokenizer([TEXT], "xlnet", 60), root / "tokenizer")
    settings: dict[str, Any] = {"block_length": 16, "overlap": 0, "batch_size": 4, "order": "streams"}
    return TextCorpus(
        str(root / "text.txt"),
        tokenizer=str(root / "tokenizer"),
        validation_fraction=0.25,
        cache_folder=str(root / "cache"),
        **{**settings, **options},
    )


def task_of(data: TextCorpus, **network: Any) -> PermutationLM:
    torch.manual_seed(0)
    sizes = {"d_model": 24, "num_layers": 2, "num_heads": 3, "max_length": 16, "memory_length": 8, "dropout": 0.1}
    made = PermutationLM(XLNet(data.vocab_size, **{**sizes, **network}), optimizer=AdamW(lr=0.01))
    made.tokenizer = data.tokenizer
    return made


def validated(task: PermutationLM, data: TextCorpus, root: Path) -> float:
    (metrics,) = trainer(root).validate(task, data, verbose=False)
    return float(metrics["val_loss"])


def test_training_lowers_the_loss(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    task = task_of(data, dropout=0.0)
    before = validated(task, data, tmp_path)
    trainer(tmp_path, max_steps=40, max_epochs=-1, limit_val_batches=0).fit(task, datamodule=data)
    assert validated(task, data, tmp_path) < before - 0.5


def test_a_resumed_run_is_the_uninterrupted_one_bit_for_bit(tmp_path: Path) -> None:
    data, seen = corpus(tmp_path, batch_size=12), Seen()
    per_epoch = len(data.train_dataloader())
    saving = ModelCheckpoint(
        tmp_path / "saved", "{step}", every_n_train_steps=1, save_top_k=-1, save_on_train_epoch_end=False
    )
    whole, steps = task_of(data), per_epoch + 3
    options: dict[str, Any] = {"max_steps": steps, "val_check_interval": 3, "max_epochs": -1}
    trainer(tmp_path, callbacks=[saving, seen], enable_checkpointing=True, **options).fit(whole, datamodule=data)
    for step in (2, per_epoch, per_epoch + 1):
        made, again = task_of(data), Seen()
        path = tmp_path / "saved" / f"step={step}.ckpt"
        trainer(tmp_path, callbacks=[again], **options).fit(
            made, datamodule=corpus(tmp_path, batch_size=12), ckpt_path=path, weights_only=True
        )
        assert again.losses == seen.losses[step:]
        assert all(map(torch.equal, made.parameters(), whole.parameters()))


def test_memories_go_from_step_to_step(tmp_path: Path) -> None:
    """Without them the losses after the first step are others."""
    losses = []
    for length in (8, None):
        seen, data = Seen(), corpus(tmp_path)
        task = task_of(data, memory_length=length, dropout=0.0)
        trainer(tmp_path, callbacks=[seen], max_steps=2).fit(task, datamodule=data)
        losses.append(seen.losses)
    assert losses[0][0] == pytest.approx(losses[1][0])
    assert losses[0][1] != pytest.approx(losses[1][1])


def small(**arguments: Any) -> PermutationLM:
    torch.manual_seed(0)
    task = PermutationLM(XLNet(V, d_model=D, num_layers=2, num_heads=3, **arguments)).eval()
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.2)
    return task


def segment(task: PermutationLM, number: int, continues: list[int], length: int = LENGTH) -> Batch:
    """A batch with its orders."""
    generator = torch.Generator().manual_seed(number)
    rows = len(continues)
    ids = torch.randint(V, (rows, length), generator=generator)
    key = KeyedRandom(number, torch.arange(rows), torch.tensor(0))
    return task.prepare({"input_ids": ids, "continues": torch.tensor(continues)}, key)


def joined(first: Batch, second: Batch, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both as one segment: ids, who does not see whom, and the second's targets.

    The first sees nothing of the second; the second sees those tokens of the first for which ``seen`` [B, T] is true.
    """
    ids = torch.cat([first["input_ids"], second["input_ids"]], 1)
    hidden = (~seen)[:, None, :].expand(-1, LENGTH, -1)
    rows = [
        torch.cat([first["permutation_mask"], torch.ones_like(second["permutation_mask"])], 2),
        torch.cat([hidden, second["permutation_mask"]], 2),
    ]
    mapping = torch.cat([torch.zeros_like(second["target_mapping"]), second["target_mapping"]], 2)
    return ids, torch.cat(rows, 1), mapping


@pytest.mark.parametrize("memory_length", [5, 8, 13])
@torch.no_grad()
def test_a_segment_that_goes_on_is_the_rest_of_a_longer_one(memory_length: int) -> None:
    task = small(memory_length=memory_length)
    first, second = segment(task, 1, [0, 0, 0]), segment(task, 2, [1, 0, 1])
    alone = task.parts(segment(task, 2, [0, 0, 0]))["loss"]
    task.parts(first)
    found = task.parts(second)["loss"]
    seen = torch.arange(LENGTH).expand(3, -1) >= LENGTH - memory_length
    seen = seen & (second["continues"] > 0)[:, None]
    _, query, _ = task.network.two_stream(*_as_inputs(*joined(first, second, seen)))
    assert query is not None
    expected = task.objective.loss(Outputs(query, task.head), second)["loss"]
    torch.testing.assert_close(found, expected)
    assert abs(float(found[0] - alone[0])) > 1e-3


def _as_inputs(ids: Tensor, permutation_mask: Tensor, mapping: Tensor) -> tuple[Any, ...]:
    return ids, None, None, permutation_mask, mapping


@torch.no_grad()
def test_padding_is_not_remembered() -> None:
    task = small(memory_length=6)
    first, second = segment(task, 1, [0, 0]), segment(task, 2, [1, 1])
    losses = []
    for filler in (3, 7):  # at the end of the second row
        mask = torch.ones_like(first["input_ids"])
        mask[1, 5:] = 0
        ids = torch.where(mask > 0, first["input_ids"], filler)
        task.parts({**first, "input_ids": ids, "attention_mask": mask})
        losses.append(task.parts(second)["loss"][0])
    assert torch.equal(*losses)


@torch.no_grad()
def test_another_number_of_rows_may_begin_anew_but_not_go_on() -> None:
    task = small(memory_length=6)
    task.parts(segment(task, 1, [0, 0, 0]))
    with pytest.raises(ValueError, match=r"a batch of 2 rows is to go on .* but 3 rows were carried on"):
        task.parts(segment(task, 2, [1, 0]))
    expected = small(memory_length=6).parts(segment(task, 2, [0, 0]))["loss"]
    torch.testing.assert_close(task.parts(segment(task, 2, [0, 0]))["loss"], expected)


@torch.no_grad()
def test_a_shorter_last_segment_goes_on_too() -> None:
    task = small(memory_length=6)
    task.parts(segment(task, 1, [0, 0]))
    assert task.parts(segment(task, 2, [1, 1], length=3))["loss"][0].isfinite()
    task.parts(segment(task, 3, [1, 1]))


def test_a_checkpoint_with_memories_of_another_length_is_refused(tmp_path: Path) -> None:
    data = corpus(tmp_path)
    run = trainer(tmp_path, max_steps=2)
    run.fit(task_of(data), datamodule=data)
    run.save_checkpoint(tmp_path / "x.ckpt")
    with pytest.raises(ValueError, match=r"what was carried on is of another shape \(\[4, 8\], expected \[4, 5\]\)"):
        trainer(tmp_path, max_steps=4).fit(
            task_of(data, memory_length=5), datamodule=corpus(tmp_path), ckpt_path=tmp_path / "x.ckpt"
        )


@pytest.mark.parametrize(
    ("names", "shape", "message"),
    [
        (["mems.0"], (2, 4, D), r"unknown or missing inputs \['mems.1'\]: expected mems.0 to mems.1"),
        (["mems.0", "mems.1", "mems.2"], (2, 4, D), r"unknown or missing inputs \['mems.2'\]"),
        (["mems.0", "mems.1"], (3, 4, D), r"the memory mems.0 is \[3, 4, 12\], expected \[2, any length, 12\]"),
        (["mems.0", "mems.1"], (2, 4, D + 1), r"the memory mems.0 is \[2, 4, 13\], expected \[2, any length, 12\]"),
    ],
)
def test_memories_that_do_not_fit_are_refused(names: list[str], shape: tuple[int, ...], message: str) -> None:
    task, ids = small(memory_length=6), torch.randint(V, (2, LENGTH))
    with pytest.raises(ValueError, match=message):
        task(ids, **{name: torch.zeros(shape) for name in names})


def test_a_mask_that_leaves_out_some_memories_is_refused() -> None:
    task, ids = small(memory_length=6), torch.randint(V, (2, LENGTH))
    given = {f"mems.{i}": torch.zeros(2, 4, D) for i in range(2)}
    with pytest.raises(ValueError, match="attention_mask has 10 columns, expected 8, or 12 with memories"):
        task(ids, torch.ones(2, LENGTH + 2, dtype=torch.int64), **given)


def test_scores_of_texts_add_up_to_the_loss() -> None:
    task = small()
    batch = {**segment(task, 1, [0, 0, 0]), "sample_ids": torch.arange(3)}
    with torch.no_grad():
        scores, (total, count) = task.predict_step(batch, 0), task.parts(batch)["loss"]
    torch.testing.assert_close(scores["loss"].sum(), total)
    assert int(scores["tokens"].sum()) == int(count)
