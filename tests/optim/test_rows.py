import pytest
import torch

from plmlight.optim import RowAdaGrad, RowSGD


def table() -> torch.nn.Embedding:
    torch.manual_seed(1)
    return torch.nn.Embedding(6, 3).double()


ROWS, GRADIENT = torch.tensor([4, 1, 4]), torch.arange(9.0).double().view(3, 3)


def test_sgd_is_torchs_on_the_sum() -> None:
    ours, theirs = table(), table()
    RowSGD(0.1)(ours).update(ours.weight, ROWS, GRADIENT)
    theirs.weight.grad = torch.zeros(6, 3).double().index_add_(0, ROWS, GRADIENT)
    torch.optim.SGD(theirs.parameters(), 0.1).step()
    assert torch.allclose(ours.weight, theirs.weight)


def test_adagrad_is_torchs_one_step_late() -> None:
    ours = table()
    optimizer = RowAdaGrad(lr=0.1, initial=2.0)(ours)
    before = ours.weight.detach().clone()
    optimizer.update(ours.weight, ROWS[:2], GRADIENT[:2])
    assert torch.allclose(before[ROWS[:2]] - ours.weight[ROWS[:2]], 0.1 * GRADIENT[:2] / 2**0.5)
    between = ours.weight.detach().clone()
    optimizer.update(ours.weight, ROWS[:2], GRADIENT[:2])
    expected = 0.1 * GRADIENT[:2] / (2 + GRADIENT[:2] ** 2).sqrt()
    assert torch.allclose(between[ROWS[:2]] - ours.weight[ROWS[:2]], expected)


def test_rows_of_many_predictions_go_less_far() -> None:
    ours = table()
    before = ours.weight.detach().clone()
    optimizer = RowSGD(0.1, most=2.0)(ours)
    weights = torch.tensor([30.0, 5.0, 10.0]).double()
    for _ in range(2):  # what one step added up is forgotten in the next
        optimizer.update(ours.weight, ROWS, GRADIENT, weights)
    change = before - ours.weight
    assert torch.allclose(change[1], 2 * 0.1 * GRADIENT[1])
    assert torch.allclose(change[4], 2 * 0.1 * (GRADIENT[0] + GRADIENT[2]) * 2.0 / (0.1 * 40))
    assert not change[[0, 2, 3, 5]].any()


@pytest.mark.parametrize("factory", [lambda: RowSGD(most=0.0), lambda: RowAdaGrad(initial=0.0)])
def test_numbers_out_of_range_are_refused(factory: object) -> None:
    assert callable(factory)
    with pytest.raises(ValueError, match=r"(most|initial) 0.0 must be more than 0"):
        factory()
