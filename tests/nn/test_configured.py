from typing import Any

import pytest
import torch
from torch import nn

import plmlight
from plmlight.nn import Configured, build, class_path, config_of


class Leaf(Configured):
    def __init__(self, number: int, words: tuple[str, ...] = ("a", "b"), table: dict[Any, float] | None = None) -> None:
        self.number, self.words, self.table = number, words, table


class Tree(Configured, nn.Module):
    def __init__(self, left: Leaf, right: Leaf | None = None) -> None:
        super().__init__()
        self.left, self.right = left, right


class Taller(Tree):
    def __init__(self, height: int) -> None:
        super().__init__(Leaf(height))
        self.height = height


class Foreign:
    def __init__(self, number: int = 0) -> None:
        raise AssertionError("a foreign class was called")


HERE = Leaf.__module__


def test_arguments_are_recorded_with_their_defaults() -> None:
    expected = {"number": 3, "words": ["a", "b"], "table": {"x": 0.5}}
    assert config_of(Leaf(3, table={"x": 0.5})) == {"class_path": f"{HERE}.Leaf", "init_args": expected}


def test_objects_nest_and_come_back() -> None:
    config = config_of(Tree(Leaf(1), right=Leaf(2, ())))
    again = build(config)
    assert isinstance(again, Tree)
    assert (again.left.number, again.right.number if again.right else None) == (1, 2)
    assert config_of(again) == config


def test_keys_stay_what_they_are() -> None:
    config = config_of(Leaf(1, table={True: 0.5, 2: 0.25, "x": 1.0}))
    assert build(config).table == {True: 0.5, 2: 0.25, "x": 1.0}


def test_a_subclass_is_recorded_by_its_own_arguments() -> None:
    assert config_of(Taller(7)) == {"class_path": f"{HERE}.Taller", "init_args": {"height": 7}}


def test_a_network_is_named_by_its_short_public_path() -> None:
    assert class_path(plmlight.GPT) == "plmlight.GPT"


def test_a_network_survives_torch_load_with_weights_only(tmp_path: Any) -> None:
    network = plmlight.GPT(vocab_size=11, d_model=8, num_layers=1, num_heads=2, windows=(None, 4))
    torch.save(config_of(network), tmp_path / "config.pt")
    config = torch.load(tmp_path / "config.pt", weights_only=True)
    again = build(config)
    assert config_of(again) == config
    assert again.state_dict().keys() == network.state_dict().keys()


def test_what_cannot_be_rebuilt_is_not_stored() -> None:
    with pytest.raises(ValueError, match=r"Linear cannot be stored in a checkpoint: derive Linear from"):
        config_of(Tree(nn.Linear(2, 2)))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (f"{HERE}.Foreign", "is not a class derived from plmlight.nn.Configured"),
        ("os.system", "is not a class derived from plmlight.nn.Configured"),
        ("no.such.thing", "cannot be imported"),
        ("justaname", "cannot be imported"),
    ],
)
def test_foreign_classes_are_never_called(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build({"class_path": path, "init_args": {}})


def test_arguments_that_the_class_does_not_take_are_named() -> None:
    with pytest.raises(ValueError, match=r"plmlight\.GPT: got an unexpected keyword argument 'width'"):
        build({"class_path": "plmlight.GPT", "init_args": {"vocab_size": 5, "width": 3}})
