from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.checkpoint.state_dict_saver import save

from plmlight import GPT, CausalLM
from plmlight.interop import filled, is_checkpoint, read_checkpoint, stored_arguments
from plmlight.loading import write_checkpoint
from plmlight.nn import config_of


def task(**options: Any) -> CausalLM:
    return CausalLM(network=GPT(vocab_size=31, d_model=12, num_layers=2, num_heads=3, max_length=16), **options)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A checkpoint of a tiny GPT."""
    write_checkpoint(task(), tmp_path / "tiny.ckpt")
    return tmp_path / "tiny.ckpt"


def shards(checkpoint: Path, folder: Path) -> Path:
    """The same checkpoint as FSDP2 leaves it: tensors in shards, the rest in meta.pt."""
    content = torch.load(checkpoint, weights_only=True)
    state = {"state_dict": content.pop("state_dict"), "optimizer_0": {"state": {"x": torch.ones(3)}}}
    with pytest.warns(UserWarning, match="single process"):
        save(state, checkpoint_id=folder)
    torch.save(content, folder / "meta.pt")
    return folder


def test_a_network_comes_out_of_a_checkpoint(file: Path) -> None:
    network = GPT.from_pretrained(str(file), dropout=0.4)
    stored = read_checkpoint(file)["state_dict"]
    assert network.dropout.p == 0.4
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, stored[f"network.{name}"])


def test_the_networks_arguments_are_known(file: Path) -> None:
    assert stored_arguments(GPT, str(file)) == config_of(task().network)["init_args"]


def test_a_sharded_checkpoint_is_put_together(file: Path, tmp_path: Path) -> None:
    folder = shards(file, tmp_path / "sharded.ckpt")
    assert is_checkpoint(folder)
    whole, put_together = read_checkpoint(file), read_checkpoint(folder)
    assert put_together.keys() == whole.keys()
    assert put_together["hyper_parameters"] == whole["hyper_parameters"]
    assert put_together["state_dict"].keys() == whole["state_dict"].keys()
    for name, tensor in whole["state_dict"].items():
        assert torch.equal(put_together["state_dict"][name], tensor)


def test_a_sharded_checkpoint_with_a_missing_or_short_shard_is_refused(file: Path, tmp_path: Path) -> None:
    folder = shards(file, tmp_path / "sharded.ckpt")
    shard = next(folder.glob("*.distcp"))
    content = shard.read_bytes()
    for broken in (content[: len(content) // 2], b""):
        shard.write_bytes(broken)
        with pytest.raises(ValueError, match=r"sharded\.ckpt: .*missing or truncated shards"):
            read_checkpoint(folder)
    shard.unlink()
    with pytest.raises(ValueError, match=r"sharded\.ckpt: .*missing or truncated shards"):
        read_checkpoint(folder)


@pytest.mark.parametrize("keep", [0, 100, 0.5, 0.99])
def test_a_truncated_file_is_refused(keep: float, file: Path) -> None:
    content = file.read_bytes()
    file.write_bytes(content[: int(keep * len(content)) if isinstance(keep, float) else keep])
    with pytest.raises(ValueError, match=r"tiny\.ckpt: not a checkpoint"):
        read_checkpoint(file)


class Thing:
    pass


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"weight": torch.zeros(3)}, "state_dict is missing"),
        ([1, 2], "state_dict is missing"),
        ({"state_dict": {}, "hyper_parameters": {"lr": 0.1}}, "something else than a plmlight task"),
        ({"state_dict": {}, "hyper_parameters": Thing()}, "holds objects that only running code"),
    ],
)
def test_a_foreign_file_is_refused(content: Any, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=message):
        read_checkpoint(tmp_path / "other.ckpt")


def test_a_text_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.ckpt").write_text("to be, or not to be")
    with pytest.raises(ValueError, match="not a checkpoint"):
        read_checkpoint(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("network.norm.bias"), r"tiny\.ckpt: the weight norm\.bias is missing$"),
        (lambda s: s.update({"network.extra": torch.zeros(1)}), r"tiny\.ckpt: the weight extra is left over$"),
        (lambda s: s.update({"network.norm.bias": torch.zeros(9)}), r"norm\.bias is \[9\], expected \[12\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(change: Any, message: str, file: Path) -> None:
    content = torch.load(file, weights_only=True)
    change(content["state_dict"])
    torch.save(content, file)
    with pytest.raises(ValueError, match=message):
        GPT.from_pretrained(str(file))


def test_a_network_of_another_class_is_refused(file: Path) -> None:
    class Other(GPT):
        pass

    with pytest.raises(ValueError, match=r"tiny\.ckpt: holds a GPT, expected a Other"):
        Other.from_pretrained(str(file))


class Twins(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Linear(3, 3), nn.Linear(3, 3)
        self.other.weight = self.one.weight
        self.register_buffer("table", torch.arange(4.0), persistent=False)


def test_tied_weights_stay_one() -> None:
    made = filled(Twins, Twins().state_dict(), "here")
    assert made.one.weight is made.other.weight


def test_what_is_not_saved_is_computed() -> None:
    assert torch.equal(filled(Twins, Twins().state_dict(), "here").get_buffer("table"), torch.arange(4.0))


def test_weights_that_should_be_tied_and_differ_are_named() -> None:
    state = Twins().state_dict()
    state["other.weight"] = state["one.weight"] + 1
    with pytest.raises(ValueError, match=r"here: other\.weight differs from one\.weight, but they are tied"):
        filled(Twins, state, "here")
