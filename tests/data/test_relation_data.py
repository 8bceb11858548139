import json
import re
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from plmlight.data import RelationData
from plmlight.data.relation_data import find_markers, read_relations

ITEMS = """1\t"The <e1>storm</e1> caused a <e2>flood</e2>."
Cause-Effect(e1,e2)
Comment: plain

2\t"A <e2>flood</e2> came from the <e1>storm</e1>."
Other
Comment:

3\t"The <e1>flood</e1> "came" from a <e2>storm</e2>."\r
Cause-Effect(e2,e1)\r
"""


def written(folder: Path, text: str, name: str = "train.txt") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_semeval(tmp_path: Path) -> None:
    found, skipped = read_relations(written(tmp_path, ITEMS))
    assert skipped == []
    assert [example.label for example in found] == ["Cause-Effect(e1,e2)", "Other", "Cause-Effect(e2,e1)"]
    entities = [example.marked.entities for example in found]
    assert entities == [("storm", "flood"), ("storm", "flood"), ("flood", "storm")]
    assert found[2].marked.text == 'The flood "came" from a storm.'
    assert found[0].request() == {"text": "The storm caused a flood.", "head": [4, 9], "tail": [19, 24]}
    assert found[1].gold == "Other"
    unlabelled, _ = read_relations(written(tmp_path, "".join(ITEMS.splitlines(True)[::4][:2]), "test.txt"))
    assert [example.label for example in unlabelled] == [None, None]


def test_jsonl(tmp_path: Path) -> None:
    records = [
        {"text": "大雨引起了洪水", "head": [0, 2], "tail": [5, 7], "label": "cause"},
        {"text": "<e1>雨</e1>和<e2>雪</e2>", "label": "none"},
    ]
    file = written(tmp_path, "".join(json.dumps(record) + "\n" for record in records), "a.jsonl")
    found, _ = read_relations(file)
    assert [(example.marked.entities, example.label) for example in found] == [
        (("大雨", "洪水"), "cause"),
        (("雨", "雪"), "none"),
    ]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", '1\t"A <e1>b</e1> c."\nOther\n', "a.txt:1: the marker <e2> is missing"),
        ("a.txt", '\n1\t"A <e1>b <e2>c</e2></e1>."\nOther\n', "a.txt:2: the markers are nested"),
        ("a.txt", "Other\n", "a.txt:1: expected a text (id TAB \"text\"), got 'Other'"),
        ("a.txt", '1\t"<e1>b</e1> <e2>c</e2>"\nA\nB\n', "a.txt:3: expected a comment or a text"),
        ("a.txt", "\n", "a.txt: has no text"),
        ("a.jsonl", '{"text": "a b", "head": [0, 1], "label": "x"}\n', "a.jsonl:1: expected two whole numbers"),
        ("a.jsonl", '{"text": "a b", "label": 3}\n', "a.jsonl:1: field 'label' is int, expected a string"),
        ("a.jsonl", "[1]\n", "a.jsonl:1: expected an object"),
        ("a.csv", "text,label\n", "a.csv: expected relations as .txt"),
    ],
)
def test_what_cannot_be_read_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_relations(written(tmp_path, text, name))


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    file = written(tmp_path, ITEMS + '\n4\t"no entity"\nOther\n')
    found, skipped = read_relations(file, "skip")
    assert len(found) == 3
    assert skipped == [(f"{file}:12", "the marker <e1> is missing")]


def test_what_is_left_out_is_written_to_a_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    far = f'9\t"<e1>a</e1> {"b " * 40}<e2>c</e2>"\nOther\n\n'
    file = written(tmp_path, many() + '8\t"no entity"\nOther\n\n' + far)
    made = RelationData(
        file, on_error="skip", validation_fraction=0, max_length=24, cache_folder=str(tmp_path / "cache")
    )
    (first,) = (tmp_path / "cache" / "skipped").iterdir()
    assert [json.loads(line)["why"] for line in first.read_text().splitlines()] == ["the marker <e1> is missing"]
    assert len(made.samples("fit")) == 8
    (later,) = set((tmp_path / "cache" / "skipped").iterdir()) - {first}
    told = [json.loads(line) for line in later.read_text().splitlines()]
    assert len(told) == len(made.skipped) == 2
    assert "the entities and what is between them are" in told[1]["why"]


