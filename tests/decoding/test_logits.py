from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    MinPLogitsWarper,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from plmlight.decoding import DecodingOptions
from plmlight.decoding.logits import draw, likeliest, log_softmax, normaliser
from plmlight.decoding.proposals import process
from plmlight.decoding.row import Row
from plmlight.decoding.search import Single

VOCAB = 40
CASES: list[tuple[dict[str, Any], list[Any]]] = [
    ({"temperature": 0.7}, [TemperatureLogitsWarper(0.7)]),
    ({"top_k": 5}, [TopKLogitsWarper(5)]),
    ({"top_k": 100}, [TopKLogitsWarper(100)]),
    ({"top_p": 0.6}, [TopPLogitsWarper(0.6)]),
    ({"top_p": 0.001}, [TopPLogitsWarper(0.001)]),
    ({"min_p": 0.1}, [MinPLogitsWarper(0.1)]),
    ({"min_p": 1.0}, [MinPLogitsWarper(1.0)]),
    ({"repetition_penalty": 1.7}, [RepetitionPenaltyLogitsProcessor(1.7)]),
    ({"repetition_penalty": 0.5}, [RepetitionPenaltyLogitsProcessor(0.5)]),
    ({"no_repeat_ngram_size": 1}, [NoRepeatNGramLogitsProcessor(1)]),
    ({"no_repeat_ngram_size": 2}, [NoRepeatNGramLogitsProcessor(2)]),
    ({"no_repeat_ngram_size": 3}, [NoRepeatNGramLogitsProcessor(3)]),
    (
        {
            "temperature": 1.3,
            "top_k": 12,
            "top_p": 0.8,
            "min_p": 0.05,
            "repetition_penalty": 1.2,
            "no_repeat_ngram_size": 2,
        },
        [
            RepetitionPenaltyLogitsProcessor(1.2),
            NoRepeatNGramLogitsProcessor(2),
            TemperatureLogitsWarper(1.3),
            TopKLogitsWarper(12),
            TopPLogitsWarper(0.8),
            MinPLogitsWarper(0.05),
        ],
    ),
]


def row_of(tokens: list[int], **options: Any) -> tuple[Single, Row]:
    row = Row(tokens[:4], DecodingOptions(**options), 100, None)
    for token in tokens[4:]:
        row.append(token)
    return Single(row, (0,)), row


def expected(tokens: list[int], logits: torch.Tensor, processors: list[Any]) -> torch.Tensor:
    ids = torch.tensor([tokens])
    scores = logits[None].clone()
    for processor in processors:
        scores = processor(ids, scores)
    return scores[0]


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("alone", [True, False])
def test_processors_are_those_of_transformers(library: str, alone: bool) -> None:
    """Each case alone in its batch, and all of them as rows of one."""
    generator = np.random.default_rng(0)
    logits = torch.from_numpy(generator.normal(size=(len(CASES), VOCAB)).astype(np.float32) * 3)
    histories = [generator.integers(0, 6, size=30).tolist() for _ in CASES]
    given: Any = logits if library == "torch" else logits.numpy()
    rows = [row_of(history, **options) for history, (options, _) in zip(histories, CASES, strict=True)]
    if alone:
        scores = torch.cat([torch.as_tensor(process(given[i : i + 1], [row])) for i, row in enumerate(rows)])
    else:
        scores = torch.as_tensor(process(given, rows))
    for i, (_, processors) in enumerate(CASES):
        wanted = expected(histories[i], logits[i], processors)
        torch.testing.assert_close(scores[i], wanted, rtol=1e-5, atol=1e-5)


def test_logits_of_the_model_are_not_written_to() -> None:
    logits = np.random.default_rng(0).normal(size=(1, VOCAB)).astype(np.float32)
    before = logits.copy()
    process(logits, [row_of([1, 2, 1, 2, 1, 2], repetition_penalty=2.0, no_repeat_ngram_size=2, top_k=3)])
    np.testing.assert_array_equal(logits, before)


def test_half_precision_is_processed_in_single() -> None:
    scores = process(np.zeros((1, VOCAB), dtype=np.float16), [row_of([1, 2, 3, 4])])
    assert scores.dtype == np.float32


def test_a_ban_of_everything_is_no_ban() -> None:
    scores = process(np.zeros((1, 3), dtype=np.float32), [row_of([0, 1, 2, 0], no_repeat_ngram_size=1)])
    assert np.isfinite(scores).all()


def test_min_new_tokens_forbids_the_end() -> None:
    logits = np.zeros((2, VOCAB), dtype=np.float32)
    early, late = (row_of(list(range(size)), min_new_tokens=3, eos_token_id=(7, 8)) for size in (6, 7))
    scores = process(logits, [early, late])
    assert np.isneginf(scores[0, 7:9]).all()
    assert np.isfinite(scores[1]).all()


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_draws_follow_the_distribution(library: str) -> None:
    probabilities = np.asarray([0.0, 0.5, 0.2, 0.0, 0.3], dtype=np.float32)
    with np.errstate(divide="ignore"):
        logits = np.tile(np.log(probabilities), (20000, 1))
    uniforms = np.random.default_rng(0).integers(1 << 23, size=20000) / (1 << 23)
    tokens = draw(torch.from_numpy(logits) if library == "torch" else logits, uniforms.tolist())
    shares = np.bincount(np.asarray(tokens), minlength=5) / 20000
    np.testing.assert_allclose(shares, probabilities, atol=0.012)
    assert shares[0] == shares[3] == 0


def test_the_largest_uniform_never_draws_the_impossible() -> None:
    logits = np.where(np.arange(1000) < 999, np.random.default_rng(0).normal(size=(50, 1000)), -np.inf)
    tokens = draw(logits.astype(np.float32), [1 - 2.0**-23] * 50)
    assert (tokens < 999).all()


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize(("size", "count"), [(1, 1), (5, 9), (97, 3), (1000, 8), (1023, 40)])
def test_the_likeliest_are_those_of_a_stable_sort(library: str, size: int, count: int) -> None:
    """With ties, of which the first come first, and with tokens that must not come."""
    logits = np.random.default_rng(size).integers(-9, 9, (7, size)).astype(np.float32)
    logits[2, 1:] = -np.inf
    order = np.argsort(-logits, axis=1, kind="stable")[:, :count]
    values, tokens = likeliest(torch.from_numpy(logits) if library == "torch" else logits, count)
    np.testing.assert_array_equal(tokens, order)
    np.testing.assert_array_equal(values, np.take_along_axis(logits, order, 1))


@pytest.mark.parametrize("library", ["numpy", "torch"])
@pytest.mark.parametrize("size", [50, 70_000])
def test_the_normaliser_is_that_of_log_softmax(library: str, size: int) -> None:
    logits = np.random.default_rng(0).normal(size=(9, size)).astype(np.float32) * 5
    given: Any = torch.from_numpy(logits) if library == "torch" else logits
    highest = logits.max(-1, keepdims=True)
    rest = normaliser(given, highest)
    np.testing.assert_allclose((logits - highest) - rest, np.asarray(log_softmax(given)), rtol=1e-6, atol=1e-6)
