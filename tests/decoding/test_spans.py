import itertools

import numpy as np
import pytest

from plmlight.decoding.spans import QuestionWindow, Span, best_spans, question_windows, tokens_of
from plmlight.text import TokenizerKind, train_tokenizer

CONTEXT = (
    "The  tower, built in 1889 by G. Eiffel,\nis 330 m high. 它在巴黎，很高。 "
    + "Nobody knows more about it. " * 3
    + "The end."
)
QUESTION = "How high is it?"
KINDS: list[TokenizerKind] = ["wordpiece", "roberta", "byte-bpe", "t5", "xlnet", "character", "byte"]


def windows_of(kind: TokenizerKind, max_length: int | None, stride: int) -> list[QuestionWindow]:
    tokenizer = train_tokenizer([CONTEXT, QUESTION], kind, 400)
    (found,) = question_windows(tokenizer, [(QUESTION, CONTEXT)], max_length, stride)
    assert not isinstance(found, str)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [None, 64])
def test_what_tokens_span_is_exact(kind: TokenizerKind, max_length: int | None) -> None:
    windows = windows_of(kind, max_length, 8)
    assert len(windows) == 1 if max_length is None else all(len(window.ids) <= 64 for window in windows)
    covered = np.zeros(len(CONTEXT), bool)
    for window in windows:
        for start, end in zip(window.starts, window.ends, strict=True):
            assert not start < end or CONTEXT[start:end].strip() == CONTEXT[start:end]
            covered[start:end] = True
    assert "".join(np.array(list(CONTEXT))[covered]).split() == "".join(CONTEXT.split()).split()


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_has_the_whole_question_and_shares_tokens(kind: TokenizerKind) -> None:
    windows = windows_of(kind, 64, 8)
    first = windows[0]
    before = int(np.flatnonzero(first.ends > first.starts)[0])
    assert len(windows) > 1
    for one, other in itertools.pairwise(windows):
        assert other.ids[: before - 1] == first.ids[: before - 1]
        inside, then = ([ids for ids, end in zip(w.ids, w.ends, strict=True) if end] for w in (one, other))
        assert len(set(inside[-4:]) & set(then[:10]))


def test_a_short_answer_lies_in_some_window() -> None:
    start = CONTEXT.index("很高")
    windows = windows_of("character", 48, 8)
    found = [
        CONTEXT[window.starts[place[0]] : window.ends[place[1]]]
        for window, place in zip(windows, tokens_of(windows, start, start + 2), strict=True)
        if place is not None
    ]
    assert found
    assert set(found) == {"很高"}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("answer", ["  tower", "Eiffel,\n", " 它在巴黎，很高。 "])
def test_white_space_around_an_answer_does_not_count(kind: TokenizerKind, answer: str) -> None:
    windows, start = windows_of(kind, None, 8), CONTEXT.index(answer)
    ((first, last),) = filter(None, tokens_of(windows, start, start + len(answer)))
    assert CONTEXT[windows[0].starts[first] : windows[0].ends[last]] == answer.strip()
    assert tokens_of(windows, 3, 5) == [None]


def test_characters_that_a_tokenizer_drops_do_not_count() -> None:
    context = "Ann met \u200bBob\u0301\u200b in Rome."
    tokenizer = train_tokenizer([context, "Who?"], "wordpiece", 100, lowercase=True)
    (windows,) = question_windows(tokenizer, [("Who?", context)], None, 0)
    assert not isinstance(windows, str)
    ((first, last),) = filter(None, tokens_of(windows, 8, 14))
    assert context[windows[0].starts[first] : windows[0].ends[last]] == "Bob"


def test_a_window_that_begins_or_ends_within_a_span_has_it_not() -> None:
    windows = windows_of("character", 48, 8)
    one, other = windows[:2]
    begin, finish = other.starts[other.ends > 0].min(), one.ends.max()  # of what both have
    start, end = int(one.starts[one.starts < begin].max()), int(other.ends[other.ends > finish].min())
    assert tokens_of(windows, start, end) == [None] * len(windows)
    assert [place is not None for place in tokens_of(windows, int(begin), end)[:2]] == [False, True]
    assert [place is not None for place in tokens_of(windows, start, int(finish))[:2]] == [True, False]


