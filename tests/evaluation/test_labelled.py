"""What answers of tasks with labels are worth, on files as their data modules read them."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from plmlight.data.squad_data import OnWrongAnswer
from plmlight.decoding import Record, TextAnalyser
from plmlight.evaluation.labelled import Fields, measure_labelled
from plmlight.evaluation.measurement import Measurement


class Known(TextAnalyser):
    """Answers with what it is given."""

    does = "answers as it is told"

    def __init__(self, facts: Mapping[str, Any], answers: Sequence[Record], refused: int | None = None) -> None:
        self.facts, self.known, self.refused = facts, list(answers), refused

    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        if self.refused is not None:
            raise ValueError(f"request {self.refused}: has no room")
        given, self.known = self.known[: len(requests)], self.known[len(requests) :]
        return given

    def show(self, request: Record, answer: Record) -> str:
        return str(answer)


def values(measured: Measurement) -> dict[str, float]:
    everything = np.arange(measured.count)[None]
    return {name: float(of(everything)[0]) for name, of in measured.statistics.items()}


TAGS = {"labels": ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"], "scheme": "BIO", "unit": "word", "constrained": True}
COLUMNS = "john x B-PER\nsmith x I-PER\nsleeps x O\n\nparis x B-LOC\n. x O\n"


def test_spans_count_as_a_whole_and_by_kind(tmp_path: Path) -> None:
    (tmp_path / "test.conll").write_text(COLUMNS)
    answers = [{"tags": ["B-PER", "O", "O"]}, {"tags": ["B-LOC", "O"]}]
    measured, used = measure_labelled(
        Known(TAGS, answers), "TokenClassification", [str(tmp_path / "test.conll")], Fields()
    )
    found = values(measured)
    assert list(found)[:2] == ["f1", "accuracy"]
    assert found["f1"] == found["precision"] == found["recall"] == 50
    assert (found["f1_PER"], found["f1_LOC"], found["macro_f1"]) == (0, 100, 50)
    assert found["accuracy"] == pytest.approx(80)
    assert used["texts"][0] == {
        "tokens": ["john", "smith", "sleeps"],
        "gold": ["B-PER", "I-PER", "O"],
        "answer": answers[0],
    }
    assert measured.statistics["f1"](np.array([[0, 0], [1, 1]])).tolist() == [0, 100]
    assert measured.statistics["accuracy"](np.array([[0, 0], [1, 1]])) == pytest.approx([200 / 3, 100])


def test_the_scheme_is_the_models_and_columns_can_be_named(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("S-PER john\nO sleeps\nB-LOC new\nE-LOC york\n")
    answers = [{"tags": ["B-PER", "O", "B-LOC", "I-LOC"]}]
    fields = Fields(word_column=1, tag_column=0)
    measured, used = measure_labelled(Known(TAGS, answers), "TokenClassification", [str(tmp_path / "test.txt")], fields)
    assert values(measured)["f1"] == values(measured)["accuracy"] == 100
    assert used["texts"][0]["gold"] == answers[0]["tags"]


def test_tags_without_a_scheme_are_measured_by_themselves(tmp_path: Path) -> None:
    (tmp_path / "test.jsonl").write_text(json.dumps({"tokens": ["a", "cat", "runs"], "tags": ["DT", "NN", "VB"]}))
    facts = {"labels": ["DT", "NN", "VB"], "scheme": "none", "unit": "word", "constrained": False}
    known = Known(facts, [{"tags": ["DT", "NN", "NN"]}])
    found = values(measure_labelled(known, "TokenClassification", [str(tmp_path / "test.jsonl")], Fields())[0])
    assert found["accuracy"] == pytest.approx(200 / 3)
    assert (found["f1_DT"], found["precision_NN"], found["recall_VB"]) == (100, 50, 0)
    assert "f1" not in found


def test_questions_are_scored_by_words_and_chinese_ones_by_characters_too(tmp_path: Path) -> None:
    def entry(name: str, context: str, answer: str) -> dict[str, Any]:
        there = [{"text": answer, "answer_start": context.index(answer)}] if answer else []
        return {"context": context, "qas": [{"id": name, "question": "?", "answers": there}]}

    paragraphs = [entry("a", "Ann met the tall Bob", "the tall Bob"), entry("b", "Ann", "")]
    (tmp_path / "test.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    facts = {"metric": "squad"}
    known = Known(facts, [{"answer": "Bob"}, {"answer": ""}])
    measured, used = measure_labelled(known, "QuestionAnswering", [str(tmp_path / "test.json")], Fields())
    found = values(measured)
    assert found == pytest.approx({"f1": (200 / 3 + 100) / 2, "exact_match": 50, "answerable_f1": 200 / 3})
    assert (used["texts"][0]["id"], used["texts"][0]["gold"]) == ("a", ["the tall Bob"])
    (tmp_path / "test.json").write_text(json.dumps({"data": [{"paragraphs": [entry("c", "长江在上海", "上海")]}]}))
    known = Known(facts, [{"answer": "在上海"}])
    found = values(measure_labelled(known, "QuestionAnswering", [str(tmp_path / "test.json")], Fields())[0])
    assert found == pytest.approx({"f1": 0, "exact_match": 0, "cmrc_f1": 80, "cmrc_exact_match": 0})


ROLES = {"labels": ["B-A0", "B-A1", "B-V", "I-A0", "I-A1", "O"], "scheme": "BIO"}


def test_roles_are_measured_by_argument(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("ann - (A0*) (A0*)\nsat sit (V*) *\nand - * *\nate eat * (V*)\nfish - * (A1*)\n")
    answers = [{"tags": ["B-A0", "B-V", "O", "O", "B-A1"]}, {"tags": ["B-A0", "O", "O", "O", "B-A1"]}]
    measured, used = measure_labelled(
        Known(ROLES, answers), "SemanticRoleLabelling", [str(tmp_path / "test.txt")], Fields()
    )
    found = values(measured)
    assert list(found)[:2] == ["f1", "accuracy"]
    assert (found["precision"], found["recall"], found["f1_A0"], found["recall_A1"]) == (75, 100, 100, 100)
    assert found["f1"] == pytest.approx(100 * 6 / 7)
    assert found["accuracy"] == 80
    assert "f1_V" not in found
    assert (used["texts"][1]["predicate"], used["texts"][1]["gold"][3]) == (3, "B-V")
    assert measured.statistics["f1"](np.array([[0, 0], [1, 1]])) == pytest.approx([100 * 2 / 3, 100])


RELATIONS = {"labels": ["A(e1,e2)", "A(e2,e1)", "B(e1,e2)", "Other"], "negative": "Other"}


def test_relations_have_the_official_score_first(tmp_path: Path) -> None:
    told = [("A(e1,e2)", "A(e1,e2)"), ("A(e2,e1)", "A(e1,e2)"), ("B(e1,e2)", "Other"), ("Other", "Other")]
    text = "the <e1>a</e1> and <e2>b</e2>"
    (tmp_path / "test.jsonl").write_text("".join(json.dumps({"text": text, "label": gold}) + "\n" for gold, _ in told))
    known = Known(RELATIONS, [{"label": said} for _, said in told])
    measured, used = measure_labelled(known, "RelationExtraction", [str(tmp_path / "test.jsonl")], Fields())
    found = values(measured)
    assert list(found)[:3] == ["semeval_f1", "macro_f1", "micro_f1"]
    assert found["semeval_f1"] == pytest.approx((50 + 0) / 2)  # A: one of two, in the right direction; B: none
    assert found["micro_f1"] == pytest.approx(100 * 2 * 1 / (3 + 2))
    assert (found["accuracy"], found["precision"]) == (50, 50)
    assert used["texts"][0]["head"] == [4, 5]


@pytest.mark.parametrize(
    ("task", "facts", "name", "content", "message"),
    [
        (
            "TokenClassification",
            TAGS,
            "x.txt",
            "a O\nb B-PRE\n",
            "x.txt:2: the model knows no tag 'B-PRE'; did you mean 'B-PER'?",
        ),
        ("TokenClassification", TAGS, "x.txt", "a O\nb NN\n", "x.txt:2: the model knows no tag 'NN'"),
        ("SemanticRoleLabelling", ROLES, "x.txt", "a - (A2*)\nb b (V*)\n", "x.txt:1: the model knows no tag 'B-A2'"),
        (
            "RelationExtraction",
            RELATIONS,
            "x.jsonl",
            '{"text": "<e1>a</e1> <e2>b</e2>", "label": "A(e1,e3)"}',
            "x.jsonl:1: the model knows no relation 'A(e1,e3)'; did you mean 'A(e1,e2)'?",
        ),
        (
            "RelationExtraction",
            RELATIONS,
            "x.jsonl",
            '{"text": "<e1>a</e1> <e2>b</e2>"}',
            "x.jsonl:1: the text has no relation",
        ),
        ("QuestionAnswering", {}, "x.jsonl", '{"question": "q", "context": "c"}', "x.jsonl:1: has no 'answers'"),
        (
            "TextClassification",
            {"labels": ["news", "sport"]},
            "x.csv",
            "text,label\na,news\nb,sports\n",
            "x.csv:3: the model knows no class 'sports'; did you mean 'sport'?",
        ),
        (
            "TextClassification",
            {"labels": ["news", "sport"], "problem": "multi-label"},
            "x.csv",
            'text,label\na,"news,sports"\n',
            "x.csv:2: the model knows no class 'sports'; did you mean 'sport'?",
        ),
    ],
)
def test_what_the_model_does_not_know_is_named(
    task: str, facts: dict[str, Any], name: str, content: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=re.escape(message)):
        measure_labelled(Known(facts, [], refused=0), task, [str(tmp_path / name)], Fields())


def test_what_cannot_be_answered_is_named_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(COLUMNS)
    with pytest.raises(ValueError, match=r"x\.txt:5: has no room$"):
        measure_labelled(Known(TAGS, [], refused=1), "TokenClassification", [str(tmp_path / "x.txt")], Fields())


def test_classes_are_read_in_any_encoding_and_format(tmp_path: Path) -> None:
    (tmp_path / "test.label").write_bytes("NUM caf\xe9 price\nLOC where\n".encode("latin-1"))
    known = Known({"labels": ["LOC", "NUM"]}, [{"scores": {"LOC": 0.2, "NUM": 0.8}}] * 2)
    fields = Fields(file_format="text", encoding="latin-1")
    measured, used = measure_labelled(known, "TextClassification", [str(tmp_path / "test.label")], fields)
    assert values(measured)["accuracy"] == 50
    assert used["texts"][0]["text"] == "caf\xe9 price"


def test_numbers_are_measured_by_the_numbers_in_the_answers(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\na,1.5\nb,2.5\nc,4\n")
    model = Known({"labels": ["label"], "problem": "regression"}, [{"value": value} for value in (1.0, 2.5, 4.5)])
    measured, _ = measure_labelled(model, "TextClassification", [str(tmp_path / "test.csv")], Fields())
    assert values(measured)["mse"] == pytest.approx((0.25 + 0 + 0.25) / 3)
    assert values(measured)["pearson"] > 0.9


def test_tags_that_the_model_knows_are_still_written_in_its_scheme(tmp_path: Path) -> None:
    (tmp_path / "test.conll").write_text("john B-PER\nsmith I-PER\nin O\nparis B-LOC\n")
    labels = [f"{sign}-{kind}" for kind in ("PER", "LOC") for sign in "BIES"] + ["O"]
    model = Known(TAGS | {"labels": labels, "scheme": "BIOES"}, [{"tags": ["B-PER", "E-PER", "O", "S-LOC"]}])
    measured, used = measure_labelled(model, "TokenClassification", [str(tmp_path / "test.conll")], Fields())
    assert values(measured)["accuracy"] == values(measured)["f1"] == 100
    assert used["texts"][0]["gold"] == ["B-PER", "E-PER", "O", "S-LOC"]


def test_tags_without_beginnings_are_measured_as_bio(tmp_path: Path) -> None:
    (tmp_path / "test.conll").write_text("john I-PER\nsmith I-PER\nmary B-PER\nin O\nparis I-LOC\n")
    labels = [f"{sign}-{kind}" for kind in ("PER", "LOC") for sign in "BI"] + ["O"]
    right = ["B-PER", "I-PER", "B-PER", "O", "B-LOC"]
    model = Known(TAGS | {"labels": labels, "scheme": "BIO"}, [{"tags": right}])
    measured, used = measure_labelled(model, "TokenClassification", [str(tmp_path / "test.conll")], Fields())
    assert values(measured)["accuracy"] == values(measured)["f1"] == 100
    assert used["texts"][0]["gold"] == right


@pytest.mark.parametrize("unknown", ["0", "3", "\u00b2"])
def test_a_number_is_no_place_among_classes_that_are_numbers(tmp_path: Path, unknown: str) -> None:
    (tmp_path / "test.csv").write_text(f"text,label\na,{unknown}\n", encoding="utf-8")
    names = ["1", "2", "4", "5"]
    model = Known({"labels": names, "problem": "single-label"}, [{"scores": dict.fromkeys(names, 0.25)}])
    with pytest.raises(ValueError, match=f"test.csv:2: the model knows no class '{unknown}'"):
        measure_labelled(model, "TextClassification", [str(tmp_path / "test.csv")], Fields())


def test_answers_need_no_place_to_be_scored(tmp_path: Path) -> None:
    """CMRC's own form."""
    questions = [
        {"query_id": "a", "query_text": "\u54ea\u91cc?", "answers": ["\u5317\u4eac"]},
        {"query_id": "b", "query_text": "?", "answers": [{"text": "\u5728\u5317", "answer_start": 1}]},
    ]
    content = [{"context_id": "c", "context_text": "\u4ed6\u5728\u5317\u4eac\u3002", "qas": questions}]
    (tmp_path / "test.json").write_text(json.dumps(content))
    model = Known({"metric": "cmrc"}, [{"answer": "\u5317\u4eac"}, {"answer": "\u5728\u5317"}])
    measured, _ = measure_labelled(model, "QuestionAnswering", [str(tmp_path / "test.json")], Fields())
    assert values(measured)["exact_match"] == 100


