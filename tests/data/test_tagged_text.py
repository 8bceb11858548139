"""Sentences with tags: what files say, what becomes of it, and what is wrong with them."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from plmlight.data import TaggedText
from plmlight.data.tagged_files import read_tagged
from plmlight.text import train_tokenizer
from plmlight.text.word_rows import WordReader, join_words, split_words

CONLL = "-DOCSTART- -X- O O\r\n\r\nJohn NNP B-PER\r\nSmith NNP I-PER\r\nsleeps VBZ O\r\n\r\n\r\nParis\tNNP\tB-LOC\r\n"
BMES = "张 B-NAME\n三 E-NAME\n在 O\n\n李 S-NAME\n， O\n"


def data(tmp_path: Path, text: str, name: str = "train.txt", **options: Any) -> TaggedText:
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    options = {"validation_fraction": 0.0, "cache_folder": str(tmp_path / "cache"), **options}
    return TaggedText(str(tmp_path / name), **options)


def records(*entries: dict[str, Any]) -> str:
    return "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)


def test_columns_are_read(tmp_path: Path) -> None:
    found = data(tmp_path, CONLL)
    first, second = found.examples["fit"]
    assert (first.words, first.tags) == (("John", "Smith", "sleeps"), ("B-PER", "I-PER", "O"))
    assert (second.words, second.tags, second.where()) == (("Paris",), ("B-LOC",), f"{tmp_path}/train.txt:8")
    assert first.where(1) == f"{tmp_path}/train.txt:4"
    assert (found.scheme, found.unit) == ("BIO", "word")
    # I-LOC is not there, but may be elsewhere
    assert found.labels == ["B-LOC", "B-PER", "I-LOC", "I-PER", "O"]


def test_another_column_is_read(tmp_path: Path) -> None:
    found = data(tmp_path, CONLL, tag_column=1)
    assert found.labels == ["NNP", "VBZ"]
    assert found.scheme == "none"


def test_universal_dependencies_are_read(tmp_path: Path) -> None:
    rows = ["# sent_id = 1", "# text = Vámonos a Nueva York", "1-2\tVámonos\t_", "1\tVamos\tVERB", "2\tnos\tPRON"]
    rows += ["3\ta\tADP", "4\tNueva York\tPROPN", "4.1\tleft\t_", "", "# sent_id = 2", "1\t#\tSYM", "2\tb\tNOUN", ""]
    found = data(tmp_path, "\n".join(rows), "train.conllu", word_column=1, tag_column=2)
    first, second = found.examples["fit"]
    assert (first.words, first.tags) == (("Vamos", "nos", "a", "Nueva York"), ("VERB", "PRON", "ADP", "PROPN"))
    assert first.where(2) == f"{tmp_path}/train.conllu:4"  # lines between words do not count
    assert (second.words, second.tags) == (("#", "b"), ("SYM", "NOUN"))
    assert second.where(1) == f"{tmp_path}/train.conllu:12"


def test_characters_with_tags_are_read(tmp_path: Path) -> None:
    found = data(tmp_path, BMES, "train.char.bmes")
    assert [example.tags for example in found.examples["fit"]] == [("B-NAME", "E-NAME", "O"), ("S-NAME", "O")]
    assert (found.scheme, found.unit) == ("BIOES", "character")


def test_spans_of_texts_become_tags(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": 4, "label": "PER"}, {"start": 14, "end": 19, "label": "LOC"}]
    text = records(
        {"text": "John lives in Paris-based firms", "spans": spans},
        {"text": "张三在北京", "spans": [{"start": 3, "end": 5, "label": "LOC"}]},
        {"tokens": ["a", "b"], "tags": ["O", "B-LOC"]},
    )
    found = data(tmp_path, text, "train.jsonl")
    first, second, third = found.examples["fit"]
    assert first.words == ("John", "lives", "in", "Paris", "-based", "firms")
    assert first.tags == ("B-PER", "O", "O", "B-LOC", "O", "O")
    assert (second.words, second.tags) == (("张", "三", "在", "北", "京"), ("O", "O", "O", "B-LOC", "I-LOC"))
    assert third.tags == ("O", "B-LOC")
    assert found.cut_words == {"fit": 1}


@pytest.mark.parametrize(("scheme", "expected"), [("BIOES", "B-PER E-PER O"), ("BMES", "B-PER E-PER O")])
def test_spans_are_written_in_another_scheme(tmp_path: Path, scheme: Any, expected: str) -> None:
    found = data(tmp_path, CONLL, scheme=scheme)
    assert " ".join(found.examples["fit"][0].tags) == expected
    assert found.examples["fit"][1].tags == ("S-LOC",)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a I-X\nb O\nc I-X\nd I-X\n\ne I-Y\nf I-X\n", "B-X O B-X I-X B-Y B-X"),  # IO
        ("a I-X\nb B-X\nc I-X\nd B-X\n\ne O\nf I-X\n", "B-X B-X I-X B-X O B-X"),  # IOB1
    ],
)
def test_tags_without_beginnings_are_read_as_bio(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str, expected: str
) -> None:
    caplog.set_level(logging.INFO)
    found = data(tmp_path, text, validation_files=str(tmp_path / "train.txt"), invalid="error")
    for stage in ("fit", "validate"):
        assert " ".join(tag for example in found.examples[stage] for tag in example.tags) == expected
    assert "train.txt: spans begin with I, and with B where one of their kind is before them" in caplog.text
    caplog.clear()
    tags = [{"tokens": words, "tags": tags} for words, tags in [(["a", "b"], ["B-X", "I-X"]), (["c"], ["O"])]]
    assert data(tmp_path, records(*tags), "b.jsonl").examples["fit"][0].tags == ("B-X", "I-X")
    assert "begin with I" not in caplog.text


def test_several_files_are_named_one_beside_the_other(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text("x O\n")
    files = [str(tmp_path / name) for name in ("a.txt", "b.txt")]
    with pytest.raises(ValueError, match=r"^\S+a\.txt \S+b\.txt: all words have the tag 'O'"):
        TaggedText(files, validation_fraction=0.0, cache_folder=str(tmp_path / "cache"))


def test_tags_of_words_that_begin_like_those_of_spans_are_kept(tmp_path: Path) -> None:
    found = data(tmp_path, "a I\nb IN\nc O\n\nd BE\n")
    assert [example.tags for example in found.examples["fit"]] == [("I", "IN", "O"), ("BE",)]
    assert found.scheme == "none"


def test_labels_without_beginnings_are_kept(tmp_path: Path) -> None:
    found = data(tmp_path, "a I-X\nb O\nc I-X\n", labels=["I-X", "O"])
    assert found.examples["fit"][0].tags == ("I-X", "O", "I-X")
    assert found.invalid_transitions == {"fit": 0}


def test_transitions_that_the_scheme_does_not_know_are_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    text = "a I-X\nb O\nc I-X\n\nd B-X\ne I-X\n"
    assert data(tmp_path, text).invalid_transitions == {"fit": 2}
    said = "train.txt:1: I-X may not stand at the beginning of a sentence in the scheme BIO; to fit on there are 2 such"
    assert said in caplog.text
    assert data(tmp_path, text, scheme="BIO").invalid_transitions == {"fit": 0}
    with pytest.raises(
        ValueError, match=r"train.txt:1: I-X may not stand at the beginning of a sentence in the scheme"
    ):
        data(tmp_path, text, invalid="error")
    with pytest.raises(ValueError, match=r"train.txt:4: I-X may not stand after O"):
        data(tmp_path, "x B-X\n\nc O\nd I-X\n", invalid="error")
    with pytest.raises(ValueError, match=r"train.txt:2: M-X may not end a sentence in the scheme BMES"):
        data(tmp_path, "a B-X\nb M-X\n\nc S-X\n", invalid="error")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "John B-PER\nSmith\n", r"a.txt:2: has 1 column \('Smith'\); expected a word in column 0 and its tag"),
        ("a.txt", "\n-DOCSTART- O\n\n", "a.txt: has no sentence"),
        ("a.txt", "", "a.txt: has no sentence"),
        (
            "a.jsonl",
            records({"tokens": ["a", "b"], "tags": ["O"]}),
            "a.jsonl:1: has 2 tokens and 1 tags; expected as many",
        ),
        ("a.jsonl", records({"tokens": ["a"], "tags": "O"}), "a.jsonl:1: field 'tags' should be a list of strings"),
        ("a.jsonl", records({"words": ["a"]}), "a.jsonl:1: has 'words'; expected 'tokens' and 'tags', or 'text'"),
        (
            "a.jsonl",
            records({"text": "ab", "spans": [{"start": 1, "end": 3, "label": "X"}]}),
            r"a.jsonl:1: the span 1 to 3 \(X\) is not in the text of 2 characters",
        ),
        (
            "a.jsonl",
            records({"text": "ab", "spans": [{"start": 0, "label": "X"}]}),
            "a.jsonl:1: a span needs 'start', 'end' and 'label'",
        ),
        (
            "a.jsonl",
            records(
                {"text": "a b", "spans": [{"start": 0, "end": 3, "label": "X"}, {"start": 2, "end": 3, "label": "Y"}]}
            ),
            r"a.jsonl:1: the spans 0 to 3 \(X\) and 2 to 3 \(Y\) overlap",
        ),
        ("a.jsonl", records({"text": "a  b", "spans": [{"start": 1, "end": 3, "label": "X"}]}), "nothing but white"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data(tmp_path, text, name)


def test_a_tag_that_training_has_not_is_named(tmp_path: Path) -> None:
    (tmp_path / "test.txt").write_text("Rome B-LOK\n")
    with pytest.raises(ValueError, match=r"test.txt:1: the tag 'B-LOK' is not known; did you mean 'B-LOC'\?"):
        data(tmp_path, CONLL, test_files=str(tmp_path / "test.txt"))


@pytest.mark.parametrize("fold", range(3))
def test_training_keeps_an_example_of_each_tag(fold: int, tmp_path: Path) -> None:
    text = "".join(f"a O\nb B-{i // 2}\n\n" for i in range(25))
    found = data(tmp_path, text, folds=3, fold=fold)
    tags = {stage: {tag for each in found.examples[stage] for tag in each.tags} for stage in ("fit", "validate")}
    assert tags["validate"] < tags["fit"] == set(found.labels)
    assert "B-12" not in tags["validate"]


def test_a_word_has_its_tag_at_its_first_token(tmp_path: Path) -> None:
    wordpiece = train_tokenizer(["john smith sleeps Paris"], "wordpiece", 40, lowercase=True)
    wordpiece.save(str(tmp_path / "tokenizer.json"))
    found = data(tmp_path, CONLL, tokenizer=str(tmp_path / "tokenizer.json"))
    row = found.samples("fit").rows[0]
    tokens = [wordpiece.id_to_token(number) for number in row["input_ids"]]
    assert tokens[0] == "[CLS]"
    assert tokens[-1] == "[SEP]"
    tagged = [(tokens[place], found.labels[label]) for place, label in enumerate(row["labels"]) if label != -100]
    assert [tag for _, tag in tagged] == ["B-PER", "I-PER", "O"]
    assert not any(str(token).startswith("##") for token, _ in tagged)
    assert len(tagged) < len(tokens) - 2
    assert ((row["labels"] != -100) == (row["word_mask"] == 1)).all()


def test_a_long_sentence_is_read_in_parts(tmp_path: Path) -> None:
    text = "".join(f"{word} {'B-X' if word == 'c' else 'O'}\n" for word in "abcdefg")
    found = data(tmp_path, text + "\na O\n", max_length=6, tokenizer_vocab_size=40)
    rows = found.samples("fit").rows
    assert [row["example_ids"] for row in rows] == [0, 0, 0, 1]
    assert [row["first_words"] for row in rows] == [0, 2, 4, 0]
    assert max(len(row["input_ids"]) for row in rows) == 6
    for row in rows:
        tags = [found.labels[label] for label in row["labels"] if label >= 0]
        first = row["first_words"]
        assert tags == list(found.examples["fit"][row["example_ids"]].tags[first : first + len(tags)])
    assert found.long_sentences == {"fit": 1}


def test_no_room_for_words_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="max_length 2 leaves no room for words beside 2 special tokens"):
        data(tmp_path, CONLL, max_length=2).samples("fit")


KINDS = ["byte-bpe", "bpe", "wordpiece", "unigram", "character", "byte", "word", "roberta", "albert", "xlm", "xlnet"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_length", [None, 9])
def test_each_word_has_a_token_whatever_cuts_it(kind: Any, max_length: int | None) -> None:
    tokenizer: Tokenizer = train_tokenizer(["the cat sat on the mat ."] * 9, kind, 300)
    sentences = [["the", "cat", "…", "\u200b", "dog", "张", "三", "sat"], ["extraordinarily"], []]
    for words, rows in zip(sentences, WordReader(tokenizer, max_length).read(sentences), strict=True):
        assert {row.first + place for row in rows for place in range(len(row.starts))} == set(range(len(words)))
        assert len(rows) <= 1 or max_length is not None
        for row in rows:
            assert row.starts == sorted(set(row.starts))
            assert max_length is None or len(row.encoding.ids) <= max_length


def test_spaces_are_marked_as_in_text() -> None:
    tokenizer = train_tokenizer(["a cat sat"], "byte-bpe", 300)
    ((row,),) = WordReader(tokenizer).read([["cat", "sat", "张", "三"]])
    assert tokenizer.decode(row.encoding.ids) == " cat sat张三"


def test_words_are_joined_and_split() -> None:
    text, offsets = join_words(["John", "lives", "张", "三", "OK", "."])
    assert text == "John lives张三OK ."
    assert [text[start:end] for start, end in offsets] == ["John", "lives", "张", "三", "OK", "."]
    line = "Mr. O'Neil paid 3,000.50 in 北京2008。"
    assert [line[slice(*each)] for each in split_words(line)] == [
        *("Mr", ".", "O'Neil", "paid", "3,000.50", "in", "北", "京", "2008", "。")
    ]
    assert [line[slice(*each)] for each in split_words(line, "character")] == list(line.replace(" ", ""))


def test_rows_go_into_batches(tmp_path: Path) -> None:
    found = data(tmp_path, CONLL, batch_size=2)
    found.setup("fit")
    (batch,) = list(found.train_dataloader())
    assert batch["labels"].shape == batch["word_mask"].shape == batch["input_ids"].shape
    assert (batch["labels"][batch["attention_mask"] == 0] == -100).all()
    assert sorted(batch["example_ids"].tolist()) == [0, 1]


def test_what_is_asked_and_answered_is_given(tmp_path: Path) -> None:
    (tmp_path / "x.txt").write_text("a B-X\nb O\n")
    (example,) = read_tagged(str(tmp_path / "x.txt"))
    assert example.request() == {"tokens": ["a", "b"]}
    assert example.gold == ["B-X", "O"]
