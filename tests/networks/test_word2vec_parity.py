"""word2vec against the authors' formulas in numpy, and its tables against torch.nn.Embedding."""

import numpy as np
import pytest
import torch

from plmlight import NegativeSampling, Word2Vec
from plmlight.objectives import Batch, HierarchicalSoftmax, KeyedRandom, WindowObjective
from tests.objectives.windows import WINDOWS, pairs_of, window_batch

COUNTS = torch.tensor([0, 9, 7, 7, 4, 3, 1, 1, 1, 2])


def sigmoid(x: float) -> float:
    return float(1 / (1 + np.exp(-x)))


def tables(architecture: str) -> Word2Vec:
    network = Word2Vec(10, d_model=6, architecture=architecture)  # type: ignore[arg-type]
    torch.nn.init.normal_(network.input_table.weight)
    torch.nn.init.normal_(network.output_table.weight)
    return network.double()


def corrupted(objective: WindowObjective, batch: Batch) -> Batch:
    objective.use_counts(COUNTS)
    return objective.corrupt(batch, KeyedRandom(0, batch["sample_ids"], batch["epoch"]))


def test_vectors_are_those_of_torch_nn_embedding() -> None:
    network = Word2Vec(10, d_model=6)
    reference = torch.nn.Embedding.from_pretrained(network.input_table.weight.detach())
    ids = torch.tensor([3, 0, 9, 3])
    assert torch.equal(network(ids), reference(ids))


def test_it_begins_as_the_program_does() -> None:
    network = Word2Vec(1000, d_model=50)
    assert network.input_table.weight.abs().max() <= 0.5 / 50
    assert network.input_table.weight.std().item() == pytest.approx(1 / 50 / 12**0.5, rel=0.05)
    assert not network.output_table.weight.any()


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_negative_sampling_is_equation_4(architecture: str) -> None:
    network, objective = tables(architecture), NegativeSampling(negatives=3, shared=5)
    batch = corrupted(objective, window_batch())
    inputs, outputs = (t.weight.detach().numpy() for t in (network.input_table, network.output_table))
    total, count = 0.0, 0
    for row, centre, context in pairs_of(batch):
        vectors = [inputs[c] for c in context] if architecture == "skip-gram" else [inputs[context].mean(0)]
        for vector in vectors:
            total -= np.log(sigmoid(vector @ outputs[centre]))
            count += 1
            for drawn in batch["negative_ids"][row].tolist():
                total -= 3 / 5 * np.log(sigmoid(-vector @ outputs[drawn])) * (drawn != centre)
    ((loss, number),) = objective.loss(network, batch).values()
    assert loss.item() == pytest.approx(total, rel=1e-9)
    assert number.item() == count


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
def test_hierarchical_softmax_is_the_logarithm_of_the_probability(architecture: str) -> None:
    network, objective = tables(architecture), HierarchicalSoftmax()
    batch = corrupted(objective, window_batch())
    inputs, outputs = network.input_table.weight.detach(), network.output_table.weight.detach()
    total = 0.0
    for _, centre, context in pairs_of(batch):
        vectors = inputs[context] if architecture == "skip-gram" else inputs[context].mean(0, keepdim=True)
        total -= objective.log_probabilities(vectors, outputs)[:, centre].sum().item()
    ((loss, _),) = objective.loss(network, batch).values()
    assert loss.item() == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize("architecture", ["skip-gram", "cbow"])
@pytest.mark.parametrize("objective", [NegativeSampling(2, 4), HierarchicalSoftmax()], ids=["negatives", "tree"])
def test_the_gradients_are_autograds(architecture: str, objective: WindowObjective) -> None:
    network = tables(architecture)
    batch = corrupted(objective, window_batch())
    ((loss, _),) = objective.loss(network, batch).values()
    loss.backward()
    found = {id(parameter): torch.zeros_like(parameter) for parameter in network.parameters()}
    for each in objective.gradients(network, batch):
        found[id(each.table)].index_add_(0, each.rows, each.gradient)
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0.1
        assert torch.allclose(found[id(parameter)], parameter.grad, atol=1e-9)


def test_windows_end_at_documents_and_at_their_size() -> None:
    batch = window_batch()
    found = [(centre, context) for _, centre, context in pairs_of(batch)]
    assert found == WINDOWS
    pairs = sum(len(context) for _, context in found)
    ((_, number),) = HierarchicalSoftmax.loss(prepared(), tables("skip-gram"), batch).values()
    assert number.item() == pairs


def prepared() -> HierarchicalSoftmax:
    objective = HierarchicalSoftmax()
    objective.use_counts(COUNTS)
    return objective
