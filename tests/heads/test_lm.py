import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.heads import LMHead, chunked_cross_entropy, cross_entropy


def reference(
    hidden: Tensor, weight: Tensor, bias: Tensor | None, labels: Tensor, label_smoothing: float = 0.0
) -> Tensor:
    logits = F.linear(hidden, weight, bias)
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(logits, labels, reduction="sum", label_smoothing=label_smoothing)


def inputs(rows: int = 23, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    hidden = torch.randn(rows, 8, dtype=dtype, requires_grad=True)
    weight = torch.randn(31, 8, dtype=dtype, requires_grad=True)
    bias = torch.randn(31, dtype=dtype, requires_grad=True)
    labels = torch.randint(31, (rows,))
    labels[::3] = -100
    return hidden, weight, bias, labels


@pytest.mark.parametrize("rows_at_once", [1, 7, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_value_and_gradients_equal_torch(
    monkeypatch: pytest.MonkeyPatch, rows_at_once: int, dtype: torch.dtype, tolerance: float, smoothing: float
) -> None:
    monkeypatch.setattr(cross_entropy, "_CHUNK_ELEMENTS", rows_at_once * 31)
    hidden, weight, bias, labels = inputs(dtype=dtype)
    ours = chunked_cross_entropy(hidden, weight, bias, labels, smoothing)
    expected = reference(hidden, weight, bias, labels, smoothing)
    torch.testing.assert_close(ours, expected, atol=tolerance, rtol=tolerance)
    for got, wanted in zip(
        torch.autograd.grad(0.3 * ours, (hidden, weight, bias)),
        torch.autograd.grad(0.3 * expected, (hidden, weight, bias)),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_autocast_equals_cross_entropy_of_bf16_logits(smoothing: float) -> None:
    hidden, weight, bias, labels = inputs(64)
    with torch.autocast("cpu", torch.bfloat16):
        ours = chunked_cross_entropy(hidden, weight, bias, labels, smoothing)
        expected = reference(hidden, weight, bias, labels, smoothing)
    torch.testing.assert_close(ours, expected)
    gradients = zip(
        torch.autograd.grad(ours, (hidden, weight)), torch.autograd.grad(expected, (hidden, weight)), strict=True
    )
    for got, wanted in gradients:
        assert got.dtype == torch.float32
        torch.testing.assert_close(got, wanted, atol=0.05, rtol=0.05)


def test_improbable_label_stays_finite() -> None:
    hidden = torch.tensor([[1000.0]], requires_grad=True)
    loss = chunked_cross_entropy(hidden, torch.tensor([[1.0], [0.0]]), None, torch.tensor([1]))
    assert loss.item() == 1000.0


def test_second_backward_is_refused() -> None:
    hidden, weight, bias, labels = inputs()
    loss = 0.5 * chunked_cross_entropy(hidden, weight, bias, labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="inplace"):
        loss.backward()


@pytest.mark.parametrize("select", [None, True, False])
def test_head_counts_only_labelled_positions(select: bool | None) -> None:
    head = LMHead(8, 31, bias=True)
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    labels = torch.randint(31, (2, 5))
    labels[0, 2:] = -100
    total, count = head.loss(hidden, labels, select=select)
    assert count.item() == 7
    expected = F.cross_entropy(head(hidden).flatten(0, 1), labels.flatten(), reduction="sum")
    torch.testing.assert_close(total, expected)
    (grad,) = torch.autograd.grad(total, hidden)
    assert (grad[0, 2:] == 0).all()
    assert (grad[0, :2] != 0).any()


@pytest.mark.parametrize("select", [True, False])
def test_the_heads_loss_is_smoothed_as_torchs(select: bool) -> None:
    head = LMHead(8, 31, bias=True, scale=0.5)
    hidden = torch.randn(2, 5, 8)
    labels = torch.randint(31, (2, 5))
    labels[0, 2:] = -100
    total, count = head.loss(hidden, labels, select=select, label_smoothing=0.1)
    logits = head(hidden).flatten(0, 1)
    expected = F.cross_entropy(logits, labels.flatten(), reduction="sum", label_smoothing=0.1)
    torch.testing.assert_close(total, expected)
    assert count.item() == 7


def test_no_labels_give_zero_and_zero_gradients() -> None:
    head = LMHead(8, 31)
    hidden = torch.randn(1, 3, 8, requires_grad=True)
    total, count = head.loss(hidden, torch.full((1, 3), -100))
    total.backward()
    assert (total.item(), count.item()) == (0.0, 0.0)
    assert hidden.grad is not None
    assert (hidden.grad == 0).all()


def test_nothing_is_kept_without_gradients() -> None:
    head = LMHead(8, 31)
    with torch.no_grad():
        total, _ = head.loss(torch.randn(1, 3, 8), torch.zeros(1, 3, dtype=torch.int64))
    assert not total.requires_grad


def test_tied_weight_is_the_same_parameter_and_must_fit() -> None:
    table = nn.Embedding(31, 8)
    assert LMHead(8, 31, weight=table.weight).weight is table.weight
    with pytest.raises(ValueError, match=r"\(31, 8\), expected \(31, 9\)"):
        LMHead(9, 31, weight=table.weight)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_memory_at_50k_is_a_quarter_of_full_logits(smoothing: float) -> None:
    rows, vocab = 1024, 50_000
    hidden = torch.randn(rows, 16, requires_grad=True)
    weight = torch.randn(vocab, 16, requires_grad=True)
    labels = torch.randint(vocab, (rows,))
    largest = 0

    class Largest(torch.utils._python_dispatch.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            nonlocal largest
            out = func(*args, **(kwargs or {}))
            if isinstance(out, Tensor):
                largest = max(largest, out.untyped_storage().nbytes())
            return out

    with Largest():  # type: ignore[no-untyped-call]
        chunked_cross_entropy(hidden, weight, None, labels, smoothing).backward()
    assert largest <= rows * vocab * 4 / 4
