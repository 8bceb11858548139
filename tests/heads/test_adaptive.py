"""The adaptive softmax against its formula, and against a softmax over all words."""

from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from plmlight.heads import AdaptiveHead, AdaptiveSoftmax, Softmax
from plmlight.optim.factory import parameter_kinds

V, D = 30, 8
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)


def head() -> AdaptiveHead:
    torch.manual_seed(0)
    made = AdaptiveHead(D, V, [5, 12], div_value=2.0, weight_std=0.5)
    made.use_counts(torch.randint(1000, (V,)))
    return made


def test_log_probabilities_are_the_formulas() -> None:
    made, hidden = head(), torch.randn(3, 4, D)
    found = made(hidden).detach().numpy()
    first, *clusters = (w.detach().numpy() for w in (made.weight, *made.clusters))
    narrow = [weight.detach().numpy() for weight in made.narrow.parameters()]

    def softmax(scores: np.ndarray) -> np.ndarray:
        powers = np.exp(scores - scores.max())
        normalised: np.ndarray = powers / powers.sum()
        return normalised

    for place in np.ndindex(3, 4):
        h = hidden.numpy()[place]
        shared = softmax(first @ h)
        ranked = [shared[:5]]
        for i, (small, cluster) in enumerate(zip(narrow, clusters, strict=True)):
            ranked.append(shared[5 + i] * softmax(cluster @ (small @ h)))
        np.testing.assert_allclose(np.exp(found[place]), np.concatenate(ranked)[made.rank.numpy()], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=1e-5)


def test_it_is_that_of_torch() -> None:
    made, hidden = head(), torch.randn(50, D)
    theirs = nn.AdaptiveLogSoftmaxWithLoss(D, V, [5, 12], div_value=2.0)
    state: dict[str, Tensor] = {"head.weight": made.weight}
    for i, (narrow, cluster) in enumerate(zip(made.narrow.parameters(), made.clusters, strict=True)):
        state |= {f"tail.{i}.0.weight": narrow, f"tail.{i}.1.weight": cluster}
    theirs.load_state_dict(state)
    assert_close(made(hidden), theirs.log_prob(hidden)[:, made.rank])


def test_loss_and_gradients_are_those_of_all_scores() -> None:
    made, hidden, labels = head(), torch.randn(6, 7, D, requires_grad=True), torch.randint(V, (6, 7))
    labels[0, :3] = -100
    scores = made(hidden)
    expected = nn.functional.cross_entropy(scores.flatten(0, 1), labels.flatten(), reduction="sum")
    wanted = torch.autograd.grad(expected, [hidden, *made.parameters()])
    for select in (True, False, None):
        total, count = made.loss(hidden, labels, select=select)
        assert_close(total, expected)
        assert count == 39
        for mine, theirs in zip(torch.autograd.grad(total, [hidden, *made.parameters()]), wanted, strict=True):
            assert_close(mine, theirs)


def test_a_cluster_that_no_label_is_of_costs_nothing_but_breaks_nothing() -> None:
    made = head()
    first = torch.argsort(made.rank)[:3]
    total, _ = made.loss(torch.randn(3, D), first)
    total.backward()
    assert all(cluster.grad is None or cluster.grad.eq(0).all() for cluster in made.clusters)


def test_frequent_ids_come_first_and_an_order_that_is_known_stays() -> None:
    made = AdaptiveHead(D, 5, [2])
    assert made.rank.tolist() == [0, 1, 2, 3, 4]
    made.use_counts(torch.tensor([1, 9, 3, 5]))  # the last id was never seen
    assert made.rank.tolist() == [3, 0, 2, 1, 4]
    made.use_counts(torch.tensor([9, 1, 3, 5]))
    assert made.rank.tolist() == [3, 0, 2, 1, 4]
    again = AdaptiveHead(D, 5, [2])
    again.load_state_dict(made.state_dict())
    again.use_counts(torch.tensor([9, 1, 3, 5]))
    assert again.rank.tolist() == [3, 0, 2, 1, 4]
    with pytest.raises(ValueError, match="6 token counts came for a vocabulary of 5"):
        AdaptiveHead(D, 5, [2]).use_counts(torch.ones(6, dtype=torch.int64))


@pytest.mark.parametrize("cutoffs", [[], [0], [30], [5, 5], [12, 5]])
def test_cutoffs_outside_or_out_of_order_are_refused(cutoffs: list[int]) -> None:
    with pytest.raises(ValueError, match=r"expected at least one, ascending, from 1 to 29"):
        AdaptiveHead(D, V, cutoffs)


def test_projections_make_heads() -> None:
    assert Softmax(bias=True)(D, V, None).bias is not None
    made = AdaptiveSoftmax()(D, 800, None)
    assert made.cutoffs == (100, 400)
    assert {name for name, _ in parameter_kinds(made)["tables"]} == {"weight"}
    with pytest.raises(ValueError, match="tie_head"):
        AdaptiveSoftmax()(D, V, torch.zeros(V, D))
    with pytest.raises(ValueError, match="label_smoothing"):
        made.loss(torch.zeros(1, D), torch.zeros(1, dtype=torch.int64), label_smoothing=0.1)
