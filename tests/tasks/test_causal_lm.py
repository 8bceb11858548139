import math
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import pytest
import torch
from tokenizers import Tokenizer, models
from torch import Tensor
from torch.utils.data import DataLoader

from plmlight.interop import read_checkpoint
from plmlight.networks.gpt import GPT
from plmlight.optim import Muon, WarmupLinear
from plmlight.tasks import CausalLM, task_from_checkpoint
from plmlight.tasks.step_seed import seed_step

pytestmark = pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning")


def small(**changes: Any) -> CausalLM:
    network = GPT(vocab_size=23, d_model=16, num_layers=2, num_heads=2, max_length=12, dropout=0.0)
    return CausalLM(network, **changes)


def loader(length: int = 13, rows: int = 16) -> "DataLoader[Any]":
    ids = torch.randint(1, 23, (rows, length))
    mask = torch.ones_like(ids)
    mask[::3, 7:] = 0
    data: Any = [{"input_ids": i, "attention_mask": m, "sample_ids": torch.tensor(0)} for i, m in zip(ids, mask)]  # noqa: B905
    return DataLoader(data, batch_size=4)


def trainer(folder: Path, **changes: Any) -> pl.Trainer:
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    settings = {"accelerator": "cpu", "max_steps": 3, "enable_checkpointing": False, "log_every_n_steps": 1, **quiet}
    return pl.Trainer(default_root_dir=folder, **{**settings, **changes})


def test_inputs_and_outputs_have_the_graphs_names() -> None:
    task = small().eval()
    ids = torch.randint(1, 23, (2, 5))
    assert task(input_ids=ids)["logits"].shape == (2, 5, 23)
    past = {
        f"past_key_values.{n}": t for n, t in zip(task.network.cache_names(), task.network.empty_cache(2), strict=True)
    }
    out = task(input_ids=ids, attention_mask=torch.ones_like(ids), **past)
    assert set(out) == {"logits", "present.0.key", "present.0.value", "present.1.key", "present.1.value"}
    torch.testing.assert_close(out["logits"], task(input_ids=ids)["logits"], atol=1e-5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"past_key_values\.9\.key"):
        task(input_ids=ids, **{**past, "past_key_values.9.key": ids})


@pytest.mark.parametrize("tie_head", [True, False])
def test_head_is_the_embedding_only_where_tied(tie_head: bool) -> None:
    task = small(tie_head=tie_head)
    assert (task.head.weight is task.network.token_embedding.weight) is tie_head


def test_a_mask_that_masks_nothing_is_left_out() -> None:
    task = small()
    ids = torch.ones(2, 4, dtype=torch.int64)
    whole = {"input_ids": ids, "attention_mask": torch.tensor([[1, 1, 1, 1], [3, 3, 3, 3]])}
    assert "attention_mask" not in task.on_before_batch_transfer(whole, 0)
    for mask in ([[1, 1, 1, 0], [1, 1, 1, 1]], [[1, 1, 2, 2], [1, 1, 1, 1]], [[0, 0, 0, 0], [1, 1, 1, 1]]):
        kept = {"input_ids": ids, "attention_mask": torch.tensor(mask)}
        assert "attention_mask" in task.on_before_batch_transfer(kept, 0)


def test_validation_is_weighted_by_tokens_and_counts_bytes(tmp_path: Path) -> None:
    task = small()
    task.tokenizer = Tokenizer(models.BPE({chr(97 + i) * (1 + i % 3): i for i in range(23)}, []))
    data = loader()
    (metrics,) = trainer(tmp_path).validate(task, data, verbose=False)
    nats, tokens, size = 0.0, 0, 0
    for batch in data:
        inputs, labels, follows = batch["input_ids"][:, :-1], batch["input_ids"][:, 1:], batch["attention_mask"][:, 1:]
        with torch.no_grad():
            logp = task(input_ids=inputs, attention_mask=batch["attention_mask"][:, :-1])["logits"].log_softmax(-1)
        nats -= float((logp.gather(2, labels[..., None])[..., 0] * follows).sum())
        tokens += int(follows.sum())
        size += int((follows * (1 + labels % 3)).sum())
    assert metrics["val_loss"] == pytest.approx(nats / tokens, rel=1e-5)
    assert metrics["val_perplexity"] == pytest.approx(math.exp(nats / tokens), rel=1e-5)
    assert metrics["val_bits_per_byte"] == pytest.approx(nats / math.log(2) / size, rel=1e-5)


