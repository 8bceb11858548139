"""Bad labelled data, as a user meets it: one line that names file, line and the nearest valid value, and status 2."""

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from plmlight import cli
from plmlight.loading import write_checkpoint
from plmlight.networks import BERT
from plmlight.tasks import QuestionAnswering, RelationExtraction, TokenClassification
from tests.runtime.labelled import ready, small_classifier

NETWORK = {"d_model": 8, "num_layers": 1, "num_heads": 2, "max_length": 64}
OFF = ["--trainer.accelerator=cpu", "--trainer.max_steps=1", "--trainer.enable_progress_bar=false"]
QUIET = ["--trainer.logger=false", "--trainer.enable_checkpointing=false", "--trainer.enable_model_summary=false"]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLMLIGHT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def written(name: str, content: str | Sequence[dict[str, Any]]) -> str:
    """Writes text, or records a line."""
    text = content if isinstance(content, str) else "".join(json.dumps(each) + "\n" for each in content)
    Path(name).write_text(text, encoding="utf-8")
    return name


def complaint(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line that a command says which must fail and leave no run behind."""
    capsys.readouterr()
    assert cli.main(words) == 2
    printed = capsys.readouterr().err.strip().splitlines()
    told = [line for line in printed if line.startswith(f"plmlight {words[0]}: ")]
    assert len(told) == 1, printed
    assert printed[-1] == told[0]
    assert not Path("runs").exists()
    return told[0]


def fit(task: str, data: str, *words: str) -> list[str]:
    sizes = [f"--model.network.{name}={value}" for name, value in NETWORK.items()]
    small = ["--data.tokenizer_vocab_size=90", "--data.validation_fraction=0"]
    return ["fit", "--model", task, "--model.network", "BERT", *sizes, "--data", data, *words, *small, *OFF, *QUIET]


def texts(*labels: str) -> list[dict[str, Any]]:
    return [{"text": f"a text of {label}", "label": label} for label in labels]


GOOD = texts("news", "sport", "weather", "sport")
TEXTS: dict[str, tuple[str, Any, list[str], str]] = {
    "an unknown label": (
        "test.jsonl",
        [*GOOD, *texts("sports")],
        [],
        "test.jsonl:5: the label 'sports' is not known; did you mean 'sport'?",
    ),
    "an unknown number": (
        "test.csv",
        "text,label\na,0\nb,3\n",
        ["--data.labels=[news,sport,weather]"],
        "test.csv:3: the label 3 is not known: expected a number from 0 to 2, or a name",
    ),
    "no such column": (
        "train.csv",
        "txt,label\na,b\n",
        [],
        "train.csv:1: there is no column 'text'; did you mean 'txt'?",
    ),
    "no such field": (
        "train.jsonl",
        [{"text": "a", "labels": "b"}],
        [],
        "train.jsonl:1: there is no field 'label'; did you mean 'labels'?",
    ),
    "an empty text": ("train.jsonl", [*GOOD, {"text": " ", "label": "news"}], [], "train.jsonl:5: the text is empty"),
    "half a character": (
        "train.jsonl",
        [*GOOD, {"text": "a \udc00 b", "label": "news"}],
        [],
        'train.jsonl:5: half a character (a surrogate without the other one) in \'{"text": "a \\udc00 b", "label"',
    ),
    "no label": ("train.jsonl", [*GOOD, {"text": "a", "label": None}], [], "train.jsonl:5: there is no label"),
    "no text": ("train.jsonl", [{"text": 3, "label": "b"}], [], "train.jsonl:1: field 'text' is int, expected a text"),
    "a class without an example": (
        "train.jsonl",
        texts("news", "sport"),
        ["--data.labels=[news,sport,weather]"],
        "train.jsonl: the class 'weather' has no example to train on",
    ),
    "one class": (
        "train.jsonl",
        texts("news", "news"),
        [],
        "train.jsonl: there is no other label than 'news' (2 examples)",
    ),
    "no label at all": (
        "train.csv",
        "text,label\na,\nb,\n",
        ["--model.problem=MultiLabel"],
        "train.csv: no example has a label",
    ),
    "nothing of what was to be skipped": (
        "test.csv",
        "text,label\n ,news\n",
        ["--data.on_error=skip"],
        "test.csv: there is no example left; the first of 1 was refused: test.csv:2: the text is empty",
    ),
    "too few columns": ("train.tsv", "text\tlabel\na\tx\nb\n", [], "train.tsv:3: has 1 columns, expected 2"),
    "a quote that is never closed": (
        "train.csv",
        'text,label\na,x\n"b,y\nc,x\nd,y\n',
        [],
        "train.csv:3: not a row of CSV (its quote is never closed)",
    ),
    "a quote within": ("train.csv", 'text,label\na,x\n"b" c,y\n', [], "train.csv:3: not a row of CSV ("),
    "nothing": ("train.jsonl", "", [], "train.jsonl"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, words, message = TEXTS[case]
    test = ["--data.test_files", written(name, content)] if name.startswith("test") else []
    train = written("good.jsonl", GOOD) if test else written(name, content)
    assert message in complaint(fit("TextClassification", "LabelledText", "--data.files", train, *test, *words), capsys)


PAIRS: dict[str, tuple[str, Any, list[str], str]] = {
    "no such column": (
        "train.tsv",
        "sentence1\tsentence\tlabel\na\tb\tc\n",
        [],
        "train.tsv:1: there is no column 'sentence2'; did you mean 'sentence'?",
    ),
    "an empty second text": (
        "train.tsv",
        "sentence1\tsentence2\tlabel\na\tb\tyes\nb\t \tno\n",
        [],
        "train.tsv:3: field 'sentence2' is empty",
    ),
    "no number": (
        "train.csv",
        "a,b,1.5\nc,d,high\n",
        [*("--data.first_field=1", "--data.second_field=2", "--data.label_field=3"), "--model.problem=Regression"],
        "train.csv:2: the label 'high' is no number",
    ),
    "one class": (
        "train.csv",
        "sentence1,sentence2,label\na,b,1\nc,d,1\n",
        [],
        "there is no other label than '1' (2 examples)",
    ),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, words, message = PAIRS[case]
    assert message in complaint(
        fit("TextClassification", "LabelledPairs", "--data.files", written(name, content), *words), capsys
    )


def test_a_quote_in_a_tsv_file_is_a_character_like_any_other(capsys: pytest.CaptureFixture[str]) -> None:
    rows = ['"the first\tgood', 'a "second" one\tbad', '"\tgood', 'the "last\tworse']
    test = written("test.tsv", "".join(f"{row}\n" for row in ["text\tlabel", *rows]))
    train = written("train.tsv", "".join(f"{row}\n" for row in ["text\tlabel", *rows[:3]]))
    words = ["--data.files", train, "--data.test_files", test]
    assert "test.tsv:5: the label 'worse' is not known" in complaint(
        fit("TextClassification", "LabelledText", *words), capsys
    )


TAGS: dict[str, tuple[str, Any, list[str], str]] = {
    "more tokens than tags": (
        "train.jsonl",
        [{"tokens": ["a", "b"], "tags": ["O", "B-X"]}, {"tokens": ["a", "b"], "tags": ["O"]}],
        [],
        "train.jsonl:2: has 2 tokens and 1 tags; expected as many of both",
    ),
    "a word without a tag": ("train.txt", "a O\nb B-X\n\nc\n", [], "train.txt:4: has 1 column ('c'); expected a word"),
    "no such column": ("train.txt", "a O\nb B-X\n", ["--data.tag_column=3"], "train.txt:1: has 2 columns ('a O')"),
    "no such field": ("train.jsonl", [{"words": ["a"], "tags": ["O"]}], [], "train.jsonl:1: has 'words', 'tags'; exp"),
    "an empty token": (
        "train.jsonl",
        [{"tokens": ["a", ""], "tags": ["O", "O"]}],
        [],
        "train.jsonl:1: token 1 is empty",
    ),
    "an unknown tag": (
        "test.txt",
        "a O\nb B-LOG\n",
        [],
        "test.txt:2: the tag 'B-LOG' is not known; did you mean 'B-LOC'?",
    ),
    "a span outside": (
        "train.jsonl",
        [{"text": "ab", "spans": [{"start": 1, "end": 5, "label": "X"}]}],
        [],
        "train.jsonl:1: the span 1 to 5 (X) is not in the text of 2 characters",
    ),
    "a kind without an example": (
        "train.txt",
        "a O\nb B-LOC\n",
        ["--data.labels=[O,B-LOC,I-LOC,B-PER,I-PER]"],
        "train.txt: the tag 'B-PER' has no example to train on",
    ),
    "one tag": ("train.txt", "a O\nb O\n", [], "train.txt: all words have the tag 'O': at least two are needed"),
    "nothing": ("train.txt", "\n\n", [], "train.txt: has no sentence"),
}


@pytest.mark.parametrize("case", TAGS)
def test_tags(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, words, message = TAGS[case]
    test = ["--data.test_files", written(name, content)] if name.startswith("test") else []
    train = written("good.txt", "a O\nb B-LOC\nc I-LOC\n") if test else written(name, content)
    assert message in complaint(fit("TokenClassification", "TaggedText", "--data.files", train, *test, *words), capsys)


MARKED = "the <e1>door</e1> of <e2>paris</e2>"
RELATED = [{"text": MARKED, "label": "part(e1,e2)"}, {"text": MARKED, "label": "Other"}]
RELATIONS: dict[str, tuple[str, Any, list[str], str]] = {
    "a marker is missing": (
        "train.jsonl",
        [*RELATED, {"text": MARKED.replace("</e2>", ""), "label": "Other"}],
        [],
        "train.jsonl:3: the marker </e2> is missing",
    ),
    "nested markers": (
        "train.jsonl",
        [*RELATED, {"text": "<e1>a <e2>b</e2></e1>", "label": "Other"}],
        [],
        "train.jsonl:3: the markers are nested: <e1> <e2> </e2> </e1>",
    ),
    "nothing is marked": (
        "train.txt",
        '1\t"<e1></e1> of <e2>paris</e2>"\nOther\n',
        [],
        "train.txt:1: there is nothing between the markers <e1> and </e1>",
    ),
    "entities that overlap": (
        "train.jsonl",
        [{"text": "abcdef", "head": [0, 3], "tail": [2, 5], "label": "Other"}],
        [],
        "train.jsonl:1: the entities overlap",
    ),
    "an unknown relation": (
        "test.jsonl",
        [{"text": MARKED, "label": "parts(e1,e2)"}],
        [],
        "test.jsonl:1: the relation 'parts(e1,e2)' is not known; did you mean 'part(e1,e2)'?",
    ),
    "an empty text": ("train.jsonl", [{"text": "", "label": "Other"}], [], "train.jsonl:1: the marker <e1> is missing"),
    "no text": ("train.jsonl", [{"txt": MARKED, "label": "Other"}], [], "train.jsonl:1: expected a text under 'text'"),
    "no relation": ("train.jsonl", [*RELATED, {"text": MARKED}], [], "train.jsonl:3: the text has no relation"),
    "one relation": ("train.jsonl", RELATED[:1], [], "train.jsonl: only one relation, 'part(e1,e2)'"),
    "a relation without an example": (
        "train.jsonl",
        RELATED,
        ["--data.labels=[Other,'part(e1,e2)','part(e2,e1)']"],
        "train.jsonl: has no example of the relation 'part(e2,e1)'",
    ),
}


@pytest.mark.parametrize("case", RELATIONS)
def test_relations(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, words, message = RELATIONS[case]
    test = ["--data.test_files", written(name, content)] if name.startswith("test") else []
    train = written("good.jsonl", RELATED) if test else written(name, content)
    assert message in complaint(fit("RelationExtraction", "RelationData", "--data.files", train, *test, *words), capsys)


def question(**changes: Any) -> dict[str, Any]:
    known = {
        "id": "q",
        "question": "Where?",
        "context": "Here it is.",
        "answers": {"text": ["it"], "answer_start": [5]},
    }
    return known | changes


QUESTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "an answer not at its offset": (
        question(answers={"text": ["it"], "answer_start": [0]}),
        "the answer 'it' does not stand at 0 of its context",
    ),
    "an empty question": (question(question=" "), "the question is empty"),
    "an empty context": (question(context=""), "the context is empty"),
    "fewer offsets than answers": (
        question(answers={"text": ["it", "is"], "answer_start": [5]}),
        "expected as many numbers under 'answer_start' as texts",
    ),
    "answers of another form": (question(answers=[3]), "expected answers as {'text': ..., 'answer_start': ...}"),
    "no answers": ({"question": "Where?", "context": "Here."}, "has no 'answers'"),
    "no question": ({"context": "Here.", "answers": []}, "the question is missing"),
}


@pytest.mark.parametrize("case", QUESTIONS)
def test_questions(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, message = QUESTIONS[case]
    train = written("train.jsonl", [question(), wrong])
    words = fit("QuestionAnswering", "SquadData", "--data.files", train)
    told = complaint(words, capsys)
    assert "train.jsonl:2" in told
    assert message in told


VECTORS: dict[str, tuple[str, str, list[str], str]] = {
    "no such column": ("a.tsv", "sentence1\tsentence\na\tb\n", [], "a.tsv:1: there is no column 'sentence2'; did you"),
    "an empty text": ("a.tsv", "sentence1\tsentence2\na\tb\nc\t\n", [], "a.tsv:3: the text 'sentence2' is empty"),
    "no number": (
        "a.csv",
        "sentence1,sentence2,score\na,b,1\nc,d,x\n",
        ["--data.score_field=score"],
        "a.csv:3: the score 'x' is not a number",
    ),
    "equal scores": (
        "a.csv",
        "sentence1,sentence2,score\na,b,1\nc,d,1\n",
        ["--data.score_field=score"],
        "a.csv:2: this and all other scores are equal",
    ),
}


@pytest.mark.parametrize("case", VECTORS)
def test_texts_that_belong_together(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, words, message = VECTORS[case]
    assert message in complaint(
        fit("SentenceEmbedding", "TextPairs", "--data.files", written(name, content), *words), capsys
    )


def small(max_length: int = 64) -> BERT:
    return BERT(vocab_size=101, d_model=24, num_layers=1, num_heads=3, max_length=max_length)


MODELS: dict[str, Callable[[], Any]] = {
    "classes": lambda: small_classifier(),
    "tags": lambda: ready(TokenClassification(small(), ["B-LOC", "I-LOC", "O"])),
    "relations": lambda: ready(RelationExtraction(small(), ["Other", "part(e1,e2)"], [97, 98, 99, 100])),
    "questions": lambda: ready(QuestionAnswering(small(), 48, 8)),
}
EVALUATED: dict[str, tuple[str, str, Any, str]] = {
    "an unknown label": (
        "classes",
        "t.jsonl",
        texts("sports"),
        "t.jsonl:1: the model knows no class 'sports'; did you",
    ),
    "no such field": (
        "classes",
        "t.csv",
        "txt,label\na,news\n",
        "t.csv:1: there is no column 'text'; did you mean 'txt'",
    ),
    "an empty text": ("classes", "t.csv", "text,label\na,news\n  ,news\n", "t.csv:3: the text is empty"),
    "an unknown tag": ("tags", "t.txt", "a O\nb B-LOG\n", "t.txt:2: the model knows no tag 'B-LOG'; did you mean"),
    "more tokens than tags": ("tags", "t.jsonl", [{"tokens": ["a"], "tags": []}], "t.jsonl:1: has 1 tokens and 0 tags"),
    "nested markers": (
        "relations",
        "t.jsonl",
        [{"text": "<e1>a <e2>b</e2></e1>", "label": "Other"}],
        "t.jsonl:1: the markers are nested",
    ),
    "an unknown relation": (
        "relations",
        "t.jsonl",
        [{"text": MARKED, "label": "Others"}],
        "t.jsonl:1: the model knows no relation 'Others'; did you mean 'Other'?",
    ),
    "half a character": (
        "classes",
        "t.jsonl",
        [{"text": "a", "label": "news \ud800"}],
        "t.jsonl:1: half a character",
    ),
    "an answer not at its offset": (
        "questions",
        "t.jsonl",
        [question(answers={"text": ["it"], "answer_start": [0]})],
        "t.jsonl:1: the answer 'it' does not stand at 0 of its context",
    ),
}


@pytest.mark.parametrize("case", EVALUATED)
def test_what_is_evaluated(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind, name, content, message = EVALUATED[case]
    write_checkpoint(MODELS[kind](), Path("model.ckpt"))
    assert message in complaint(["evaluate", "model.ckpt", "--data", written(name, content)], capsys)


ASKED: dict[str, tuple[str, list[dict[str, Any]], str]] = {
    "an empty text": ("classes", [{"text": "a"}, {"text": " "}], "asked.jsonl:2: the text is empty"),
    "no text": ("classes", [{"text": "a"}, {"txt": "b"}], "asked.jsonl:2: expected a text under 'text', and it has"),
    "an empty word": ("tags", [{"tokens": ["a", ""]}], "asked.jsonl:1: has an empty word"),
    "half a character": ("classes", [{"text": "a"}, {"text": "b \ud800"}], "asked.jsonl:2: half a character"),
    "a marker is missing": ("relations", [{"text": "<e1>a</e1> b"}], "asked.jsonl:1: the marker <e2> is missing"),
    "an empty question": ("questions", [{"question": "", "context": "a"}], "asked.jsonl:1: the question is empty"),
}


@pytest.mark.parametrize("case", ASKED)
def test_what_is_asked(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind, content, message = ASKED[case]
    write_checkpoint(MODELS[kind](), Path("model.ckpt"))
    assert message in complaint(["infer", "model.ckpt", "--input", written("asked.jsonl", content)], capsys)


def test_a_line_without_text_is_named(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    write_checkpoint(MODELS["classes"](), Path("model.ckpt"))
    text = "paris\n\nis\n"
    assert "asked.txt:2: the text is empty" in complaint(
        ["infer", "model.ckpt", "--input", written("asked.txt", text)], capsys
    )
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    assert "standard input:2: the text is empty" in complaint(["infer", "model.ckpt"], capsys)
    words = ["--text", "paris", "--text", " "]
    assert "request 1: the text is empty" in complaint(["infer", "model.ckpt", *words], capsys)
