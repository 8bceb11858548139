"""Sentences with predicates: what files say, what becomes of it, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from plmlight.data import RoleData
from plmlight.data.propositions import read_roles
from plmlight.decoding.predicates import ClauseReader, ClauseRow
from plmlight.text import train_tokenizer

CONLL_2005 = """\
The    DT  (S(NP*  -     (A0*   (A0*
cat    NN  *)      -     *)     *)
sat    VBD (VP*    sit   (V*)   *
and    CC  *       -     *      *
ate    VBD (VP*    eat   *      (V*)
fish   NN  *))     -     *      (A1*)

Rain   NN  *       -

It     PRP *       -     (A1*)
fell   VBD *       fall  (V*)
"""
CONLL_2012 = """\
#begin document (bc/x/00/x_0000); part 000
bc/x 0 0 Ann NNP (TOP(S(NP*) - - - S1 (PERSON) (ARG0*) (ARG0*) (1)
bc/x 0 1 wants VBZ (VP* want 01 1 S1 * (V*) * -
bc/x 0 2 to TO (S(VP* - - - S1 * (ARG1* * -
bc/x 0 3 leave VB (VP*)))) leave 02 2 S1 * *) (V*) -
bc/x 0 4 town NN (NP*)) town - 1 S1 * * * -

#end document
"""


def records(*entries: dict[str, Any]) -> str:
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def data(folder: Path, text: str, name: str = "train.txt", **options: Any) -> RoleData:
    (folder / name).write_text(text)
    options = {"validation_fraction": 0.0, "cache_folder": str(folder / "cache"), **options}
    return RoleData(str(folder / name), **options)


def test_the_columns_of_2005_are_read(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(CONLL_2005)
    first, second, third = read_roles(str(tmp_path / "train.txt"))
    assert first.words == second.words == ("The", "cat", "sat", "and", "ate", "fish")
    assert (first.predicate, " ".join(first.tags)) == (2, "B-A0 I-A0 B-V O O O")
    assert (second.predicate, " ".join(second.tags)) == (4, "B-A0 I-A0 O O B-V B-A1")
    assert (third.words, third.predicate, third.tags) == (("It", "fell"), 1, ("B-A1", "B-V"))
    assert third.where(1) == f"{tmp_path}/train.txt:11"
    assert second.request() == {"tokens": list(second.words), "predicate": 4}
    assert second.gold == list(second.tags)


def test_the_columns_of_2012_are_read(tmp_path: Path) -> None:
    (tmp_path / "x.conll").write_text(CONLL_2012)
    first, second = read_roles(str(tmp_path / "x.conll"))
    assert first.words == ("Ann", "wants", "to", "leave", "town")
    assert (first.predicate, " ".join(first.tags)) == (1, "B-ARG0 B-V B-ARG1 I-ARG1 O")
    assert (second.predicate, " ".join(second.tags)) == (3, "B-ARG0 O O B-V O")
    assert first.where() == f"{tmp_path}/x.conll:2"


def test_records_have_tags_or_spans(tmp_path: Path) -> None:
    spans = [{"start": 1, "end": 2, "label": "V"}, {"start": 0, "end": 1, "label": "A1"}]
    text = records(
        {"tokens": ["It", "fell"], "predicate": 1, "tags": ["B-A1", "B-V"]},
        {"words": ["It", "fell"], "predicate": 1, "spans": spans},
        {"words": ["It", "rains"], "predicate": 1, "tags": ["O", "O"]},
    )
    (tmp_path / "x.jsonl").write_text(text)
    first, second, third = read_roles(str(tmp_path / "x.jsonl"))
    assert first.tags == second.tags == ("B-A1", "B-V")
    assert third.tags == ("O", "O")
    assert second.where(1) == f"{tmp_path}/x.jsonl:2"


def test_roles_may_be_missing_where_they_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(records({"tokens": ["It", "fell"], "predicate": 1}))
    (tmp_path / "x.txt").write_text("It -\nfell fall\n\nAnn -\nsaw see\nhim -\nleave leave\n")
    found = read_roles([str(tmp_path / "x.jsonl"), str(tmp_path / "x.txt")], labelled=False)
    assert [(example.words[example.predicate], example.tags) for example in found] == [
        *(("fell", ()), ("fell", ()), ("saw", ()), ("leave", ()))
    ]


def test_texts_are_predicted_on_as_they_are_asked_about(tmp_path: Path) -> None:
    given: list[dict[str, Any]] = [{"text": "It [fell]."}]
    given += [{"text": "It fell.", "predicate": place} for place in ([3, 7], "It")]
    (tmp_path / "x.jsonl").write_text(records(*given))
    (tmp_path / "x.txt").write_text("\n[Give up] now!\nI - say - [gave].\n")
    files = [str(tmp_path / name) for name in ("x.jsonl", "x.txt")]
    made = data(tmp_path, CONLL_2005, predict_files=files)
    rows = made.samples("predict").rows
    assert [row["requests"] for row in rows] == [*given, {"text": "[Give up] now!"}, {"text": "I - say - [gave]."}]
    assert [row["places"].rpartition("/")[2] for row in rows[2:]] == ["x.jsonl:3", "x.txt:2", "x.txt:3"]
    found = made.examples["predict"]
    assert [example.words[example.predicate] for example in found] == ["fell", "fell", "It", "Give", "gave"]


def test_a_word_in_brackets_is_a_word_in_columns(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("[1] -\nfell fall\n")
    (found,) = read_roles(str(tmp_path / "x.txt"), labelled=False)
    assert (found.words, found.predicate) == (("[1]", "fell"), 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "It [fell].\nIt fell.\n", r"a\.txt:2: no predicate is marked: write one \[predicate\] in the text"),
        ("a.jsonl", records({"text": "It fell."}), r"a\.jsonl:1: no predicate is marked"),
        ("a.jsonl", records({"text": 3}), r"a\.jsonl:1: expected a text under 'text'"),
    ],
)
def test_texts_without_one_predicate_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_roles(str(tmp_path / name), labelled=False)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.txt",
            "It - (A1*)\nfell fall (V*)\nhard hard *\n",
            r"a.txt:1: the sentence has 2 predicates \(fell, hard\) and 1 column of roles; expected one for each",
        ),
        (
            "a.txt",
            "It - (A1*) *\nfell fall (V*) *\n",
            r"a.txt:1: the sentence has 1 predicate \(fell\) and 2 columns of roles; expected one for each",
        ),
        ("a.txt", "x -\n\nIt - (A1*\nfell fall (V*)\n", "a.txt:4: the role V begins within A1, which has not ended"),
        ("a.txt", "It fall (V*)\nfell - (A1*\nhard - *\n", "a.txt:2: the role A1 has no end"),
        ("a.txt", "It - *)\nfell fall (V*)\n", r"a.txt:1: a role ends \(\*\)\) that has not begun"),
        ("a.txt", "It - (A1*)\nfell fall (V\n", r"a.txt:2: '\(V' is no part of a role; expected \(A0\*, \*, \*\)"),
        ("a.txt", "It - (A1*)\nfell fall\n", "a.txt:2: has 2 columns, and the sentence's first line 3"),
        ("a.txt", "It\nfell\n", r"a.txt:1: has 1 column \('It'\); expected those of CoNLL-2005: the word in column 0"),
        ("a.txt", "#begin document x\nIt -\nfell fall\n", r"a.txt:2: has 2 columns .*; expected those of CoNLL-2012"),
        ("a.txt", "It -\nrained -\n", "a.txt: has no predicate"),
        ("a.txt", "\n", "a.txt: has no predicate"),
        (
            "a.jsonl",
            records({"tokens": ["a"], "tags": ["O"]}),
            "a.jsonl:1: has no predicate; expected the number of its",
        ),
        (
            "a.jsonl",
            records({"tokens": ["a", "b"], "predicate": 2, "tags": ["O", "O"]}),
            "a.jsonl:1: the predicate is word 2 of 2; expected 0 to 1",
        ),
        ("a.jsonl", records({"tokens": ["a"], "predicate": "a", "tags": ["O"]}), "a.jsonl:1: field 'predicate' is 'a'"),
        (
            "a.jsonl",
            records({"tokens": ["a", "b"], "predicate": 0, "tags": ["B-V"]}),
            "a.jsonl:1: has 2 tokens and 1 tags; expected as many of both",
        ),
        ("a.jsonl", records({"tokens": ["a"], "predicate": 0, "tags": ["A0"]}), "a.jsonl:1: the tag 'A0' is not BIO"),
        ("a.jsonl", records({"tokens": [], "predicate": 0, "tags": []}), "a.jsonl:1: has no tokens"),
        (
            "a.jsonl",
            records({"tokens": ["a"], "predicate": 0, "spans": [{"start": 0, "end": 2, "label": "V"}]}),
            r"a.jsonl:1: the span 0 to 2 \(V\) is not in 1 words",
        ),
        (
            "a.jsonl",
            records({"tokens": ["a"], "predicate": 0, "spans": [{"start": 0, "label": "V"}]}),
            "a.jsonl:1: a span needs 'start' and 'end'",
        ),
        (
            "a.jsonl",
            records(
                {
                    "tokens": ["a", "b"],
                    "predicate": 0,
                    "spans": [{"start": 0, "end": 2, "label": "V"}, {"start": 1, "end": 2, "label": "A1"}],
                }
            ),
            "a.jsonl:1: the spans of V and A1 overlap, and a word has one role",
        ),
    ],
)
def test_what_is_wrong_is_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_roles(str(tmp_path / name))


def test_a_role_that_training_has_not_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("It - (A2*)\nfell fall (V*)\n")
    with pytest.raises(ValueError, match=r"test.txt:1: the tag 'B-A2' is not known; did you mean 'B-A[01]'\?"):
        data(tmp_path, CONLL_2005, test_files=str(tmp_path / "test.txt"))


def test_roles_are_needed_to_train_on(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"tokens": ["she", "left"], "predicate": 1, "tags": ["O", "O"]}\n' * 20)
    with pytest.raises(ValueError, match=r"a.jsonl: all words are without a role: at least one role is needed"):
        RoleData(str(tmp_path / "a.jsonl"), validation_fraction=0, cache_folder=str(tmp_path / "cache"))


def test_labels_are_complete_and_the_markers_new(tmp_path: Path) -> None:
    found = data(tmp_path, CONLL_2005)
    assert found.labels == ["B-A0", "B-A1", "B-V", "I-A0", "I-A1", "I-V", "O"]
    size = found.tokenizer.get_vocab_size()
    assert (found.markers, found.vocab_size) == ([size, size + 1], size + 2)
    assert found.told("fit", 0) == ("The", "cat", "[sat]", "and", "ate", "fish")
    (tmp_path / "x").mkdir()
    assert data(tmp_path / "x", "It - (A1*)\nfell fall (V*)\n").labels == ["B-A1", "B-V", "O"]
    with pytest.raises(ValueError, match="expected two, before and after the predicate"):
        data(tmp_path, CONLL_2005, markers=["a"])


def test_the_predicate_is_between_its_markers_and_words_have_their_labels(tmp_path: Path) -> None:
    found = data(tmp_path, CONLL_2005)
    for row, example in zip(found.samples("fit").rows, found.examples["fit"], strict=True):
        ids = list(row["input_ids"])
        before, after = (ids.index(marker) for marker in found.markers)
        starts = [place for place, label in enumerate(row["labels"]) if label != -100]
        assert starts[example.predicate] == before + 1
        assert example.predicate + 1 == len(starts) or starts[example.predicate + 1] == after + 1
        assert [found.labels[row["labels"][place]] for place in starts] == list(example.tags)
        plain = [id_ for id_ in ids if id_ not in found.markers]
        assert plain == found.plain_tokenizer().encode(list(example.words), is_pretokenized=True).ids


def test_sentences_are_not_parted_between_training_and_validation(tmp_path: Path) -> None:
    text = "".join(f"w{n} -  (A0*) *\nruns run (V*) *\nsits sit * (V*)\n\n" for n in range(10))
    found = data(tmp_path, text, validation_fraction=0.3)
    assert len(found.examples["validate"]) == 6
    sides = [{example.words for example in found.examples[stage]} for stage in ("fit", "validate")]
    assert not sides[0] & sides[1]


def test_training_keeps_a_sentence_with_each_role(tmp_path: Path) -> None:
    text = "".join(f"w{n} -  (A{n // 2}*) *\nruns run (V*) *\nsits sit * (V*)\n\n" for n in range(24))
    for fold in range(2):
        assert len(data(tmp_path, text, folds=2, fold=fold).labels) == 14


def test_folds_are_of_whole_sentences(tmp_path: Path) -> None:
    text = "".join(f"w{n} -  (A0*) *\nruns run (V*) *\nsits sit * (V*)\n\n" for n in range(3))
    with pytest.raises(ValueError, match=r"train.txt: folds 5 needs at least 5 .* there are 3 that may be parted"):
        data(tmp_path, text, folds=5)


def test_of_a_long_sentence_the_words_around_the_predicate_are_read() -> None:
    tokenizer = train_tokenizer(["a b c d e f g h i abcdefghi"], "wordpiece", 22)
    reader = ClauseReader(tokenizer, [60, 61], 8)  # two special tokens and two markers: four words
    words = list("abcdefghi")
    expected = {0: "[a]bcd", 4: "cd[e]f", 8: "fgh[i]"}
    for place, text in expected.items():
        (row,) = reader.read([(words, (place, place + 1))])
        assert isinstance(row, ClauseRow)
        told = "".join({60: "[", 61: "]"}.get(id_) or str(tokenizer.id_to_token(id_)) for id_ in row.ids[1:-1])
        assert told == text
        assert [tokenizer.id_to_token(row.ids[start]) for start in row.starts] == words[row.first : row.first + 4]
        assert len(row.type_ids) == len(row.ids) == 8
    assert reader.read([(["abcdefghi"], (0, 1))]) == ["the predicate is 9 tokens, and there is room for 4"]


def test_words_that_are_not_read_are_counted(tmp_path: Path) -> None:
    found = data(tmp_path, CONLL_2005, max_length=7, tokenizer_kind="word")  # without special tokens
    rows = found.samples("fit").rows
    assert [len(row["input_ids"]) for row in rows] == [7, 7, 4]
    assert rows[0]["roles"] == [found.labels.index(tag) for tag in found.examples["fit"][0].tags]
    assert found.truncated["fit"] == (2, 3)
