"""Kneser-Ney against its formulas, written out once more over dictionaries, and on numbers worked out by hand."""

import itertools
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from nltk.lm import KneserNeyInterpolated
from nltk.lm.preprocessing import padded_everygram_pipeline

from plmlight.nn.counting import FALLBACK, Counts, count_ngrams, kneser_ney

START = "<s>"


def text(seed: int, vocab_size: int, length: int) -> list[list[int]]:
    """Documents whose tokens are more and less frequent."""
    rng = np.random.default_rng(seed)
    tokens = (rng.zipf(1.3, length) % vocab_size).tolist()
    ends = sorted({*rng.integers(1, length, 12).tolist(), length})
    return [tokens[a:b] for a, b in itertools.pairwise([0, *ends])]


def stream(documents: list[list[int]], vocab_size: int) -> np.ndarray:
    return np.array([token for document in documents for token in [vocab_size, *document]])


class Dictionaries:
    """Chen and Goodman 1999, sections 3 and 4.2, as a recursion over Python dictionaries."""

    def __init__(self, documents: list[list[int]], vocab_size: int, order: int, modified: bool) -> None:
        self.vocab_size, self.order = vocab_size, order
        sentences = [[START, *document] for document in documents]
        raw = {
            k: Counter(tuple(s[i - k + 1 : i + 1]) for s in sentences for i in range(1, len(s)) if i - k + 1 >= 0)
            for k in range(1, order + 1)
        }
        self.counts = {order: raw[order]}
        for k in range(1, order):
            before = Counter(ngram[1:] for ngram in raw[k + 1])
            self.counts[k] = Counter({g: before[g] if g[0] != START else n for g, n in raw[k].items()})
        self.discounts = {k: self.discount(counts, modified) for k, counts in self.counts.items()}

    @staticmethod
    def discount(counts: Counter[Any], modified: bool) -> list[float]:
        n = [sum(count == i for count in counts.values()) for i in range(5)]
        if not n[1] or not n[2] or (modified and not n[3]):
            return [0.0, *(FALLBACK if modified else [0.5] * 3)]
        y = n[1] / (n[1] + 2 * n[2])
        if not modified:
            return [0.0, y, y, y]
        found = [1 - 2 * y * n[2] / n[1], 2 - 3 * y * n[3] / n[2], 3 - 4 * y * n[4] / n[3]]
        return [0.0, *(found if min(found) > 0 else FALLBACK)]

    def probability(self, context: tuple[int | str, ...], word: int) -> float:
        shorter = self.probability(context[1:], word) if context else 1 / self.vocab_size
        k = len(context) + 1
        after = {g: c for g, c in self.counts[k].items() if g[:-1] == context}
        if not after:
            return shorter
        total = sum(after.values())
        taken = {g: self.discounts[k][min(c, 3)] for g, c in after.items()}
        own = (*context, word)
        return (after.get(own, 0) - taken.get(own, 0.0)) / total + sum(taken.values()) / total * shorter


@pytest.mark.parametrize("modified", [True, False])
@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_probabilities_are_the_formulas(order: int, modified: bool) -> None:
    documents, size = text(order, 14, 700), 15
    expected = Dictionaries(documents, size, order, modified)
    levels = count_ngrams(stream(documents, size), size, order)
    found = kneser_ney(levels, modified)
    for k, (level, estimates) in enumerate(zip(levels, found, strict=True), 1):
        np.testing.assert_allclose(estimates.discounts, expected.discounts[k][1:], atol=1e-12)
        ngrams = spelled(levels, k)
        assert len(ngrams) == len(level.words)
        for ngram, score in list(zip(ngrams, estimates.log_probabilities, strict=True))[:150]:
            if ngram != (size,):
                context = tuple(START if token == size else token for token in ngram[:-1])
                assert math.isclose(math.exp(score), expected.probability(context, ngram[-1]), rel_tol=1e-9)


def spelled(levels: list[Counts], k: int) -> list[tuple[int, ...]]:
    """The n-grams of a length, in the order of their numbers."""
    if k == 1:
        return [(int(word),) for word in levels[0].words]
    shorter, level = spelled(levels, k - 1), levels[k - 1]
    return [(*shorter[parent], int(word)) for parent, word in zip(level.parents, level.words, strict=True)]