def words(*vocabulary: str) -> Tokenizer:
    return Tokenizer(models.WordLevel({word: id_ for id_, word in enumerate(vocabulary)}, unk_token="[UNK]"))


BERT = words(
    "[PAD]", "[unused1]", "[unused3]", "[unused2]", "[unused10]", "a", "[unused11]", "[CLS]", "[MASK]", "[UNK]"
)


def test_markers() -> None:
    assert find_markers(BERT) == [1, 3, 2, 4]
    assert find_markers(words("a", "[unused0]")) == [2, 3, 4, 5]
    assert find_markers(BERT, ["a", "[unused2]", "[unused1]", "[unused11]"]) == [5, 3, 1, 6]
    with pytest.raises(ValueError, match="expected four tokens"):
        find_markers(BERT, ["a"])
    with pytest.raises(ValueError, match="has no token 'b'"):
        find_markers(BERT, ["a", "b", "[PAD]", "[unused1]"])


@pytest.mark.parametrize(
    ("tokenizer", "name", "use"),
    [(BERT, "[PAD]", "pad"), (BERT, "[CLS]", "cls"), (BERT, "[MASK]", "mask"), (words("first", "a"), "first", "pad")],
)
def test_a_token_of_another_use_is_no_marker(tokenizer: Tokenizer, name: str, use: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"markers: the token {name!r} has another use ({use})")):
        find_markers(tokenizer, ["a", name], 2)


def many(count: int = 8) -> str:
    return "".join(
        f'{n}\t"The <e1>storm {n}</e1> caused <e2>flood {n}</e2>."\n{["Other", "Cause(e1,e2)"][n % 2]}\nComment:\n\n'
        for n in range(count)
    )


def test_rows(tmp_path: Path) -> None:
    file = written(tmp_path, many())
    data = RelationData(
        file, validation_files=file, predict_files=written(tmp_path, '9\t"<e1>storm</e1> <e2>flood</e2>"\n', "p.txt"),
        max_length=32, cache_folder=str(tmp_path / "cache"),
    )  # fmt: skip
    assert data.labels == ["Cause(e1,e2)", "Other"]
    size = data.tokenizer.get_vocab_size()
    assert data.markers == [size, size + 1, size + 2, size + 3]
    assert data.vocab_size == size + 4
    batch = data.samples("validate").batch(np.arange(8), 0)
    assert batch["labels"].tolist() == [1, 0] * 4
    assert all((batch["input_ids"] == marker).sum(1).tolist() == [1] * 8 for marker in data.markers)
    assert "labels" not in data.samples("predict").batch(np.arange(1), 0)


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    file, cache = written(tmp_path, many()), str(tmp_path / "cache")
    one = written(tmp_path, "".join(many(1)), "one.txt")
    with pytest.raises(ValueError, match="only one relation, 'Other': at least two are needed"):
        RelationData(one, validation_fraction=0.0, cache_folder=cache)
    with pytest.raises(ValueError, match=r"the relation 'Other' is not known; did you mean 'other'\?"):
        RelationData(file, labels=["Cause(e1,e2)", "other"], cache_folder=cache)
    with pytest.raises(ValueError, match="has no example of the relation 'Third'"):
        RelationData(file, labels=["Cause(e1,e2)", "Other", "Third"], cache_folder=cache)
    with pytest.raises(ValueError, match=r"p\.txt:1: the text has no relation"):
        RelationData(file, test_files=written(tmp_path, '9\t"<e1>a</e1> <e2>b</e2>"\n', "p.txt"), cache_folder=cache)
    data = RelationData(file, max_length=8, cache_folder=cache)
    with pytest.raises(ValueError, match="and there is room for 6; on_error skip"):
        data.samples("fit")
    with pytest.raises(ValueError, match=r"example left; the first of 1 was refused: .*x\.txt:1: the marker <e1> is"):
        RelationData(written(tmp_path, '1\t"x"\nOther\n', "x.txt"), on_error="skip", cache_folder=cache)
