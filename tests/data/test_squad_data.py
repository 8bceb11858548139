import gzip
import json
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from plmlight.data import SquadData
from plmlight.data.squad_data import read_questions

CONTEXT = "Ann met Bob in Rome. Bob met Ann in Oslo."


def question(answers: Any, name: str = "q1", **more: Any) -> dict[str, Any]:
    return {"id": name, "question": "Who met Ann?", "answers": answers, **more}


def squad(*questions: Any, context: str = CONTEXT) -> dict[str, Any]:
    return {"version": "v2.0", "data": [{"title": "x", "paragraphs": [{"context": context, "qas": list(questions)}]}]}


def written(folder: Path, content: Any, name: str = "a.json") -> str:
    (folder / name).write_text(content if isinstance(content, str) else json.dumps(content, ensure_ascii=False))
    return str(folder / name)


def test_squad_with_and_without_answers(tmp_path: Path) -> None:
    two = question([{"text": "Bob", "answer_start": 21}, {"text": "Bob met", "answer_start": 21}])
    none = question([], "q2", is_impossible=True, plausible_answers=[{"text": "Ann", "answer_start": 0}])
    found, skipped = read_questions(written(tmp_path, squad(two, none)))
    assert skipped == []
    assert [each.answers for each in found] == [((21, "Bob"), (21, "Bob met")), ()]
    assert found[0].gold == ["Bob", "Bob met"]
    assert found[1].request() == {"id": found[1].id, "question": "Who met Ann?", "context": CONTEXT}


def test_other_forms(tmp_path: Path) -> None:
    answers = {"text": ["Bob"], "answer_start": [21]}
    line = {"id": "7", "question": "Who?", "context": CONTEXT, "answers": answers}
    (found,), _ = read_questions(written(tmp_path, json.dumps(line) + "\n\n", "a.jsonl"))
    assert (found.id, found.answers) == ("7", ((21, "Bob"),))
    chinese = {"context_id": "T1", "context_text": "《红楼梦》是小说。", "qas": [
        {"query_id": "T1Q1", "query_text": "什么是小说？", "answers": ["红楼梦"]}]}  # fmt: skip
    (found,), _ = read_questions(written(tmp_path, [chinese]), "search")
    assert (found.id, found.answers) == ("T1Q1", ((1, "红楼梦"),))
    with gzip.open(tmp_path / "b.json.gz", "wt") as handle:
        json.dump(squad(question([{"text": "Bob", "answer_start": 8}])), handle)
    (found,), _ = read_questions(str(tmp_path / "b.json.gz"))
    assert found.answers == ((8, "Bob"),)