def test_training_learns_and_follows_the_schedule(tmp_path: Path) -> None:
    task = small(optimizer=Muon(0.02), schedule=WarmupLinear())
    data = loader()
    run = trainer(tmp_path, max_steps=40)
    (before,) = run.validate(task, data, verbose=False)
    run.fit(task, data)
    (after,) = run.validate(task, data, verbose=False)
    assert after["val_loss"] < before["val_loss"] - 0.5
    assert run.optimizers[0].param_groups[0]["lr"] == pytest.approx(0.0)


def test_a_checkpoint_made_in_python_builds_its_task_again(tmp_path: Path) -> None:
    task = small(optimizer=Muon(0.02), tie_head=False)
    run = trainer(tmp_path)
    run.fit(task, loader())
    run.save_checkpoint(tmp_path / "x.ckpt")
    held = read_checkpoint(tmp_path / "x.ckpt")
    assert held["task"] == "plmlight.CausalLM"
    assert held["hyper_parameters"]["network"]["class_path"] == "plmlight.GPT"
    assert held["hyper_parameters"]["schedule"]["class_path"] == "plmlight.optim.WarmupCosine"
    for rebuilt in (task_from_checkpoint(tmp_path / "x.ckpt"), CausalLM.load_from_checkpoint(tmp_path / "x.ckpt")):
        assert isinstance(rebuilt.optimizer, Muon)
        for one, other in zip(task.parameters(), rebuilt.parameters(), strict=True):
            assert torch.equal(one, other)


def test_bad_checkpoints_are_one_line(tmp_path: Path) -> None:
    run = trainer(tmp_path, max_steps=1)
    run.fit(small(), loader())
    good = tmp_path / "good.ckpt"
    run.save_checkpoint(good)
    (tmp_path / "cut.ckpt").write_bytes(good.read_bytes()[:-500])
    torch.save({"state_dict": {}}, tmp_path / "foreign.ckpt")
    torch.save({"task": Path("x")}, tmp_path / "objects.ckpt")
    torch.save({**torch.load(good, weights_only=True), "task": "os.system"}, tmp_path / "evil.ckpt")
    torch.save({**torch.load(good, weights_only=True), "state_dict": {}}, tmp_path / "empty.ckpt")
    (tmp_path / "text.ckpt").write_text("hello")
    for name, message in {
        "cut": "truncated",
        "foreign": "does not name its task",
        "objects": "only running code would restore",
        "evil": "os.system",
        "empty": "the weights do not fit plmlight.CausalLM",
        "text": "not a checkpoint",
    }.items():
        with pytest.raises(ValueError, match=message) as raised:
            task_from_checkpoint(tmp_path / f"{name}.ckpt")
        assert "\n" not in str(raised.value)
    with pytest.raises(FileNotFoundError):
        read_checkpoint(tmp_path / "nope.ckpt")


def test_a_schedule_without_an_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"WarmupCosine needs to know where the run ends"):
        trainer(tmp_path, max_steps=-1, max_epochs=-1).fit(small(), loader())


def test_a_network_that_cannot_be_stored_is_refused() -> None:
    class Loose(GPT):
        pass

    task = CausalLM(Loose(vocab_size=5, d_model=8, num_layers=1, num_heads=1))
    assert task.hparams["network"]["init_args"]["d_model"] == 8
    with pytest.raises(ValueError, match="Linear cannot be stored"):
        CausalLM(torch.nn.Linear(1, 1))  # type: ignore[arg-type]


def test_a_steps_randomness_depends_on_seed_step_and_rank_only() -> None:
    def draw(seed: int, step: int, rank: int) -> Tensor:
        seed_step(seed, step, rank, torch.device("cpu"))
        return torch.rand(3)

    torch.rand(5)
    assert torch.equal(draw(1, 2, 3), draw(1, 2, 3))
    others = [draw(*key) for key in ((2, 2, 3), (1, 3, 3), (1, 2, 4))]
    assert not any(torch.equal(draw(1, 2, 3), other) for other in others)
