"""What rows carry from step to step."""

import pytest
import torch
from torch import Tensor

from plmlight.tasks import Carried


def rows(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)[:, None].expand(-1, 3).clone()


def test_a_row_goes_on_or_begins_anew() -> None:
    carried, empty = Carried(), (rows(0, 0), torch.tensor([-1, -1]))
    assert all(map(torch.equal, carried.take(True, torch.tensor([0, 0]), empty), empty))
    left = rows(1, 2).requires_grad_()
    carried.keep(True, (left * 2, torch.tensor([5, 6])))
    state = carried.take(True, torch.tensor([1, 0]), empty)
    assert torch.equal(state[0], rows(2, 0))
    assert state[1].tolist() == [5, -1]
    assert not state[0].requires_grad


def test_evaluation_has_its_own() -> None:
    carried, goes_on = Carried(), torch.tensor([1, 1])
    carried.keep(True, (rows(1, 2),))
    carried.keep(False, (rows(3, 4),))
    assert torch.equal(carried.take(True, goes_on, (rows(0, 0),))[0], rows(1, 2))
    assert torch.equal(carried.take(False, goes_on, (rows(0, 0),))[0], rows(3, 4))


def test_what_training_carries_lies_in_a_checkpoint() -> None:
    carried, restored = Carried(), Carried()
    carried.keep(True, (rows(1, 2), torch.tensor([5, 6])))
    carried.keep(False, (rows(3, 4), torch.tensor([7, 8])))
    restored.load(carried.save())
    assert restored.save().keys() == carried.save().keys()  # saved again before a step
    state = restored.take(True, torch.tensor([1, 1]), (rows(0, 0), torch.tensor([-1, -1])))
    assert torch.equal(state[0], rows(1, 2))
    assert state[1].tolist() == [5, 6]
    assert Carried().save() == {}


def test_nothing_to_go_on_with_is_refused() -> None:
    carried = Carried()
    with pytest.raises(ValueError, match=r"a batch of 2 rows is to go on .* but nothing was carried on"):
        carried.take(True, torch.tensor([1, 0]), (rows(0, 0),))
    carried.keep(True, (rows(1, 2, 3),))
    with pytest.raises(ValueError, match="but 3 rows were carried on"):
        carried.take(True, torch.tensor([1, 0]), (rows(0, 0),))