@pytest.mark.parametrize(("start", "nearest"), [(9, 8), (20, 21), (0, 8), (40, 21), (None, 8), (-1, 8), (14, 8)])
def test_a_wrong_offset_is_an_error_or_searched(start: int | None, nearest: int, tmp_path: Path) -> None:
    file = written(tmp_path, squad(question([{"text": "Bob", "answer_start": start}]), context=CONTEXT))
    with pytest.raises(ValueError, match="question 'q1': the answer 'Bob' does not stand at"):
        read_questions(file)
    (found,), _ = read_questions(file, "search")
    assert found.answers == ((nearest, "Bob"),)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    good, wrong = {"text": "Bob", "answer_start": 8}, {"text": "Eve", "answer_start": 8}
    file = written(tmp_path, squad(question([good]), question([wrong], "q2"), question([wrong, good], "q3")))
    for on_error in ("skip", "search"):
        found, skipped = read_questions(file, on_error)
        assert [(each.id, each.gold) for each in found] == [("q1", ["Bob"]), ("q3", ["Bob"])]
        ((where, why),) = skipped
        assert where.endswith("question 'q2'")
        assert why == "the answer 'Eve' does not stand at 8 of its context, where 'Bob' is"
    made = SquadData(file, on_error="skip", validation_fraction=0, cache_folder=str(tmp_path / "cache"))
    (listed,) = (tmp_path / "cache" / "skipped").iterdir()
    assert [json.loads(line) for line in listed.read_text().splitlines()] == [{"where": where, "why": why}]
    assert made.skipped == [(where, why)]
    only = written(tmp_path, squad(question([wrong])), "only.json")
    with pytest.raises(
        ValueError, match=r"only\.json: there is no example left; the first of 1 .* question 'q1': the answer 'Eve'"
    ):
        SquadData(only, on_error="skip", cache_folder=str(tmp_path))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "a.json: not JSON"),
        ("3", "a.json: expected SQuAD's form"),
        ('{"data": "\\udc00"}', r"a.json: half a character .* in '.*\\udc00"),
        ({"dta": []}, "a.json: there is no key 'data'; did you mean 'dta'?"),
        ({"data": 3}, "a.json: int, expected a list, under 'data'"),
        ({"data": [3]}, r"a.json: data\[0\]: expected an object, got int"),
        ({"data": [{"paragraphs": [{"context": "x"}]}]}, r"data\[0\].paragraphs\[0\]: there is no key 'qas'"),
        (squad(question([]), context=" "), "question 'q1': the context is empty"),
        (squad({"id": "q1", "answers": []}), "question 'q1': the question is missing"),
        (squad(question([{"answer_start": 3}])), "question 'q1': expected answers as"),
        (squad(question([{"text": "Bob", "answer_start": "8"}])), "question 'q1': expected answers as"),
    ],
)
def test_what_cannot_be_read_is_named(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_questions(written(tmp_path, content))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a\.csv: expected questions as"):
        read_questions(written(tmp_path, "id,question\n", "a.csv"))
    unanswered = {key: value for key, value in question([]).items() if key != "answers"}
    file = written(tmp_path, squad(unanswered))
    assert read_questions(file)[0][0].answers is None
    with pytest.raises(ValueError, match="question 'q1': has no 'answers'"):
        SquadData(file, validation_fraction=0.0, cache_folder=str(tmp_path))


def many(folder: Path) -> str:
    articles = []
    for number in range(20):
        context = f"Number {number} is of the row {number}. " * 3
        answers = [{"text": str(number), "answer_start": 7}]
        qas = [{"id": f"{number}{letter}", "question": "Which?", "answers": answers} for letter in "abc"]
        articles.append({"paragraphs": [{"context": context, "qas": qas}]})
    return written(folder, {"data": articles}, "many.json")


def test_all_questions_about_a_context_are_held_out_together(tmp_path: Path) -> None:
    data = SquadData(many(tmp_path), validation_fraction=0.2, cache_folder=str(tmp_path / "cache"))
    fit, held = ({each.context for each in data.examples[stage]} for stage in ("fit", "validate"))
    assert (len(fit), len(held)) == (16, 4)
    assert not fit & held
    assert len(data.examples["validate"]) == 12


def test_rows_name_the_answer_or_the_first_token(tmp_path: Path) -> None:
    data = SquadData(
        many(tmp_path), validation_files=str(tmp_path / "many.json"), max_length=20, stride=4,
        cache_folder=str(tmp_path / "cache"),
    )  # fmt: skip
    samples = data.samples("validate")
    batch = samples.batch(np.arange(len(samples)), 0)
    answered = set()
    for row, number in enumerate(batch["example_ids"].tolist()):
        first, last = int(batch["labels_start"][row]), int(batch["labels_end"][row])
        assert batch["context_mask"][row, 0] == 1
        if first == 0:
            assert last == 0
            continue
        answered.add(number)
        assert batch["starts"][row, first] == 7
        text = batch["contexts"][row][batch["starts"][row, first] : batch["ends"][row, last]]
        assert [text] == batch["references"][row]
    assert answered == set(range(60))
    assert len(samples) > 60
    assert set(data.samples("fit").rows[0]) == {
        "input_ids", "token_type_ids", "context_mask", "labels_start", "labels_end"
    }  # fmt: skip


def test_a_question_that_leaves_no_room_is_named(tmp_path: Path) -> None:
    data = SquadData(many(tmp_path), max_length=5, cache_folder=str(tmp_path / "cache"))
    with pytest.raises(ValueError, match="question '0a': the question has 2 tokens, which leaves no room"):
        data.samples("fit")


@pytest.mark.parametrize("on_error", ["skip", "search"])
@pytest.mark.parametrize("stage", ["fit", "test", "predict"])
def test_a_question_that_leaves_no_room_is_left_out_on_request(
    stage: Literal["fit", "test", "predict"], on_error: Literal["skip", "search"], tmp_path: Path
) -> None:
    long = {**question([], "q2"), "question": "Who met Ann? " * 20}
    file, cache = written(tmp_path, squad(question([]), long, question([], "q3"))), str(tmp_path / "cache")
    data = SquadData(
        file, on_error, validation_fraction=0, test_files=file, predict_files=file, max_length=40, cache_folder=cache
    )
    assert len(data.samples(stage)) == 2
    ((where, why),) = data.skipped
    assert where.endswith("question 'q2'")
    assert "which leaves no room for the context" in why
    (listed,) = (tmp_path / "cache" / "skipped").iterdir()
    assert json.loads(listed.read_text()) == {"where": where, "why": why}


def test_white_space_around_an_answer_does_not_hide_it(tmp_path: Path) -> None:
    answers = [{"text": " in Rome. ", "answer_start": CONTEXT.index(" in Rome")}]
    file = written(tmp_path, squad(question(answers)))
    data = SquadData(file, validation_fraction=0, test_files=file, cache_folder=str(tmp_path / "cache"))
    (row,) = data.samples("test").rows
    assert CONTEXT[row["starts"][row["labels_start"]] : row["ends"][row["labels_end"]]] == "in Rome."


def test_answers_that_no_window_has_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr("plmlight.data.squad_data.rank_zero_info", said.append)
    long = [{"text": CONTEXT, "answer_start": 0}]
    file = written(tmp_path, squad(question([{"text": "Bob", "answer_start": 8}]), question(long, "q2"), question([])))
    folder = str(tmp_path / "cache")
    data = SquadData(file, validation_fraction=0, max_length=14, stride=4, cache_folder=folder)
    assert data.samples("fit").rows[0]["labels_start"] > 0
    assert said == [
        f"{file}: 1 of 2 answers to fit on are whole in no window (max_length 14, stride 4): "
        "in the loss their questions have none"
    ]
    SquadData(file, validation_fraction=0, cache_folder=folder).samples("fit")
    assert len(said) == 1