def test_wrong_offsets_are_left_out_or_searched_on_request(tmp_path: Path) -> None:
    answers: dict[str, list[dict[str, Any]]] = {
        "right": [{"text": "Ann", "answer_start": 0}],
        "wrong": [{"text": "Bob", "answer_start": 0}],
        "nowhere": [{"text": "Eve", "answer_start": 0}],
        "unplaced": [{"text": "Bob"}],
    }
    lines = [{"id": n, "question": "?", "context": "Ann met Bob", "answers": each} for n, each in answers.items()]
    file = tmp_path / "test.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))

    def measure(on_error: OnWrongAnswer) -> tuple[Measurement, dict[str, Any]]:
        model = Known({"metric": "squad"}, [{"answer": "Bob"}] * 4)
        return measure_labelled(model, "QuestionAnswering", [str(file)], Fields(on_error=on_error))

    with pytest.raises(ValueError, match=r"test.jsonl:2: the answer 'Bob' does not stand at 0 .* skip leaves it out"):
        measure("error")
    for on_error, kept in (("skip", ["right", "unplaced"]), ("search", ["right", "wrong", "unplaced"])):
        measured, used = measure(cast("OnWrongAnswer", on_error))
        assert [each["id"] for each in used["texts"]] == kept
        assert measured.facts == {"examples": len(kept), "left out": 4 - len(kept)}
        assert used["skipped"][-1][0].endswith("test.jsonl:3")
    file.write_text(json.dumps(lines[2]) + "\n")
    with pytest.raises(ValueError, match=r"test.jsonl: no example is left of 1"):
        measure("skip")


