"""GloVe against the authors' formulas in numpy, and its tables against torch.nn.Embedding."""

import numpy as np
import pytest
import torch

from plmlight import CooccurrenceRegression, GloVe, NegativeSampling, Word2Vec, WordVectorModel
from plmlight.optim import RowAdaGrad


def pairs() -> dict[str, torch.Tensor]:
    return {
        "input_ids": torch.tensor([1, 2, 3, 1, 4, 2, 0]),
        "context_ids": torch.tensor([2, 1, 4, 3, 4, 2, 0]),
        "cooccurrences": torch.tensor([3.0, 150.0, 0.5, 100.0, 7.25, 2.0, 0.0]),
    }


def test_vectors_are_the_sum_of_two_torch_nn_embeddings() -> None:
    network = GloVe(5, d_model=4)
    tables = [
        torch.nn.Embedding.from_pretrained(t.weight.detach()) for t in (network.input_table, network.output_table)
    ]
    ids = torch.tensor([3, 0, 3])
    assert torch.equal(network(ids), tables[0](ids) + tables[1](ids))


def test_the_loss_is_half_of_equation_8() -> None:
    network, batch = GloVe(5, d_model=4).double(), pairs()
    total = 0.0
    w, v = network.input_table.weight.detach().numpy(), network.output_table.weight.detach().numpy()
    b, c = (bias.detach().numpy() for bias in biases(network))
    for i, j, x in zip(*(batch[name].tolist() for name in batch), strict=True):
        if x:
            total += 0.5 * min(1.0, (x / 100) ** 0.75) * (w[i] @ v[j] + b[i] + c[j] - np.log(x)) ** 2
    ((loss, count),) = CooccurrenceRegression().loss(network, batch).values()
    assert loss.item() == pytest.approx(total, rel=1e-6)
    assert count.item() == 6


def test_the_gradients_are_autograds() -> None:
    network, batch, objective = GloVe(5, d_model=4).double(), pairs(), CooccurrenceRegression()
    ((loss, _),) = objective.loss(network, batch).values()
    loss.backward()
    found = {id(parameter): torch.zeros_like(parameter) for parameter in network.parameters()}
    for each in objective.gradients(network, batch):
        found[id(each.table)].index_add_(0, each.rows, each.gradient)
    for parameter in network.parameters():
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0.1
        assert torch.allclose(found[id(parameter)], parameter.grad, atol=1e-9)


def biases(network: GloVe) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    assert network.input_bias is not None
    assert network.output_bias is not None
    return network.input_bias, network.output_bias


def reference(network: GloVe, batch: dict[str, torch.Tensor], eta: float) -> list[np.ndarray]:
    """The loop of the authors' program, pair by pair; sums of squares begin from 1, and hold eta."""
    state = [p.detach().numpy().copy() for p in (network.input_table.weight, network.output_table.weight)]
    state += [p.detach().numpy().copy() for p in biases(network)]
    sums = [np.ones_like(each) for each in state]
    for i, j, x in zip(*(batch[name].tolist() for name in batch), strict=True):
        difference = state[0][i] @ state[1][j] + state[2][i] + state[3][j] - np.log(x)
        pull = eta * min(1.0, (x / 100) ** 0.75) * difference
        steps = [pull * state[1][j], pull * state[0][i], pull, pull]
        for table, squares, place, step in zip(state, sums, (i, j, i, j), steps, strict=True):
            table[place] -= step / np.sqrt(squares[place])
            squares[place] += step**2
    return state


def test_training_pair_by_pair_is_the_authors_program() -> None:
    torch.manual_seed(3)
    words = 6
    counts = torch.rand(words, words).mul(200).double() + 0.5
    first, second = (each.reshape(-1) for each in torch.meshgrid(*[torch.arange(words)] * 2, indexing="ij"))
    batch = {"input_ids": first, "context_ids": second, "cooccurrences": counts.reshape(-1)}
    batch = {name: value.repeat(5) for name, value in batch.items()}
    network = GloVe(words, d_model=4).double()
    expected = reference(network, batch, eta=0.05)
    objective, optimizer = CooccurrenceRegression(sub_batch=1), RowAdaGrad()(network)
    for part in objective.parts_of(batch):
        for found in objective.gradients(network, part):
            optimizer.update(found.table, found.rows, found.gradient)
    trained = [network.input_table.weight, network.output_table.weight, *biases(network)]
    for ours, theirs in zip(trained, expected, strict=True):
        assert np.allclose(ours.detach().numpy(), theirs, atol=1e-12)


def test_the_regression_needs_biases() -> None:
    with pytest.raises(ValueError, match="needs the biases of GloVe, which Word2Vec lacks"):
        WordVectorModel(network=Word2Vec(5), objective=CooccurrenceRegression())


def test_a_glove_is_fitted_to_counts_and_a_word2vec_to_windows() -> None:
    assert isinstance(WordVectorModel(network=GloVe(5)).objective, CooccurrenceRegression)
    assert isinstance(WordVectorModel(network=Word2Vec(5)).objective, NegativeSampling)
