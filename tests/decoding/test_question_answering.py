from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding import Inputs
from plmlight.decoding.question_answering import Answer, QuestionAnswerer
from plmlight.decoding.relations import RelationExtractor
from plmlight.text import train_tokenizer

QUESTION = "Who sings?"
CONTEXT = "Nobody knows. " * 6 + "In Rome Maria Callas sang. " + "Nobody knows. " * 6
FACTS = {"max_length": 32, "stride": 8, "max_answer_tokens": 4, "null_threshold": None}
TOKENIZER = train_tokenizer([CONTEXT, QUESTION, "Rome Maria Callas"] * 3, "wordpiece", 300)


class Knowing:
    """A model that finds some words: the first token gets 5, the beginning of a word its weight, its end as well."""

    max_length, pad_token_id, num_token_types = 64, 0, 2

    def __init__(
        self, tokenizer: Tokenizer, starts: dict[str, float], ends: dict[str, float], null: float = 5.0
    ) -> None:
        self.weights = [
            {tokenizer.encode(word, add_special_tokens=False).ids[-1]: weight for word, weight in side.items()}
            for side in (starts, ends)
        ]
        self.null, self.rows = null, 0

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        ids = inputs["input_ids"]
        assert ids.shape[1] <= 32
        self.rows += len(ids)
        found = [np.zeros(ids.shape, np.float32) for _ in range(2)]
        for logits, weights in zip(found, self.weights, strict=True):
            logits[:, 0] = self.null / 2
            for id_, weight in weights.items():
                logits[ids == id_] = weight
        return {"start_logits": found[0], "end_logits": found[1]}


def answerer(null: float = 5.0, **facts: Any) -> QuestionAnswerer:
    model = Knowing(TOKENIZER, {"Maria": 9.0, "Rome": 7.0}, {"Callas": 8.0, "Maria": 6.5}, null)
    return QuestionAnswerer(model, TOKENIZER, {**FACTS, **facts})


def test_a_question_that_leaves_no_room_is_told_before_it_is_asked() -> None:
    requests = [{"question": QUESTION * times, "context": CONTEXT} for times in (1, 30)]
    none, why = answerer().refusals(requests)
    assert none is None
    assert why is not None
    assert "which leaves no room for the context: a window has 32 at most" in why


def test_the_answer_is_a_part_of_a_long_context() -> None:
    found = answerer()
    best = found.answer(QUESTION, CONTEXT, n_best=4)
    assert [each.text for each in best] == ["Maria Callas", "Maria", "Rome Maria Callas", "Rome Maria"]
    assert all(CONTEXT[each.start : each.end] == each.text for each in best)
    assert found.model.rows > 1  # type: ignore[attr-defined]
    assert 0 < best[1].score < best[0].score <= 1
    (record,) = found.answers([{"question": QUESTION, "context": CONTEXT, "id": 7}])
    start = CONTEXT.index("Maria")
    assert (record["answer"], record["start"], record["end"]) == ("Maria Callas", start, start + 12)
    assert found.show({}, record).endswith("Maria Callas")


def test_the_probability_is_that_of_both_ends() -> None:
    found = answerer()
    context = "Maria Callas sang"
    (best,) = found.answer(QUESTION, context)
    tokens = len(TOKENIZER.encode(context, add_special_tokens=False).ids)
    start, end = np.zeros((2, tokens + 1))
    start[0] = end[0] = 2.5
    start[1], end[tokens - 1 - (tokens - 2) + 1] = 9.0, 8.0
    end[1] = 6.5
    wanted = np.exp(9.0) / np.exp(start).sum() * np.exp(8.0) / np.exp(end).sum()
    assert best.score == pytest.approx(wanted, rel=0.02)


@pytest.mark.parametrize(("threshold", "null", "empty"), [(None, 99.0, False), (0.0, 99.0, True), (90.0, 99.0, False)])
def test_no_answer(threshold: float | None, null: float, empty: bool) -> None:
    first, *rest = answerer(null, null_threshold=threshold).answer(QUESTION, CONTEXT, n_best=3)
    assert (first == Answer("", first.score, None, None)) is empty
    assert any(each.text == "Maria Callas" for each in [first, *rest])


def test_there_is_an_answer_in_one_window_only_where_no_other_has_one() -> None:
    # the windows without it say so with 5, and the one with it says 5 too: 17 against the least of them
    assert answerer(null_threshold=0.0).answer(QUESTION, CONTEXT)[0].text == "Maria Callas"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"question": "Who?"}, "request 1: expected a text under 'context'"),
        ({"question": " ", "context": "x"}, "request 1: the question is empty"),
        ({"question": "x", "context": ""}, "request 1: the context is empty"),
        ({"question": "x " * 40, "context": "x"}, "request 1: the question has 40 tokens, which leaves no room"),
    ],
)
def test_what_cannot_be_answered_is_named(request_: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        answerer().answers([{"question": QUESTION, "context": CONTEXT}, request_])
    with pytest.raises(ValueError, match="n_best must be at least 1"):
        answerer().answer(QUESTION, CONTEXT, 0)
    with pytest.raises(ValueError, match="a text alone is no question"):
        answerer().request("x")


def test_examples_are_requests() -> None:
    assert len(QuestionAnswerer.examples()) >= 12
    assert len(answerer().answers(QuestionAnswerer.examples())) == len(QuestionAnswerer.examples())


def test_equal_scores_may_change_places() -> None:
    found = answerer()
    one = {"answer": "a", "score": 0.25, "start": 0, "end": 1}
    other = {"answer": "b", "score": 0.2501, "start": 2, "end": 3}
    assert found.difference(one, other, 1e-3) == ""
    assert found.difference(one, other, 1e-6) == "answer: 'a' instead of 'b'"
    assert "start" in found.difference(one, {**one, "start": 3}, 1e-3)


class Marked:
    """A model that says which marker comes first."""

    max_length, pad_token_id, num_token_types = 32, 0, 2

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        first = np.array([np.flatnonzero(np.isin(row, (900, 902)))[0] for row in inputs["input_ids"]])
        turned = inputs["input_ids"][np.arange(len(first)), first] == 902
        return {"logits": np.where(turned[:, None], [[0.0, 2.0]], [[2.0, 0.0]]).astype(np.float32)}


def test_relations() -> None:
    facts = {"labels": ["forth", "back"], "markers": [900, 901, 902, 903], "max_length": None}
    extractor = RelationExtractor(Marked(), TOKENIZER, facts)
    tagged, placed = (
        {"text": "<e2>Maria</e2> in <e1>Rome</e1>"},
        {"text": "Rome, Maria", "head": [0, 4], "tail": [6, 11]},
    )
    forth, back = extractor.answers([placed, tagged])
    assert (forth["label"], back["label"]) == ("forth", "back")
    assert list(back["scores"]) == ["back", "forth"]
    assert back["score"] == pytest.approx(np.exp(2) / (1 + np.exp(2)))
    (found,) = extractor.extract([tagged["text"]])
    assert (found.label, found.head, found.tail) == ("back", "Rome", "Maria")
    assert extractor.show(tagged, back).splitlines()[0] == "0.8808  back  e1 'Rome', e2 'Maria'"
    assert len(extractor.answers(extractor.examples())) >= 12
    with pytest.raises(ValueError, match="request 1: the marker <e1> is missing"):
        extractor.answers([tagged, {"text": "Rome"}])
    with pytest.raises(ValueError, match="request 0: the entities and what is between them are"):
        extractor.extract(["<e1>Rome</e1> " + "Maria " * 40 + "<e2>Rome</e2>"])