def test_texts_that_cannot_be_used_are_left_out_on_request(tmp_path: Path) -> None:
    (tmp_path / "test.csv").write_text("text,label\na,yes\n ,no\nb\nc,maybe\nd,\ne,no\n")
    model = Known({"labels": ["no", "yes"]}, [{"scores": {"no": 0.4, "yes": 0.6}}] * 2)
    files = [str(tmp_path / "test.csv")]
    with pytest.raises(ValueError, match=r"test\.csv:3: the text is empty"):
        measure_labelled(model, "TextClassification", files, Fields())
    measured, used = measure_labelled(model, "TextClassification", files, Fields(on_error="skip"))
    assert [each["text"] for each in used["texts"]] == ["a", "e"]
    assert measured.facts == {"examples": 2, "left out": 4}
    assert {where.rpartition(":")[2]: why for where, why in used["skipped"]} == {
        "3": "the text is empty",
        "4": "has 1 columns, expected 2",
        "5": "the model knows no class 'maybe'; expected one of 'no', 'yes'",
        "6": "there is no label",
    }


def test_what_is_not_left_out_of_a_task_is_said(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(COLUMNS)
    with pytest.raises(ValueError, match="on_error 'skip' is not for a TokenClassification: expected error"):
        measure_labelled(Known(TAGS, []), "TokenClassification", [str(tmp_path / "x.txt")], Fields(on_error="skip"))
    with pytest.raises(ValueError, match="on_error 'search' is not for a RelationExtraction: expected error or skip"):
        measure_labelled(Known({}, []), "RelationExtraction", [], Fields(on_error="search"))
