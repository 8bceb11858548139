"""Texts that belong together: files, rows, batches of several texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import TextPairs
from plmlight.data.examples import ExampleSamples

PAIRS = [("a b c", "c"), ("b", "a a b c"), ("c a", "c")]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def data(files: str, **arguments: Any) -> TextPairs:
    arguments = {"validation_fraction": 0, "tokenizer_kind": "character", "cache_folder": "cache", **arguments}
    return TextPairs(files, **arguments)


def scored(name: str, rows: list[str]) -> str:
    Path(name).write_bytes("".join(row + "\r\n" for row in rows).encode())
    return name


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_pairs_are_read_from_any_file_with_fields(kind: str) -> None:
    if kind == "jsonl":
        text = "".join(json.dumps({"sentence1": first, "sentence2": second}) + "\n" for first, second in PAIRS)
    else:
        mark = "," if kind == "csv" else "\t"
        text = "".join(f"{first}{mark}{second}\n" for first, second in [("sentence1", "sentence2"), *PAIRS])
    Path(f"x.{kind}").write_text(text)
    assert [example.texts for example in data(f"x.{kind}").examples["fit"]] == PAIRS


def test_a_table_without_a_header_is_read_by_the_numbers_of_its_columns() -> None:
    scored("x.csv", ['"a, b",c,5.0', "b,c,2.5", "c,d,0"])
    found = data("x.csv", text_fields=["1", "2"], score_field="3", score_range=[0, 5]).examples["fit"]
    assert [(example.texts, example.score) for example in found] == [
        (("a, b", "c"), 1.0),
        (("b", "c"), 0.5),
        (("c", "d"), 0.0),
    ]


def test_scores_may_be_numbers_of_json() -> None:
    lines = [{"sentence1": "a", "sentence2": "b", "how": 3}, {"sentence1": "a", "sentence2": "c", "how": 1.5}]
    Path("x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [example.score for example in data("x.jsonl", score_field="how").examples["fit"]] == [3.0, 1.5]


def test_each_text_of_a_batch_is_padded_by_itself() -> None:
    scored("x.csv", ["anchor,yes,no", "abc,a,cc", "b,ab,cccc"])
    module = data("x.csv", text_fields=["anchor", "yes", "no"])
    batch = module.samples("fit").batch(np.array([0, 1, -1]), 0)
    ids = {text: module.tokenizer.token_to_id(text) for text in "abc"}
    assert batch["input_ids"].tolist()[1] == [ids["b"], module.pad_token_id, module.pad_token_id]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert batch["attention_mask_2"].tolist() == [[1, 0], [1, 1], [0, 0]]
    assert batch["input_ids_3"].tolist()[0] == [ids["c"], ids["c"], module.pad_token_id, module.pad_token_id]
    assert batch["token_type_ids_3"].shape == batch["attention_mask_3"].shape == (3, 4)
    assert batch["sample_ids"].tolist() == [0, 1, -1]


def test_equal_texts_have_equal_numbers() -> None:
    scored("x.csv", ["sentence1,sentence2", "a,b", "c,a", "a,c"])
    batch = data("x.csv").samples("fit").batch(np.arange(3), 0)
    assert batch["text_ids"].tolist() == [[0, 1], [2, 0], [0, 2]]
    assert batch["text_ids"].dtype == torch.int64


def test_single_texts_are_examples() -> None:
    scored("x.csv", ["text", "abc", "b"])
    batch = data("x.csv", text_fields=["text"]).samples("fit").batch(np.arange(2), 0)
    assert "input_ids_2" not in batch
    assert batch["text_ids"].tolist() == [[0], [1]]


def test_a_batch_of_pairs_has_at_most_so_many_tokens() -> None:
    rows = [f"{'a' * (1 + i % 7)},{'b' * (1 + i % 5)}" for i in range(60)]
    scored("x.csv", ["sentence1,sentence2", *rows])
    module = data("x.csv", max_tokens=40)
    seen = []
    for batch in module.train_dataloader():
        size, width = len(batch["sample_ids"]), batch["input_ids"].shape[1] + batch["input_ids_2"].shape[1]
        assert size * width <= 40
        seen += batch["sample_ids"].tolist()
        if len(seen) >= 50:
            break
    assert len(set(seen)) == len(seen)


def test_long_texts_are_cut() -> None:
    scored("x.csv", ["sentence1,sentence2", "abcabc,ab", "c,cbacba"])
    batch = data("x.csv", max_length=4).samples("fit").batch(np.arange(2), 0)
    assert (batch["input_ids"].shape, batch["input_ids_2"].shape) == ((2, 4), (2, 4))


def test_examples_of_one_first_text_are_held_out_together() -> None:
    scored("x.csv", ["sentence1,sentence2", *(f"text {i // 3},partner {i}" for i in range(60))])
    module = data("x.csv", validation_fraction=0.3)
    sides = [{example.texts[0] for example in module.examples[stage]} for stage in ("fit", "validate")]
    assert not sides[0] & sides[1]
    assert len(module.examples["validate"]) == 18


def test_all_texts_decide_on_the_identity_of_the_data() -> None:
    rows = [{"input_ids": [1, 2], "input_ids_2": [3]}, {"input_ids": [1], "input_ids_2": [4]}]
    other = [rows[0], {"input_ids": [1], "input_ids_2": [5]}]
    assert ExampleSamples(rows, 0).identity != ExampleSamples(other, 0).identity


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (["sentence1,sentence2", "a,"], {}, r"x\.csv:2: the text 'sentence2' is empty"),
        (["sentence1,sentence3", "a,b"], {}, r"x\.csv:1: there is no column 'sentence2'.*sentence"),
        (["sentence1,sentence2", "a"], {}, r"x\.csv:2: has 1 columns, expected 2"),
        (["a,b"], {"text_fields": ["1", "3"]}, r"x\.csv:1: has 2 columns, expected at least 3"),
        (["sentence1,sentence2,s", "a,b,x"], {"score_field": "s"}, r"x\.csv:2: the score 'x' is not a number"),
        (["sentence1,sentence2,s", "a,b,nan"], {"score_field": "s"}, r"x\.csv:2: the score 'nan' is not a number"),
        (
            ["sentence1,sentence2,s", "a,b,7"],
            {"score_field": "s", "score_range": [0, 5]},
            r"x\.csv:2: the score 7 lies outside score_range, 0 to 5",
        ),
        (["sentence1,sentence2,s", "a,b,1", "a,c,1"], {"score_field": "s"}, r"x\.csv:2: this and all other scores"),
        (["a,b"], {"text_fields": []}, "text_fields is empty"),
        (["a,b"], {"text_fields": ["a"], "score_field": "b"}, "a score is that of two texts, so name two columns"),
        (["a,b"], {"score_range": [0, 1]}, "but no score_field that it is the range of"),
        (["a,b"], {"score_field": "s", "score_range": [5, 0]}, "expected two numbers, the lowest and the highest"),
    ],
)
def test_bad_input_is_told_in_one_line(rows: list[str], arguments: dict[str, Any], message: str) -> None:
    scored("x.csv", rows)
    with pytest.raises(ValueError, match=message) as told:
        data("x.csv", **arguments)
    assert "\n" not in str(told.value)


def test_what_is_predicted_on_needs_no_scores() -> None:
    scored("x.csv", ["sentence1,sentence2,score", "a,b,1", "b,c,2"])
    scored("y.csv", ["sentence1,sentence2", "a,c", "c,b"])
    found = data("x.csv", score_field="score", predict_files="y.csv")
    assert [(example.texts, example.score) for example in found.examples["predict"]] == [
        (("a", "c"), None),
        (("c", "b"), None),
    ]
    assert [example.score for example in found.examples["fit"]] == [1.0, 2.0]
