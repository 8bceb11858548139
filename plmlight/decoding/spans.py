"""Answers as spans of a context: its windows, and the best spans of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

Places = NDArray[np.int32]


@dataclass(frozen=True)
class QuestionWindow:
    """A question with a part of its context, as a network reads it.

    Attributes:
        ids: of its tokens, T.
        type_ids: their segments, T.
        starts: [T], where a token of the context begins in it, in characters; 0 for all other tokens.
        ends: [T], where it ends; 0 for all other tokens, and so never after the beginning.
    """

    ids: list[int]
    type_ids: list[int]
    starts: Places
    ends: Places


class Span(NamedTuple):
    """A part of a context that may be the answer."""

    score: float
    start: int
    end: int


def question_windows(
    tokenizer: Tokenizer, pairs: Sequence[tuple[str, str]], max_length: int | None, stride: int
) -> list[list[QuestionWindow] | str]:
    """Cuts contexts into windows, each after its whole question.

    Args:
        tokenizer: cuts the texts, and puts its special tokens around them; its padding and truncation are switched off.
        pairs: questions with their contexts.
        max_length: tokens of a window at most, question and special tokens included; None for one window each.
        stride: how many tokens of the context two windows share, at most half of what they have of it.

    Returns:
        The windows of each pair, in the order of the context. What a token spans is exact, without the white space that
        some tokenizers count in. In place of the windows stands what is wrong with a pair: its question leaves no room.
    """
    tokenizer.no_padding()
    tokenizer.no_truncation()
    strides = [stride] * len(pairs)
    found: list[list[QuestionWindow] | str] = [[] for _ in pairs]
    if max_length is not None:
        special = tokenizer.num_special_tokens_to_add(True)
        questions = tokenizer.encode_batch([question for question, _ in pairs], add_special_tokens=False)
        for number, question in enumerate(questions):
            room = max_length - special - len(question.ids)
            strides[number] = min(stride, room // 2)
            if room < 1:
                found[number] = (
                    f"the question has {len(question.ids)} tokens, which leaves no room for the context: a window has "
                    f"{max_length} at most, {special} of them special"
                )
    for shared in sorted(set(strides)):
        numbers = [n for n, each in enumerate(strides) if each == shared and not isinstance(found[n], str)]
        if max_length is not None and numbers:
            tokenizer.enable_truncation(max_length, stride=shared, strategy="only_second")
        for number, encoding in zip(numbers, tokenizer.encode_batch([pairs[n] for n in numbers]), strict=True):
            context, inside = pairs[number][1], _context_of(encoding)
            found[number] = [_window(each, context, inside) for each in (encoding, *encoding.overflowing)]
    tokenizer.no_truncation()
    return found


def _window(encoding: Encoding, context: str, inside: slice) -> QuestionWindow:
    places, offsets = np.zeros((2, len(encoding.ids)), np.int32), encoding.offsets
    for token in range(*inside.indices(len(offsets))):
        start, end = offsets[token]
        piece = context[start:end]
        start, end = end - len(piece.lstrip()), start + len(piece.rstrip())
        places[:, token] = (start, end) if start < end else 0
    return QuestionWindow(encoding.ids, encoding.type_ids, places[0], places[1])


def _context_of(encoding: Encoding) -> slice:
    """Which tokens are the context's, the same for all windows, counted from either end.

    The library does not say it of the windows after the first where a tokenizer has no template.
    """
    texts = encoding.sequence_ids
    if 1 not in texts:
        return slice(0)
    return slice(texts.index(1), -texts[::-1].index(1) or None)


def tokens_of(windows: Sequence[QuestionWindow], start: int, end: int) -> list[tuple[int, int] | None]:
    """The first and the last token of a span of the context, in each of its windows.

    Characters at its ends that belong to no token (white space, what a tokenizer drops) do not count.

    Args:
        windows: all of the context.
        start: where the span begins in the context, in characters.
        end: where it ends.

    Returns:
        Places in each window; None where not all tokens of the span are in it, or there are none.
    """
    touched = [(window.starts < end) & (start < window.ends) for window in windows]
    both = list(zip(windows, touched, strict=True))
    first = min(window.starts.min(initial=end, where=inside) for window, inside in both)
    last = max(window.ends.max(initial=start, where=inside) for window, inside in both)
    found: list[tuple[int, int] | None] = []
    for window, inside in both:
        begins = np.flatnonzero(inside & (window.starts == first))
        finishes = np.flatnonzero(inside & (window.ends == last))
        found.append((int(begins[0]), int(finishes[-1])) if len(begins) and len(finishes) else None)
    return found


def best_spans(
    start_logits: NDArray[np.float32],
    end_logits: NDArray[np.float32],
    starts: NDArray[np.integer],
    ends: NDArray[np.integer],
    max_tokens: int,
    n_best: int,
) -> list[Span]:
    """The spans of a window with the highest scores, which are the sum of the two logits; all spans are looked at.

    Args:
        start_logits: [T].
        end_logits: [T].
        starts: [T], as in `QuestionWindow`.
        ends: [T].
        max_tokens: of an answer.
        n_best: how many at most; equal ones, of different tokens, count once.

    Returns:
        The best first, of equal scores the span that begins earlier, then the shorter one; none where the window has no
        token of the context.
    """
    inside = ends > starts
    length = len(starts)
    lowest = np.float32(-np.inf)
    first = np.where(inside, start_logits, lowest)
    last = np.concatenate([np.where(inside, end_logits, lowest), np.full(max_tokens, lowest)])
    scores = first[:, None] + np.lib.stride_tricks.sliding_window_view(last, max_tokens)[:length]  # [T, max_tokens]
    distances = -scores.ravel()
    possible = int(np.isfinite(distances).sum())
    wanted = 0
    found: dict[tuple[int, int], float] = {}
    while len(found) < n_best and wanted < possible:
        wanted = min(4 * max(n_best, wanted), possible)  # some are equal
        near = np.flatnonzero(distances <= np.partition(distances, wanted - 1)[wanted - 1])  # all that tie at the cut
        tokens, more = np.divmod(near, max_tokens)
        spans = starts[tokens], ends[tokens + more]
        found = {}
        for place in np.lexsort((spans[1], spans[0], distances[near])):
            found.setdefault((int(spans[0][place]), int(spans[1][place])), -float(distances[near[place]]))
            if len(found) == n_best:
                break
    return [Span(score, *span) for span, score in found.items()]
