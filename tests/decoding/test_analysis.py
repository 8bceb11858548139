"""The answers of tasks with labels, with models whose outputs are known without a network."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import processors

from plmlight.decoding import ANALYSERS, Inputs, TextAnalyser, TextClassifier
from plmlight.decoding.analysis import difference
from tests.decoding.test_encoders import wordpiece


class Counting:
    """Two classes: how many tokens there are, and how many of the second text."""

    max_length, pad_token_id, num_token_types = 10, 0, 2

    def __init__(self) -> None:
        self.batches: list[Inputs] = []

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        self.batches.append(inputs)
        columns = inputs["attention_mask"].sum(1), (inputs["token_type_ids"] * inputs["attention_mask"]).sum(1)
        return {"logits": np.stack(columns, 1).astype(np.float32)}


def classifier() -> tuple[TextClassifier, Counting]:
    tokenizer = wordpiece()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    model = Counting()
    return TextClassifier(model, tokenizer, {"labels": ["first", "second"]}), model


def test_classes_come_best_first_with_their_probabilities() -> None:
    answers = classifier()[0].classify(["paris is nice .", ("paris", "is nice .")])
    assert [each.label for each in answers[0]] == ["first", "second"]
    assert answers[0][0].score == pytest.approx(1 / (1 + np.exp(-6)))  # [CLS] paris is nice . [SEP]
    assert answers[1][0].score == pytest.approx(1 / (1 + np.exp(-3)))  # 7 tokens, of which 4 are of the second
    assert sum(each.score for each in answers[1]) == pytest.approx(1)
    assert [len(each) for each in classifier()[0].classify(["paris", "nice"], top_k=1)] == [1, 1]


def test_answers_keep_the_order_whatever_the_batches_are() -> None:
    requests = [{"text": " ".join(["is"] * count)} for count in (3, 1, 4, 1, 5)]
    whole, model = classifier()[0].answers(requests), classifier()
    assert model[0].answers(requests, batch_size=2) == whole
    assert [len(batch["input_ids"]) for batch in model[1].batches] == [2, 2, 1]


def test_long_texts_lose_their_end_and_keep_the_special_tokens() -> None:
    analyser, model = classifier()
    analyser.answers([{"text": "is " * 20}, {"text": "is " * 20, "pair": "nice ."}])
    ids = np.concatenate([batch["input_ids"] for batch in model.batches])
    assert ids.shape == (2, 10)
    assert {tuple(row) for row in ids.tolist()} == {(2, *[6] * 8, 3), (2, *[6] * 5, 3, 7, 9, 3)}


def test_a_request_that_lacks_its_text_is_named() -> None:
    with pytest.raises(ValueError, match="request 1: expected a text under 'text', and it has 'txt'"):
        classifier()[0].answers([{"text": "paris"}, {"txt": "paris"}])
    with pytest.raises(ValueError, match="request 1: expected a text under 'pair'"):
        classifier()[0].answers([{"text": "paris"}, {"text": "paris", "pair": 3}])
    with pytest.raises(ValueError, match="put brackets"):
        classifier()[0].classify("paris")
    with pytest.raises(ValueError, match="top_k must be at least 1"):
        classifier()[0].classify(["paris"], top_k=0)
    with pytest.raises(ValueError, match="two of them, not 3"):
        classifier()[0].classify([("paris", "is", "nice")])


def test_other_keys_of_a_request_are_left_alone() -> None:
    plain, more = classifier()[0].answers([{"text": "paris"}, {"text": "paris", "id": 7, "label": "first"}])
    assert plain == more
    assert list(plain) == ["label", "score", "scores"]


def test_a_person_sees_a_line_a_class() -> None:
    analyser, _ = classifier()
    request = analyser.request("paris")
    assert analyser.show(request, analyser.answers([request])[0]) == "0.9526  first\n0.0474  second"


def test_a_model_without_room_for_text_is_refused() -> None:
    model = Counting()
    model.max_length = 2
    with pytest.raises(ValueError, match="the model reads 2 tokens"):
        TextClassifier(model, wordpiece(), {"labels": ["a", "b"]})


def test_differences_name_their_place() -> None:
    wanted = {"a": [1, {"b": 0.5}], "c": "x"}
    assert difference({"a": [1, {"b": 0.501}], "c": "x"}, wanted, 0.01) == ""
    assert difference({"a": [1, {"b": 0.6}], "c": "x"}, wanted, 0.01) == "a[1].b: 0.6 instead of 0.5"
    assert difference({"a": [1], "c": "x"}, wanted, 0.01) == "a: 1 instead of 2"
    assert difference({"a": [2, {"b": 0.5}], "c": "x"}, wanted, 0.01) == "a[0]: 2 instead of 1"
    assert difference({"a": [1, {"b": 0.5}], "d": "x"}, wanted, 0.01) == "has a, d instead of a, c"
    assert difference({"a": [1, {"b": float("nan")}], "c": "x"}, wanted, 0.01) != ""


def test_equally_likely_classes_may_change_places() -> None:
    analyser, _ = classifier()
    found = {"label": "a", "score": 0.5001, "scores": {"a": 0.5001, "b": 0.4999}}
    wanted = {"label": "b", "score": 0.5001, "scores": {"b": 0.5001, "a": 0.4999}}
    assert analyser.difference(found, wanted, 0.001) == ""
    assert analyser.difference(found, wanted, 0.0001) != ""


@pytest.mark.parametrize("task", list(ANALYSERS))
def test_every_task_has_examples_in_both_languages(task: str) -> None:
    requests = ANALYSERS[task].examples()
    assert len(requests) >= 4
    assert issubclass(ANALYSERS[task], TextAnalyser)
    assert any(text.isascii() for text in map(str, requests))
    assert any(not text.isascii() for text in map(str, requests))
