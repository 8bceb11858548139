"""The CRF against sums and maxima over all sequences of tags."""

import itertools

import pytest
import torch
from torch import Tensor

from plmlight.heads import LinearChainCRF
from plmlight.text.tagging import scheme_of, transitions

LABELS = ["O", "B-X", "I-X"]


def crf(allowed: bool = False, scale: float = 1.0) -> LinearChainCRF:
    torch.manual_seed(1)
    head = LinearChainCRF(3, transitions(LABELS, scheme_of(LABELS)) if allowed else None).double()
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return head


def worth(head: LinearChainCRF, emissions: Tensor, tags: tuple[int, ...]) -> Tensor:
    total = head.start[tags[0]] + head.end[tags[-1]]
    for place, tag in enumerate(tags):
        total = total + emissions[place, tag]
        if place:
            total = total + head.pairs[tags[place - 1], tag]
    return total


def enumerated(head: LinearChainCRF, emissions: Tensor, count: int) -> dict[tuple[int, ...], Tensor]:
    return {tags: worth(head, emissions, tags) for tags in itertools.product(range(3), repeat=count)}


EMISSIONS = torch.randn(4, 5, 3, dtype=torch.double, generator=torch.Generator().manual_seed(2))
COUNTS = torch.tensor([5, 1, 3, 0])


@pytest.mark.parametrize("scale", [1.0, 15.0])
def test_the_partition_is_the_sum_over_all_sequences(scale: float) -> None:
    head = crf(scale=scale)
    found = head.log_partition(EMISSIONS * scale, COUNTS)
    for row, count in enumerate(COUNTS.tolist()):
        expected = torch.stack(list(enumerated(head, EMISSIONS[row] * scale, count).values())) if count else None
        wanted = expected.logsumexp(0) if expected is not None else torch.zeros(())
        torch.testing.assert_close(found[row], wanted.double(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("height", [0, 90])
def test_far_apart_transitions_and_emissions_lose_nothing_in_float32(height: int) -> None:
    head, emissions = crf(), 100 * EMISSIONS[:, :4]
    head.pairs.data = torch.tensor([[35.0, -35, 35], [-35, -35, 35], [35, 35, -35]], dtype=torch.double) + height
    counts = torch.full((4,), 4)
    expected = torch.stack([torch.stack(list(enumerated(head, row, 4).values())).logsumexp(0) for row in emissions])
    found = head.float().log_partition(emissions.float(), counts)
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("apart", [60.0, 80.0, 200.0, 1e4])
def test_transitions_that_are_any_distance_apart_count_right_in_float32(apart: float) -> None:
    head, emissions = crf(), apart * EMISSIONS[:, :4]
    head.pairs.data = head.pairs.data.sign() * apart / 2
    emissions[0, :, :2] = torch.tensor([[apart / 2, 0], [0, 2 * apart], [0, 0], [0, 0]])
    head.pairs.data[:, 1] = torch.tensor([-apart, 0, -apart], dtype=torch.double)
    exact, found = emissions.clone().requires_grad_(), emissions.float().requires_grad_()
    wanted = torch.stack([torch.stack(list(enumerated(head, row, 4).values())).logsumexp(0) for row in exact])
    wanted.sum().backward()
    gradients = [parameter.grad for parameter in head.parameters()]
    head.zero_grad()
    partition = head.float().log_partition(found, torch.full((4,), 4))
    partition.sum().backward()
    torch.testing.assert_close(partition.double(), wanted, rtol=1e-6, atol=0)
    for mine, theirs in zip([found.grad, *(p.grad for p in head.parameters())], [exact.grad, *gradients], strict=True):
        assert mine is not None
        torch.testing.assert_close(mine.double(), theirs, rtol=0, atol=1e-3)


@pytest.mark.parametrize("lowest", [-50.0, -110.0, -1e4])
def test_no_transition_is_too_low_to_learn(lowest: float) -> None:
    head, emissions = crf().float(), (100 * EMISSIONS).float().requires_grad_()
    head.pairs.data[:] = torch.tensor([[50.0, lowest, 0], [50, lowest, lowest], [lowest, lowest, 50]])
    labels = torch.tensor([0, 1, 1, 0, 2]).expand(4, 5)
    head.negative_log_likelihood(emissions, labels, COUNTS).sum().backward()
    assert emissions.grad is not None
    for found in (emissions.grad, *(parameter.grad for parameter in head.parameters())):
        assert found is not None
        assert found.isfinite().all()


def test_gradients_are_those_of_the_sum_over_all_sequences() -> None:
    head, emissions = crf(), EMISSIONS.clone().requires_grad_()
    labels = torch.tensor([[0, 1, 2, 2, 0], [1, -100, -100, -100, -100], [2, 0, 1, 7, 7], [-100] * 5])
    head.negative_log_likelihood(emissions, labels, COUNTS).sum().backward()
    found = [emissions.grad, *(parameter.grad for parameter in head.parameters())]
    other = EMISSIONS.clone().requires_grad_()
    head.zero_grad()
    total: Tensor = torch.zeros((), dtype=torch.double)
    for row, count in enumerate(COUNTS.tolist()):
        if count:
            values = enumerated(head, other[row], count)
            total = (
                total + torch.stack(list(values.values())).logsumexp(0) - values[tuple(labels[row, :count].tolist())]
            )
    total.backward()
    for mine, theirs in zip(found, [other.grad, *(parameter.grad for parameter in head.parameters())], strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("allowed", [False, True])
def test_what_is_decoded_is_worth_most(allowed: bool) -> None:
    head = crf(allowed)
    found = head.decode(EMISSIONS, COUNTS)
    for row, count in enumerate(COUNTS.tolist()):
        if not count:
            continue
        values = enumerated(head, EMISSIONS[row], count)
        if allowed:
            values = {
                tags: value
                for tags, value in values.items()
                if tags[0] != 2 and all(pair != (0, 2) for pair in itertools.pairwise(tags))
            }
        assert tuple(found[row, :count].tolist()) == max(values, key=lambda tags: float(values[tags].detach()))


def test_what_follows_the_words_changes_nothing() -> None:
    head = crf()
    longer = torch.cat([EMISSIONS, 9 * torch.ones(4, 2, 3, dtype=torch.double)], 1)
    torch.testing.assert_close(head.log_partition(longer, COUNTS), head.log_partition(EMISSIONS, COUNTS))
    decoded, expected = head.decode(longer, COUNTS), head.decode(EMISSIONS, COUNTS)
    for row, count in enumerate(COUNTS.tolist()):
        assert decoded[row, :count].tolist() == expected[row, :count].tolist()


def test_a_row_without_words_costs_nothing() -> None:
    found = crf().negative_log_likelihood(EMISSIONS, torch.full((4, 5), -100), torch.zeros(4, dtype=torch.long))
    assert found.tolist() == [0.0] * 4


def test_it_learns_what_follows_what() -> None:
    head = LinearChainCRF(3)
    optimizer = torch.optim.Adam(head.parameters(), 0.1)
    labels = torch.tensor([[0, 1, 2, 0, 1, 2]])
    emissions, counts = torch.zeros(1, 6, 3), torch.tensor([6])
    for _ in range(100):
        optimizer.zero_grad()
        head.negative_log_likelihood(emissions, labels, counts).sum().backward()
        optimizer.step()
    assert head.decode(emissions, counts).tolist() == labels.tolist()
    assert head.negative_log_likelihood(emissions, labels, counts).item() < 0.1
