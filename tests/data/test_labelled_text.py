"""Texts and pairs with labels: every form of file, what becomes of labels, and what is refused."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import torch

from plmlight import LabelledPairs, LabelledText
from plmlight.data.labelled_examples import LabelReader

TEXTS = ["a good film", "a bad film", "so good it is", "bad, very bad", "the film is good", "it is so very bad"]
LABELS = ["pos", "neg"] * 3
ROWS = list(zip(TEXTS, LABELS, strict=True))


def lines(rows: Sequence[tuple[str, ...]], form: str) -> str:
    return "".join(form.format(*row) for row in rows)


def csv_file(folder: Path) -> str:
    (folder / "x.csv").write_bytes(b"\xef\xbb\xbflabel,text\r\n" + lines(ROWS, '{1},"{0}"\r\n').encode())
    return str(folder / "x.csv")


def tsv_file(folder: Path) -> str:
    (folder / "x.tsv").write_text("text\tlabel\n" + lines(ROWS, "{0}\t{1}\n"))
    return str(folder / "x.tsv")


def jsonl_file(folder: Path) -> str:
    rows = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    (folder / "x.jsonl").write_text("\r\n".join(rows) + "\r\n")
    return str(folder / "x.jsonl")


def parquet_file(folder: Path) -> str:
    pyarrow.parquet.write_table(pyarrow.table({"text": TEXTS, "label": LABELS}), folder / "x.parquet")
    return str(folder / "x.parquet")


def dataset(folder: Path) -> str:
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    numbers = [int(label == "pos") for label in LABELS]
    datasets.Dataset.from_dict({"text": TEXTS, "label": numbers}, features).save_to_disk(str(folder / "set"))
    return f"dataset:{folder / 'set'}"


def folders(folder: Path) -> str:
    for number, (text, label) in enumerate(ROWS):
        (folder / "by" / label).mkdir(parents=True, exist_ok=True)
        (folder / "by" / label / f"{number}.txt").write_text(text)
    return str(folder / "by")


def label_first(folder: Path) -> str:
    (folder / "x.txt").write_text(lines(ROWS, "{1} {0}\n"))
    return str(folder / "x.txt")


FORMS: dict[str, Callable[[Path], str]] = {
    made.__name__: made for made in (csv_file, tsv_file, jsonl_file, parquet_file, dataset, folders, label_first)
}


def data(files: str, folder: Path, **options: Any) -> LabelledText:
    given: dict[str, Any] = {
        "validation_fraction": 0.0,
        "tokenizer_vocab_size": 100,
        "cache_folder": str(folder / "cache"),
    }
    return LabelledText(files, **(given | options))


@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same(form: str, tmp_path: Path) -> None:
    found = data(FORMS[form](tmp_path), tmp_path)
    assert found.labels == ["neg", "pos"]
    assert sorted((example.text, example.label) for example in found.examples["fit"]) == sorted(ROWS)
    assert all(str(tmp_path) in example.where for example in found.examples["fit"])


def test_columns_by_number_need_no_header(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text(lines(ROWS, "{0}\t{1}\n"))
    found = data(str(tmp_path / "x.txt"), tmp_path, text_field=1, label_field=2)
    assert [(example.text, example.label) for example in found.examples["fit"]] == ROWS


def test_quotes_are_text_where_tabs_part_columns(tmp_path: Path) -> None:
    (tmp_path / "x.tsv").write_text('text\tlabel\n"good" he said\tpos\n"bad\tneg\n')
    found = data(str(tmp_path / "x.tsv"), tmp_path)
    assert [example.text for example in found.examples["fit"]] == ['"good" he said', '"bad']


def test_an_encoding_and_a_form_are_taken_at_their_word(tmp_path: Path) -> None:
    (tmp_path / "x.all").write_bytes("0 caf\xe9 good\n1 bad\n".encode("latin-1"))
    found = data(str(tmp_path / "x.all"), tmp_path, file_format="text", encoding="latin-1")
    assert found.examples["fit"][0].text == "caf\xe9 good"
    with pytest.raises(ValueError, match=r"x\.all: byte 0xe9 at offset 5 is not UTF-8"):
        data(str(tmp_path / "x.all"), tmp_path, file_format="text")
    with pytest.raises(ValueError, match="encoding 'latni' is not known"):
        data(str(tmp_path / "x.all"), tmp_path, file_format="text", encoding="latni")


def test_numbers_are_classes_of_a_file_of_names(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("neg\r\npos\r\n")
    (tmp_path / "x.txt").write_text("".join(f"{text}\t{int(label == 'pos')}\n" for text, label in ROWS))
    found = data(str(tmp_path / "x.txt"), tmp_path, text_field=1, label_field=2, labels=str(tmp_path / "names.txt"))
    assert [example.label for example in found.examples["fit"]] == LABELS


def test_numbers_without_names_are_in_the_order_of_numbers(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("".join(f"{number} text of {number}\n" for number in (10, 9, 2, 0)))
    assert data(str(tmp_path / "x.txt"), tmp_path).labels == ["0", "2", "9", "10"]


@pytest.mark.parametrize("form", ["list", "text"])
def test_a_text_may_have_several_labels(form: str, tmp_path: Path) -> None:
    given: list[Any] = [["a", "b"], [], ["b"]] if form == "list" else ["a,b", "", "b"]
    rows = [json.dumps({"text": text, "label": label}) for text, label in zip(TEXTS[:3], given, strict=True)]
    (tmp_path / "x.jsonl").write_text("\n".join(rows))
    found = data(str(tmp_path / "x.jsonl"), tmp_path, problem="multi-label")
    batch = found.samples("fit").batch(torch.arange(3).numpy(), 0)
    assert found.labels == ["a", "b"]
    assert batch["labels"].tolist() == [[1, 1], [0, 0], [0, 1]]
    assert found.label_counts is not None
    assert found.label_counts.tolist() == [1, 2]


def test_pairs_have_two_segments_and_a_score(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text('"a film, good",a bad film,2.5\na film,it is so,0\n')
    found = LabelledPairs(
        str(tmp_path / "x.csv"),
        *(1, 2, 3),
        problem="regression",
        validation_fraction=0,
        cache_folder=str(tmp_path / "cache"),
    )
    example = found.examples["fit"][0]
    assert example.request() == {"text": "a film, good", "pair": "a bad film"}
    assert example.gold == 2.5
    batch = found.samples("fit").batch(torch.tensor([0, -1]).numpy(), 0)
    assert batch["labels"].dtype == torch.float32
    assert batch["labels"][0] == 2.5
    assert batch["labels"][1].isnan()
    assert set(batch["token_type_ids"][0].tolist()) == {0, 1}
    assert found.label_counts is None


def test_long_texts_are_read_in_windows(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        "\n".join(json.dumps({"text": "good film bad so " * n, "label": str(n)}) for n in (1, 5))
    )
    cut = data(str(tmp_path / "x.jsonl"), tmp_path, max_length=8)
    assert len(cut.samples("fit").rows) == 2
    assert cut.truncated == {"fit": (1, 2)}
    found = data(str(tmp_path / "x.jsonl"), tmp_path, max_length=8, stride=2)
    rows = found.samples("fit").rows
    assert [row["example_ids"] for row in rows] == [0, 1, 1, 1, 1, 1]
    assert max(len(row["input_ids"]) for row in rows) == 8
    assert rows[1]["input_ids"][-3:-1] == rows[2]["input_ids"][1:3]
    assert found.truncated == {"fit": (0, 2)}


@pytest.mark.parametrize("options", [{"folds": 5, "fold": 2}, {"validation_fraction": 0.2}])
def test_what_is_held_out_has_each_class_alike(options: dict[str, Any], tmp_path: Path) -> None:
    classes = ["a"] * 50 + ["b"] * 10 + ["c"] * 5 + ["d"]
    (tmp_path / "x.txt").write_text("".join(f"{label} text {number}\n" for number, label in enumerate(classes)))
    found = data(str(tmp_path / "x.txt"), tmp_path, **options)
    held = Counter(example.label for example in found.examples["validate"])
    assert held == {"a": 10, "b": 2, "c": 1}
    assert len(found.examples["fit"]) == 53


def test_each_example_is_held_out_in_one_fold(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("".join(f"{number % 3} text {number}\n" for number in range(30)))
    held = [data(str(tmp_path / "x.txt"), tmp_path, folds=4, fold=fold).examples["validate"] for fold in range(4)]
    assert sorted(example.text for fold in held for example in fold) == sorted(f"text {n}" for n in range(30))


def test_texts_with_several_labels_are_held_out_like_any_others(tmp_path: Path) -> None:
    """Whose sets of labels are mostly different."""
    rows = [{"text": f"text {i}", "label": [f"l{j}" for j in range(12) if i * (j + 7) % 5 < 2]} for i in range(60)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"problem": "multi-label", "tokenizer_kind": "word"}
    made = data(str(tmp_path / "x.jsonl"), tmp_path, validation_fraction=0.1, **options)
    assert (len(made.examples["fit"]), len(made.examples["validate"])) == (54, 6)
    held = [
        example.where
        for fold in range(5)
        for example in data(str(tmp_path / "x.jsonl"), tmp_path, folds=5, fold=fold, **options).examples["validate"]
    ]
    assert len(held) == len(set(held)) == 60


@pytest.mark.parametrize("options", [*({"folds": 2, "fold": n} for n in range(2)), {"validation_fraction": 0.4}])
def test_training_keeps_an_example_of_each_label_that_texts_have_beside_others(
    options: dict[str, Any], tmp_path: Path
) -> None:
    rare = [["common", f"rare {i // 2}"] for i in range(20)]
    beside = [names for i in range(30) for names in ([f"shared {i // 3}", f"own {i}"], [f"own {i}"])]
    rows = [{"text": f"text {i}", "label": names} for i, names in enumerate([*rare, *beside, ["common", "once"]])]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = {"problem": "multi-label", "tokenizer_kind": "word", **options}
    found = data(str(tmp_path / "x.jsonl"), tmp_path, **options)
    assert found.label_counts is not None
    assert found.label_counts.all()
    assert len(found.labels) == 52
    assert len(found.examples["validate"]) >= 25
    assert not any("once" in str(example.label) for example in found.examples["validate"])
    again = data(str(tmp_path / "x.jsonl"), tmp_path, seed=7, **options)
    assert again.examples["validate"] == found.examples["validate"]


def test_folds_and_other_files_to_validate_on_exclude_each_other(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave one of them out"):
        data(csv_file(tmp_path), tmp_path, folds=3, validation_files=csv_file(tmp_path))


TOO_FEW: dict[str, tuple[str, dict[str, Any], str]] = {
    "examples": ("a x\nb y\na z\n", {"folds": 5}, "x.txt: folds 5 needs at least 5 examples, and there are 3"),
    "of each class": (
        "a x\nb y\nc z\n",
        {"folds": 3},
        "x.txt: 3 examples are too few to hold some out for validation, and to keep some of each class to train on; "
        "leave folds out",
    ),
    "for a part": ("a x\nb y\n", {"validation_fraction": 0.1}, "of each class to train on; set validation_fraction 0"),
}


@pytest.mark.parametrize("case", TOO_FEW)
def test_too_few_examples_to_hold_some_out_are_counted(case: str, tmp_path: Path) -> None:
    text, options, message = TOO_FEW[case]
    (tmp_path / "x.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        data(str(tmp_path / "x.txt"), tmp_path, **options)


def test_a_folder_of_classes_may_be_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders(tmp_path)
    monkeypatch.chdir(tmp_path)
    unlabelled = LabelReader().read("by", labelled=False)
    assert sorted(example.text for example in unlabelled) == sorted(TEXTS)
    for name in (
        "by",
        "./by",
        "by/",
        f"../{tmp_path.name}/by",
        str(tmp_path / "by" / ".." / "by"),
        f"file://{tmp_path}/by",
    ):
        found = LabelReader().read(name)
        assert {example.label for example in found} == {"pos", "neg"}


def test_any_blank_parts_a_label_from_its_text(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("pos\ta good  film\nneg  bad, very bad \n")
    found = LabelReader().read(str(tmp_path / "x.txt"))
    assert [(example.label, example.texts) for example in found] == [
        ("pos", ("a good  film",)),
        ("neg", ("bad, very bad",)),
    ]
    (tmp_path / "x.txt").write_text("pos\ta good film\nneg\t\n")
    with pytest.raises(ValueError, match=r"x\.txt:2: the text is empty"):
        LabelReader().read(str(tmp_path / "x.txt"))


def test_texts_to_predict_on_need_no_labels(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text(json.dumps({"text": "is it good"}))
    found = data(tsv_file(tmp_path), tmp_path, predict_files=str(tmp_path / "p.jsonl"))
    assert "labels" not in found.samples("predict").rows[0]


BAD: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "column": ("x.csv", "texts,label\ngood,pos\n", {}, r"x\.csv:1: there is no column 'text'; did you mean 'texts'\?"),
    "field": ("x.jsonl", '{"text": "a", "labels": "b"}', {}, r"x\.jsonl:1: there is no field 'label'; did you mean"),
    "too few columns": ("x.csv", "text,label\ngood\n", {}, r"x\.csv:2: has 1 columns, expected 2"),
    "empty text": ("x.csv", "text,label\ngood,pos\n  ,neg\n", {}, r"x\.csv:3: the text is empty"),
    "no label": ("x.csv", "text,label\ngood,pos\nbad,\n", {}, r"x\.csv:3: there is no label"),
    "no text": ("x.jsonl", '{"text": 7, "label": "b"}', {}, r"x\.jsonl:1: field 'text' is int, expected a text"),
    "unknown": (
        "x.csv",
        "text,label\ngood,pos\nbad,neg\nso,poss\n",
        {"labels": ["neg", "pos"]},
        r"x\.csv:4: the label 'poss' is not known; did you mean 'pos'\?",
    ),
    "number": (
        "x.csv",
        "text,label\ngood,0\nbad,2\n",
        {"labels": ["neg", "pos"]},
        r"x\.csv:3: the label 2 is not known: expected a number from 0 to 1, or a name",
    ),
    "one class": (
        "x.csv",
        "text,label\ngood,pos\nbad,pos\n",
        {},
        r"there is no other label than 'pos' \(2 examples\): at least two",
    ),
    "no number": (
        "x.csv",
        "text,label\ngood,high\n",
        {"problem": "regression"},
        r"x\.csv:2: the label 'high' is no num",
    ),
    "not finite": (
        "x.csv",
        "text,label\ngood,nan\n",
        {"problem": "regression"},
        r"x\.csv:2: the label 'nan' is no num",
    ),
    "list": ("x.jsonl", '{"text": "a", "label": ["b"]}', {}, r"x\.jsonl:1: the label is a list; learn several labels"),
    "twice": ("x.csv", "text,label\ngood,pos\n", {"labels": ["a", "a"]}, "labels: the class 'a' is there twice"),
    "names": ("x.csv", "text,label\ngood,pos\n", {"labels": "names.txt"}, r"labels: names\.txt is no file"),
    "mixed": ("x.csv", "good,pos\n", {"text_field": 1}, "fields 1, label: all by name, or all by the number"),
    "numbers": ("x.jsonl", "{}", {"text_field": 1, "label_field": 2}, r"x\.jsonl: has no columns by number"),
    "header alone": ("x.csv", "text,label\n", {}, r"x\.csv: there is no example$"),
    "stride": ("x.csv", "text,label\ngood,pos\nbad,neg\n", {"stride": -1}, "stride -1: windows share at least 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(case: str, tmp_path: Path) -> None:
    name, text, options, message = BAD[case]
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        data(str(tmp_path / name), tmp_path, **options)
    assert "\n" not in str(caught.value)


def test_an_unknown_label_of_a_test_set_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\ngood,negg\n")
    with pytest.raises(ValueError, match=r"t\.csv:2: the label 'negg' is not known; did you mean 'neg'\?"):
        data(tsv_file(tmp_path), tmp_path, test_files=str(tmp_path / "t.csv"))


def test_a_class_without_an_example_is_refused_where_it_is_to_be_learned(tmp_path: Path) -> None:
    found = data(tsv_file(tmp_path), tmp_path, labels=["neg", "neutral", "pos"], test_files=tsv_file(tmp_path))
    assert len(found.samples("test")) == 6
    with pytest.raises(ValueError, match=r"x\.tsv: the class 'neutral' has no example to train on$"):
        found.samples("fit")


def test_files_of_fewer_examples_than_a_batch_are_named(tmp_path: Path) -> None:
    message = r"x\.tsv: 6 samples to train on, fewer than one batch \(batch_size 32\)$"
    with pytest.raises(ValueError, match=message):
        data(tsv_file(tmp_path), tmp_path).train_dataloader()


@pytest.mark.parametrize(("labels", "names"), [([1, 0], ["1", "0"]), ([True, False], ["true", "false"])])
def test_classes_that_are_numbers_or_truths_may_be_listed(
    labels: list[int | bool], names: list[str], tmp_path: Path
) -> None:
    lines = [{"text": text, "label": label} for text, label in zip(("good", "bad"), labels, strict=True)]
    (tmp_path / "x.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = data(str(tmp_path / "x.jsonl"), tmp_path, labels=labels, validation_fraction=0)
    assert found.labels == names
    assert [example.label for example in found.examples["fit"]] == names


def test_a_folder_of_texts_without_classes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "by").mkdir()
    (tmp_path / "by" / "a.txt").write_text("good")
    with pytest.raises(ValueError, match=r"a\.txt: lies in no folder of a class: expected .*by/CLASS/a\.txt"):
        data(str(tmp_path / "by"), tmp_path)


def test_windows_must_fit(tmp_path: Path) -> None:
    found = data(tsv_file(tmp_path), tmp_path, max_length=5, stride=3)
    with pytest.raises(ValueError, match="stride 3: windows of 3 tokens can share at most 2"):
        found.samples("fit")
    found = data(tsv_file(tmp_path), tmp_path, max_length=2)
    with pytest.raises(ValueError, match="max_length 2: 2 of these tokens are special ones"):
        found.samples("fit")


def test_what_is_left_out_is_listed(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\ngood,pos\n ,neg\nbad,neg\nso,what\n")
    found = data(str(tmp_path / "x.csv"), tmp_path, labels=["neg", "pos"], on_error="skip")
    assert [example.text for example in found.examples["fit"]] == ["good", "bad"]
    (listed,) = (tmp_path / "cache" / "skipped").iterdir()
    entries = [json.loads(line) for line in listed.read_text().splitlines()]
    assert [entry["where"].rpartition(":")[2] for entry in entries] == ["3", "5"]
    assert entries[0]["why"] == "the text is empty"


def test_rows_without_a_field_are_left_out_too(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(
        '{"text": "good", "label": "pos"}\n{"text": "so"}\n{"text": "bad", "label": "neg"}'
    )
    (tmp_path / "x.csv").write_text("text,label\ngood,pos\nso\nbad,neg\n")
    for name, line, why in (
        ("x.jsonl", "2", "there is no field 'label'"),
        ("x.csv", "3", "has 1 columns, expected 2"),
    ):
        found = data(str(tmp_path / name), tmp_path, on_error="skip")
        assert [example.text for example in found.examples["fit"]] == ["good", "bad"]
        ((where, told),) = found.skipped
        assert where == f"{tmp_path}/{name}:{line}"
        assert told.startswith(why)
        with pytest.raises(ValueError, match=f"{name}:{line}: {why}"):
            data(str(tmp_path / name), tmp_path)
    with pytest.raises(ValueError, match=r"no example left; the first of 3 .*x.jsonl:1: there is no field 'labels'"):
        data(str(tmp_path / "x.jsonl"), tmp_path, label_field="labels", on_error="skip")


def test_a_column_has_a_number_of_digits(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("text,label\ngood,pos\nbad,neg\n")
    with pytest.raises(ValueError, match="there is no column '²'"):
        data(str(tmp_path / "x.csv"), tmp_path, label_field="²")


def test_examples_can_be_read_by_themselves(tmp_path: Path) -> None:
    found = LabelReader().read(tsv_file(tmp_path))
    assert [(example.request()["text"], example.gold) for example in found] == ROWS
