"""Bags of vectors against `torch.nn.EmbeddingBag`, which is fastText's average."""

from functools import partial

import torch

from plmlight import BagOfVectors, SentenceEmbedding

V = 40
assert_close = partial(torch.testing.assert_close, atol=1e-6, rtol=0.0)


def test_the_mean_is_that_of_torchs_bag() -> None:
    network = BagOfVectors(V, 6).eval().requires_grad_(False)
    ids = torch.randint(V, (3, 9))
    mask = torch.ones(3, 9, dtype=torch.int64)
    mask[0, :4] = mask[1, 5:] = 0
    theirs = torch.nn.EmbeddingBag.from_pretrained(network.token_embedding.weight, mode="mean")
    found = SentenceEmbedding(network).eval()(ids, mask)["sentence_embedding"]
    for row, seen in enumerate(mask.bool()):
        assert_close(found[row], theirs(ids[row, seen][None])[0])


def test_no_token_sees_another() -> None:
    network, ids = BagOfVectors(V, 6).eval(), torch.randint(V, (2, 5))
    assert torch.equal(network(ids), network.token_embedding(ids))
    assert torch.equal(network(ids.flip(1)).flip(1), network(ids))
