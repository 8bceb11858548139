"""Which word of a sentence is asked about, however a request says it."""

import re
from typing import Any

import pytest

from plmlight.decoding.predicates import read_clause

TEXT = "She had given what she had."


@pytest.mark.parametrize(
    ("record", "words", "predicate"),
    [
        ({"text": "She [gave] it away."}, ["She", "gave", "it", "away", "."], (1, 2)),
        ({"text": "She [gave up] smoking"}, ["She", "gave", "up", "smoking"], (1, 3)),
        ({"text": "他们昨天[开会]了"}, list("他们昨天开会了"), (4, 6)),
        ({"text": TEXT, "predicate": "given"}, ["She", "had", "given", "what", "she", "had", "."], (2, 3)),
        ({"text": TEXT, "predicate": [23, 26]}, ["She", "had", "given", "what", "she", "had", "."], (5, 6)),
        ({"text": "see [1]: it rains", "predicate": "rains"}, ["see", "[", "1", "]", ":", "it", "rains"], (6, 7)),
        ({"tokens": ["It", "fell", "."], "predicate": 1}, ["It", "fell", "."], (1, 2)),
        ({"words": ["It", "fell", "."], "predicate": 1}, ["It", "fell", "."], (1, 2)),
    ],
)
def test_it_is_found(record: dict[str, Any], words: list[str], predicate: tuple[int, int]) -> None:
    clause = read_clause(record)
    assert (clause.words, clause.predicate) == (words, predicate)
    if clause.offsets is not None:
        assert [record["text"][slice(*offset)] for offset in clause.offsets] == words


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": "She gave it."}, "no predicate is marked: write one [predicate] in the text"),
        ({"text": "She [gave] [it]."}, "2 parts are in brackets: write one [predicate] in the text"),
        ({"text": "She [ ] it."}, "the predicate ' ' has no words"),
        ({"text": " ", "predicate": "x"}, "has no words; expected some text"),
        ({"text": TEXT, "predicate": "had"}, "the predicate 'had' is there 2 times; write one [predicate] in the text"),
        ({"text": TEXT, "predicate": "give"}, "the predicate 'give' is not in the text"),
        ({"text": TEXT, "predicate": ""}, "the predicate '' is not in the text"),
        ({"text": TEXT, "predicate": [8, 12]}, "the predicate 'give' is a part of 'given'; expected whole words"),
        ({"text": TEXT, "predicate": [8, 99]}, "the predicate [8, 99] is no place in a text of 27 characters"),
        ({"text": TEXT, "predicate": 2}, "expected a word or [start, end] in characters under 'predicate', got 2"),
        ({"tokens": ["a"]}, "expected the number of the predicate's word, from 0, under 'predicate', got nothing"),
        ({"tokens": ["a"], "predicate": True}, "from 0, under 'predicate', got True"),
        ({"tokens": ["a"], "predicate": 1}, "the predicate is word 1 of 1; expected 0 to 0"),
        ({"tokens": "a b", "predicate": 1}, "'tokens' should be a list of words, got a b"),
        ({"tokens": ["a", ""], "predicate": 0}, "has an empty word; expected some text"),
        ({"x": 1}, "expected a text under 'text' or words under 'tokens', and it has 'x'"),
    ],
)
def test_what_is_missing_is_said(record: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_clause(record)
