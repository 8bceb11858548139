"""The n-gram model against dictionaries, a table of `torch.nn.Embedding`, and itself with and without cache."""

import itertools
from functools import partial

import numpy as np
import pytest
import torch

from plmlight import CausalLM, NGram
from plmlight.nn.counting import count_ngrams, kneser_ney

V, END = 15, 3
assert_close = partial(torch.testing.assert_close, atol=1e-5, rtol=0.0)
orders = pytest.mark.parametrize("order", [1, 2, 3, 5])


def counted(order: int, modified: bool = True, length: int = 401) -> tuple[CausalLM, np.ndarray]:
    """A model of a text in which `END` ends documents, counted in rows of 20 tokens as the data gives them."""
    tokens = np.random.default_rng(0).zipf(1.4, length) % V
    network = NGram(V, order, modified)
    for first in range(0, length - 1, 40):
        rows = [tokens[at : at + 21] for at in range(first, min(first + 40, length - 1), 20)]
        ids = torch.tensor(np.stack([np.pad(row, (0, 21 - len(row)), constant_values=-100) for row in rows]))
        mask, labels = (ids[:, :-1] >= 0).long(), ids[:, 1:]
        numbers = torch.arange(first // 20, first // 20 + len(rows))
        padded = ids[:, :-1].clamp(min=0)
        network.count({"input_ids": padded, "labels": labels, "attention_mask": mask, "sample_ids": numbers})
    network.estimate([END])
    return CausalLM(network).eval(), tokens


def back_off(order: int, tokens: np.ndarray, modified: bool, context: list[int]) -> np.ndarray:
    """The probabilities [V] after a context, of the estimates in dictionaries by the definition of back-off."""
    marked = np.insert(tokens, [0, *(np.flatnonzero(tokens[:-1] == END) + 1)], V)
    levels = count_ngrams(marked, V, order)
    estimates = kneser_ney(levels, modified)
    ngrams: list[list[tuple[int, ...]]] = [[(i,) for i in range(V + 1)]]
    for level in levels[1:]:
        pairs = zip(level.parents, level.words, strict=True)
        ngrams.append([(*ngrams[-1][parent], int(word)) for parent, word in pairs])
    scores = {
        g: e
        for some, found in zip(ngrams, estimates, strict=True)
        for g, e in zip(some, found.log_probabilities, strict=True)
    }
    shares = {
        g: e
        for some, found in zip(ngrams, estimates, strict=True)
        for g, e in zip(some, found.log_backoffs, strict=True)
    }
    starts = [i for i, token in enumerate(context) if token == END]
    if starts:
        context = [V, *context[starts[-1] + 1 :]]
    context = context[max(0, len(context) - order + 1) :]

    def score(history: tuple[int, ...], word: int) -> float:
        if (*history, word) in scores:
            return float(scores[(*history, word)])
        return float(shares.get(history, 0.0)) + score(history[1:], word)

    return np.array([score(tuple(context), word) for word in range(V)])


@pytest.mark.parametrize("modified", [True, False])
@orders
def test_scores_are_those_of_dictionaries(order: int, modified: bool) -> None:
    made, tokens = counted(order, modified)
    text = [*tokens[:9].tolist(), END, 0, 14, 14, 13, 1]
    found = made(torch.tensor([text]))["logits"][0]
    expected = np.stack([back_off(order, tokens, modified, text[: t + 1]) for t in range(len(text))])
    assert_close(found, torch.from_numpy(expected).float())


@pytest.mark.parametrize("length", [382, 399, 400, 401])
def test_all_tokens_are_counted_once_however_the_last_row_ends(length: int) -> None:
    made, tokens = counted(3, length=length)
    assert_close(
        made(torch.tensor([[1, 2]]))["logits"][0, -1], torch.from_numpy(back_off(3, tokens, True, [1, 2])).float()
    )


@orders
def test_probabilities_add_up_to_one_after_seen_and_unseen_contexts(order: int) -> None:
    made, _ = counted(order)
    ids = torch.tensor([list(pair) for pair in itertools.product(range(V), repeat=2)])
    ids = torch.cat([ids, torch.randint(V, (len(ids), 6))], 1)
    assert_close(made(ids)["logits"].exp().sum(-1), torch.ones(ids.shape))


def test_before_it_is_counted_all_tokens_are_equally_likely() -> None:
    assert_close(CausalLM(NGram(V, 3))(torch.tensor([[1, 2]]))["logits"], torch.full((1, 2, V), -np.log(V)).float())


def test_two_tokens_are_a_table_of_torch() -> None:
    made, _ = counted(2)
    every = torch.arange(V)
    table = torch.nn.Embedding.from_pretrained(made(every[:, None])["logits"][:, 0])
    ids = torch.randint(V, (3, 9))
    assert_close(made(ids)["logits"], table(ids))


@orders
def test_it_goes_on_where_it_stopped_with_padding_on_either_side(order: int) -> None:
    made, tokens = counted(order)
    network = made.network
    ids = torch.from_numpy(tokens[:24]).view(2, 12)
    whole = made.head(network(ids)[0])
    cache = network.empty_cache(2)
    found = []
    for step in ids.split([1, 4, 1, 6], 1):
        hidden, present = network(step, torch.ones(2, 12, dtype=torch.int64), cache)
        assert present is not None
        cache = present
        found.append(made.head(hidden))
    assert_close(torch.cat(found, 1), whole)
    for mask in ((0, 0, 0, 1, 1), (1, 1, 0, 0, 0), (1, 0, 0, 0, 1)):
        padded = torch.randint(V, (1, 5))
        padded[0, [i for i in range(5) if mask[i]]] = ids[0, :2]
        hidden, present = network(padded, torch.tensor([mask]), network.empty_cache(1))
        assert present is not None
        after = made.head(network(ids[:1, 2:], None, present)[0])
        assert_close(after, whole[:1, 2:])


def test_documents_of_a_row_do_not_see_each_other() -> None:
    made, tokens = counted(4)
    one, two = torch.from_numpy(tokens[:5])[None], torch.from_numpy(tokens[5:9])[None]
    packed = torch.cat([one, two], 1)
    found = made(packed, torch.tensor([[1] * 5 + [2] * 4]))["logits"]
    assert_close(found, torch.cat([made(one)["logits"], made(two)["logits"]], 1))


def test_the_loss_looks_up_what_the_scores_say() -> None:
    made, tokens = counted(4)
    ids, labels = torch.from_numpy(tokens[:60]).view(3, 20), torch.from_numpy(tokens[1:61]).view(3, 20).clone()
    labels[1, 3:9] = -100
    hidden, _ = made.network(ids)
    total, count = made.head.loss(hidden, labels)
    expected = torch.nn.functional.cross_entropy(made.head(hidden).flatten(0, 1), labels.flatten(), reduction="sum")
    torch.testing.assert_close(total, expected, rtol=1e-5, atol=0)
    assert count == 54


def test_tables_of_any_size_are_loaded() -> None:
    made, _ = counted(3)
    other = CausalLM(NGram(V, 3)).eval()
    other.load_state_dict(made.state_dict())
    ids = torch.randint(V, (2, 9))
    assert torch.equal(made(ids)["logits"], other(ids)["logits"])
    assert other.network.get_submodule("tables").sizes() == made.network.get_submodule("tables").sizes()  # type: ignore[operator]


def test_rows_out_of_order_are_refused() -> None:
    network = NGram(V, 3)
    ids = torch.arange(8).view(2, 4)
    with pytest.raises(ValueError, match="sequential"):
        network.count({"input_ids": ids, "labels": ids + 1, "sample_ids": torch.tensor([0, 2])})
    with pytest.raises(ValueError, match="overlap 1"):
        network.count({"input_ids": ids, "labels": ids, "sample_ids": torch.tensor([0, 1])})
    with pytest.raises(ValueError, match="nothing was counted"):
        network.estimate([])
    with pytest.raises(ValueError, match="order 0"):
        NGram(V, 0)
