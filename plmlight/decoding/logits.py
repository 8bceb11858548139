"""What is done to logits before a token is taken, as functions on arrays of any array-API library.

Each function serves a whole batch: a row has parameters of its own. `V` is the vocabulary, `B` the rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace, device, to_device

from plmlight.decoding.model import Array


def column(values: Sequence[float], like: Array) -> Array:
    """One number a row as a [B, 1] array of the type and on the device of ``like``."""
    return like_array(np.asarray(values, dtype=np.float32)[:, None], like)


def like_array(values: np.ndarray, like: Array) -> Array:
    """A numpy array as one of the library and on the device of ``like``."""
    return array_namespace(like).asarray(values, device=device(like))


def log_softmax(logits: Array) -> Array:
    """Logarithms of the probabilities that logits [B, V] stand for."""
    xp = array_namespace(logits)
    shifted = logits - xp.max(logits, axis=-1, keepdims=True)
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def penalise_repetition(logits: Array, seen: np.ndarray, penalties: Sequence[float]) -> Array:
    """Makes tokens that were seen less likely (CTRL, Keskar et al. 2019, arXiv:1909.05858, section 4.1).

    As in Hugging Face, and unlike the paper, negative logits are multiplied, so that the penalty always penalises.

    Args:
        logits: [B, V].
        seen: [B, V], true for the tokens that a row holds.
        penalties: one a row; 1 changes nothing.
    """
    xp = array_namespace(logits)
    penalty = column(penalties, logits)
    return xp.where(like_array(seen, logits), xp.where(logits < 0, logits * penalty, logits / penalty), logits)


def ban(logits: Array, tokens: Sequence[Sequence[int]]) -> Array:
    """Gives tokens the probability 0.

    Args:
        logits: [B, V].
        tokens: for each row, the tokens it must not take. Where that is all of them, the row is left as it is.
    """
    mask = np.zeros(tuple(logits.shape), dtype=np.bool_)
    for row, banned in enumerate(tokens):
        if len(set(banned)) < mask.shape[1]:
            mask[row, list(banned)] = True
    return array_namespace(logits).where(like_array(mask, logits), -float("inf"), logits)


def truncate(logits: Array, top_k: Sequence[int], top_p: Sequence[float], min_p: Sequence[float]) -> Array:
    """Gives all but the likely tokens the probability 0: top-k, then top-p of what is left, then min-p.

    Tokens as likely as the last one kept are kept too.

    Args:
        logits: [B, V], divided by the temperature.
        top_k: tokens to keep; 0 keeps all.
        top_p: probability to keep; 1 keeps all.
        min_p: share of the likeliest token's probability below which tokens go; 0 keeps all.
    """
    xp = array_namespace(logits)
    most = xp.max(logits, axis=-1, keepdims=True)
    threshold = xp.full_like(most, -float("inf"))
    if any(top_k) or min(top_p) < 1:
        ascending = xp.sort(logits, axis=-1, stable=False)
        size = logits.shape[-1]
        if any(top_k):
            index = np.asarray([[size - min(k, size) if k else 0] for k in top_k], dtype=np.int64)
            threshold = xp.take_along_axis(ascending, like_array(index, logits), axis=-1)
        if min(top_p) < 1:
            weights = xp.where(ascending < threshold, 0.0, xp.exp(ascending - most))
            share = xp.cumulative_sum(weights, axis=-1) / xp.sum(weights, axis=-1, keepdims=True)
            tail = column([1 - p if p < 1 else -1 for p in top_p], logits)
            nucleus = xp.where(share <= tail, float("inf"), ascending)
            threshold = xp.maximum(threshold, xp.min(nucleus, axis=-1, keepdims=True))
    if any(min_p):
        threshold = xp.maximum(threshold, most + column([float(np.log(p)) if p else -np.inf for p in min_p], logits))
    return xp.where(logits < xp.minimum(threshold, most), -float("inf"), logits)


def draw(logits: Array, uniforms: Sequence[float]) -> Array:
    """Samples a token a row by inverting the cumulative distribution.

    Args:
        logits: [B, V].
        uniforms: one number in [0, 1) a row, a multiple of 2**-23: then rounding can not reach the total.

    Returns:
        Token ids, [B].
    """
    xp = array_namespace(logits)
    weights = xp.exp(logits - xp.max(logits, axis=-1, keepdims=True))
    cumulative = xp.cumulative_sum(weights, axis=-1)
    reached = cumulative > column(uniforms, logits) * cumulative[:, -1:]
    return xp.argmax(xp.astype(reached, xp.uint8), axis=-1)


def likeliest(logits: Array, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The highest of each row, without sorting or copying all of it.

    One pass finds the peak of each block of neighbours; the highest ``count`` lie in the ``count`` blocks with the
    highest peaks, and only those are looked at again.

    Args:
        logits: [B, V].
        count: K; no more than V are given.

    Returns:
        Their values [B, K], best first, and their token ids [B, K]; of equals, the first.
    """
    xp = array_namespace(logits)
    rows, size = (int(length) for length in logits.shape)
    count = min(count, size)
    length = max(1, math.isqrt(size // count))
    whole = size // length
    peaks = xp.max(xp.reshape(logits[:, : whole * length], (rows, whole, length)), axis=-1)
    if whole * length < size:
        peaks = xp.concat([peaks, xp.max(logits[:, whole * length :], axis=-1, keepdims=True)], axis=1)
    blocks = _first(to_numpy(peaks), count)
    blocks.sort(axis=1)  # then the places below are in the order of the tokens
    places = (blocks[:, :, None] * length + np.arange(length)).reshape(rows, -1)  # [B, K * length]
    beyond = places >= size
    places[beyond] = size - 1
    values = to_numpy(xp.take_along_axis(logits, like_array(places, logits), axis=1))
    if beyond.any():
        values = np.where(beyond, -np.inf, values).astype(values.dtype)
    order = _first(values, count)
    return np.take_along_axis(values, order, 1), np.take_along_axis(places, order, 1)


def _first(values: np.ndarray, count: int) -> np.ndarray:
    """The places of the highest of each row of [B, N], best first; of equals, the first."""
    left = values.copy()
    rows = np.arange(len(left))
    places = np.empty((len(left), min(count, left.shape[1])), dtype=np.int64)
    taken = np.zeros(left.shape, dtype=np.bool_)
    for rank in range(places.shape[1]):
        place = left.argmax(1)
        lost = taken[rows, place]  # where only -inf is left, argmax does not move on
        if lost.any():
            place[lost] = taken[lost].argmin(1)
        places[:, rank] = place
        left[rows, place] = -np.inf
        taken[rows, place] = True
    return places


def normaliser(logits: Array, highest: np.ndarray) -> np.ndarray:
    """What to subtract from a row's distances to its highest logit, to get the logarithms of probabilities.

    Args:
        logits: [B, V].
        highest: the highest logit of each row, [B, 1].

    Returns:
        The logarithm of the summed exponentials of the distances, [B, 1].
    """
    xp = array_namespace(logits)
    rows, size = logits.shape
    # in pieces that stay in a processor's cache; an accelerator is better off with few calls
    at_once = max(1, _CACHED // size) if str(device(logits)) == "cpu" else rows
    most = like_array(highest, logits)
    sums: list[Array] = []
    for first in range(0, rows, at_once):
        part = slice(first, first + at_once)
        sums.append(xp.sum(xp.exp(logits[part, :] - most[part, :]), axis=-1, keepdims=True))
    return to_numpy(xp.log(xp.concat(sums, axis=0)))


_CACHED = 1 << 18


def to_numpy(values: Array) -> np.ndarray:
    """An array of any library and device as one of numpy."""
    return np.asarray(to_device(values, "cpu"))


def to_list(values: Array) -> list[int]:
    """An array of whole numbers as a list, from whatever device."""
    numbers: list[int] = to_device(values, "cpu").tolist()
    return numbers