def test_a_question_that_leaves_no_room_is_named() -> None:
    tokenizer = train_tokenizer([CONTEXT, QUESTION], "character", 400)
    found = question_windows(tokenizer, [(QUESTION, CONTEXT), ("x", "y")], len(QUESTION), 0)
    assert isinstance(found[0], str)
    assert f"the question has {len(QUESTION)} tokens" in found[0]
    assert not isinstance(found[1], str)


def test_the_best_spans_are_those_of_all_pairs() -> None:
    random = np.random.default_rng(0)
    for _ in range(20):
        length, longest = 17, 4
        first, last = random.normal(size=(2, length)).astype(np.float32)
        starts = np.where(np.arange(length) < 5, 0, 3 * np.arange(length))
        ends = np.where(starts > 0, starts + 2, 0)
        spans = [
            Span(float(first[i] + last[j]), int(starts[i]), int(ends[j]))
            for i in range(5, length)
            for j in range(i, min(i + longest, length))
        ]
        found = best_spans(first, last, starts, ends, longest, 6)
        wanted = sorted(spans, reverse=True)[:6]
        assert [span[1:] for span in found] == [span[1:] for span in wanted]
        assert [span.score for span in found] == pytest.approx([span.score for span in wanted])


def test_equal_spans_count_once_and_nothing_is_found_in_nothing() -> None:
    starts, ends = np.array([0, 4, 4, 4]), np.array([0, 5, 5, 5])  # three bytes of one character
    found = best_spans(np.array([9, 1, 2, 3], np.float32), np.array([9, 3, 2, 2.5], np.float32), starts, ends, 3, 5)
    assert found == [Span(5.5, 4, 5)]
    assert best_spans(np.ones(2, np.float32), np.ones(2, np.float32), np.zeros(2, int), np.zeros(2, int), 3, 5) == []


@pytest.mark.parametrize("size", [1, 3, 6])
def test_as_many_spans_as_there_are_of_characters_of_several_tokens(size: int) -> None:
    random = np.random.default_rng(0)
    starts = np.concatenate([[0], np.repeat(2 + np.arange(5), size), [0]])  # five characters of some bytes each
    ends = np.where(starts > 0, starts + 1, 0)
    for _ in range(10):
        first, last = random.normal(size=(2, len(starts))).astype(np.float32)
        first[1 : size + 1] += 10  # which the best spans all begin with
        best: dict[tuple[int, int], float] = {}
        for i, j in itertools.combinations_with_replacement(range(1, len(starts) - 1), 2):
            span = int(starts[i]), int(ends[j])
            best[span] = max(best.get(span, -np.inf), float(first[i] + last[j]))
        wanted = sorted(best, key=lambda span: -best[span])
        for n_best in (5, 15, 40):
            found = best_spans(first, last, starts, ends, len(starts), n_best)
            assert [(span.start, span.end) for span in found] == wanted[:n_best]


@pytest.mark.parametrize("size", [1, 3])
def test_of_equal_spans_the_earlier_and_then_the_shorter_comes_first(size: int) -> None:
    random = np.random.default_rng(0)
    starts = np.concatenate([[0], np.repeat(2 + np.arange(20), size), [0]])
    ends = np.where(starts > 0, starts + 1, 0)
    for levels in (1, 2, 3):
        first, last = random.integers(levels, size=(2, len(starts))).astype(np.float32)
        best: dict[tuple[int, int], float] = {}
        for i, j in itertools.combinations_with_replacement(range(1, len(starts) - 1), 2):
            span = int(starts[i]), int(ends[j])
            best[span] = max(best.get(span, -np.inf), float(first[i] + last[j]))
        wanted = sorted(best, key=lambda span: (-best[span], *span))
        for n_best in (1, 5, 50, 210):
            found = best_spans(first, last, starts, ends, len(starts), n_best)
            assert [(span.start, span.end) for span in found] == wanted[:n_best]