def test_a_corpus_worked_out_by_hand() -> None:
    # "a b a b c" with one discount. Bigrams: <s>a 1, ab 2, ba 1, bc 1: n1 = 3, n2 = 1, so D = 3/5. Tokens were seen
    # after so many others: a 2 (<s>, b), b 1, c 1, together 4; n1 = 2, n2 = 1, so D = 1/2.
    # V = 4, of which d was never seen: p(d) = (3 * 1/2 / 4) / 4 = 3/32, p(b) = p(c) = (1/2)/4 + 3/32 = 7/32,
    # p(a) = (3/2)/4 + 3/32 = 15/32.
    # After a: b 2 of 2, so that p(b|a) = (2 - 3/5)/2 + (3/5)/2 * 7/32 and p(a|a) = (3/5)/2 * 15/32.
    # After b: a and c once each: p(a|b) = (1 - 3/5)/2 + (6/5)/2 * 15/32, p(c|b) = (2/5)/2 + (3/5) * 7/32.
    a, b, c, _ = range(4)
    levels = count_ngrams(stream([[a, b, a, b, c]], 4), 4, 2)
    one, two = kneser_ney(levels, modified=False)
    assert one.discounts == (0.5, 0.5, 0.5)
    np.testing.assert_allclose(two.discounts, 0.6)
    np.testing.assert_allclose(np.exp(one.log_probabilities), [15 / 32, 7 / 32, 7 / 32, 3 / 32, 0])
    np.testing.assert_allclose(np.exp(one.log_backoffs), [0.3, 0.6, 1, 1, 0.6])
    assert spelled(levels, 2) == [(a, b), (b, a), (b, c), (4, a)]
    expected = [0.7 + 0.3 * 7 / 32, 0.2 + 0.6 * 15 / 32, 0.2 + 0.6 * 7 / 32, 0.4 + 0.6 * 15 / 32]
    np.testing.assert_allclose(np.exp(two.log_probabilities), expected)


def test_too_little_text_takes_fixed_discounts() -> None:
    (one,) = kneser_ney(count_ngrams(stream([[0, 1, 2]], 4), 4, 1))
    assert one.discounts == FALLBACK
    np.testing.assert_allclose(np.exp(one.log_probabilities), [0.5 / 3 + 0.125] * 3 + [0.125, 0])


@pytest.mark.parametrize("chunk", [1, 7, 100, 699])
def test_chunks_change_nothing(chunk: int) -> None:
    tokens = stream(text(0, 14, 700), 15)
    for whole, parts in zip(count_ngrams(tokens, 15, 4), count_ngrams(tokens, 15, 4, chunk), strict=True):
        for name in ("starts", "words", "counts", "suffixes"):
            np.testing.assert_array_equal(getattr(whole, name), getattr(parts, name))


def test_bigrams_are_those_of_nltk_but_for_single_tokens() -> None:
    # nltk takes one discount, by hand, for all lengths, and leaves the shares of single tokens as they are; here they
    # are discounted too, and mixed with equal ones. What a context gives to its own tokens, and leaves over, agrees.
    documents, size = text(3, 14, 700), 15
    one, two = count_ngrams(stream(documents, size), size, 2)
    lower, upper = kneser_ney([one, two], modified=False)
    model = KneserNeyInterpolated(2, discount=upper.discounts[0])
    bigrams, words = padded_everygram_pipeline(2, [[str(token) for token in document] for document in documents])
    model.fit([[b for b in some if "</s>" not in b] for some in bigrams], (w for w in words if w != "</s>"))
    followed = np.bincount(two.suffixes, minlength=size + 1)
    for context, word, score in zip(two.parents, two.words, np.exp(upper.log_probabilities), strict=True):
        share = np.exp(lower.log_backoffs[context])
        single, theirs = np.exp(lower.log_probabilities[word]), followed[word] / followed.sum()
        name = START if context == size else str(context)
        assert math.isclose(score + share * (theirs - single), model.score(str(word), [name]), rel_tol=1e-9)
