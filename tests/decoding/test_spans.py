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
    for window in windows_of("character", 48, 8):
        place = tokens_of(window, start, start + 2)
        if place is not None:
            assert CONTEXT[window.starts[place[0]] : window.ends[place[1]]] == "很高"
            break
    else:
        pytest.fail("no window has the answer")


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
