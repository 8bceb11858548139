import pytest
import torch

from plmlight.heads import Pooler, pool

HIDDEN = torch.tensor([[[1.0, -5.0], [3.0, -1.0], [9.0, 7.0]], [[2.0, 0.0], [4.0, 6.0], [0.0, 1.0]]])
MASK = torch.tensor([[1, 1, 0], [0, 1, 1]])


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("mean", [[2.0, -3.0], [2.0, 3.5]]),
        ("max", [[3.0, -1.0], [4.0, 6.0]]),
        ("cls", [[1.0, -5.0], [4.0, 6.0]]),
    ],
)
def test_padding_has_no_part(how: str, expected: list[list[float]]) -> None:
    assert pool(HIDDEN, MASK, how).tolist() == expected


@pytest.mark.parametrize("how", ["mean", "max", "cls"])
def test_no_mask_is_one_without_padding(how: str) -> None:
    assert torch.equal(pool(HIDDEN, None, how), pool(HIDDEN, torch.ones_like(MASK), how))


def test_the_last_token_that_is_no_padding() -> None:
    assert pool(HIDDEN, MASK, "cls", last=True).tolist() == [[3.0, -1.0], [0.0, 1.0]]
    assert pool(HIDDEN, None, "cls", last=True).tolist() == [[9.0, 7.0], [0.0, 1.0]]
    assert pool(HIDDEN, MASK * 2, "cls", last=True).tolist() == [[3.0, -1.0], [0.0, 1.0]]
    pooler = Pooler(2, last=True)
    assert torch.equal(pooler(HIDDEN, MASK), pooler.dense(pool(HIDDEN, MASK, "cls", last=True)).tanh())


def test_another_way_is_an_error() -> None:
    with pytest.raises(ValueError, match="pooling 'sum' is not known: expected mean, max or cls"):
        pool(HIDDEN, MASK, "sum")
