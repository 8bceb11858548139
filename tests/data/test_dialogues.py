import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plmlight.data import DialogueData
from plmlight.text import TextForm, save_tokenizer, train_tokenizer

DIALOGUES = [
    [
        f"{word} {i}"
        for i, word in enumerate(["hello", "how are you", "fine", "good", "bye", "see you"][: 2 + number % 5])
    ]
    for number in range(60)
]


def lines(tmp_path: Path) -> str:
    path = tmp_path / "d.txt.gz"
    content = "\r\n".join(" __eou__ ".join(turns) + " __eou__" for turns in DIALOGUES)
    path.write_bytes(gzip.compress(content.encode()))
    return str(path)


def data(tmp_path: Path, files: str, **options: Any) -> DialogueData:
    settings = {"tokenizer_vocab_size": 70, "validation_fraction": 0.0, "cache_folder": str(tmp_path / "cache")}
    return DialogueData(files, **{**settings, **options})


def texts(made: DialogueData, stage: Any = "fit") -> list[tuple[str, str]]:
    samples = made.samples(stage)
    batch = samples.batch(np.arange(len(samples)), 0)
    labels = batch["labels"].masked_fill(batch["labels"] == -100, 0).tolist()
    kept = [[id_ for id_ in row if id_ > 1] for row in batch["input_ids"].tolist()]  # without <pad> and </s>
    sources = made.tokenizer.decode_batch(kept, skip_special_tokens=False)
    return list(zip(sources, made.tokenizer.decode_batch(labels), strict=True))


def test_each_turn_but_the_first_answers_the_turns_before_it(tmp_path: Path) -> None:
    made = data(tmp_path, lines(tmp_path), history=2)
    form = TextForm(roles=("<user>", "<bot>"), history=2)
    assert made.text_form == form
    expected = [(turns[:at], turns[at]) for turns in DIALOGUES for at in range(1, len(turns))]
    samples = made.samples("fit")
    assert len(samples) == len(expected)
    batch = samples.batch(np.arange(len(expected)), 0)
    for row, (turns, answer) in enumerate(expected):
        source = made.tokenizer.encode(form.dialogue(turns)).ids
        target = made.tokenizer.encode(answer).ids
        assert batch["input_ids"][row, : len(source)].tolist() == source
        assert batch["labels"][row, : len(target)].tolist() == target
        assert batch["attention_mask"][row].sum() == len(source)
    user, bot = (made.tokenizer.token_to_id(role) for role in ("<user>", "<bot>"))
    assert batch["input_ids"][0, 0] == user  # one turn, of the one who is answered
    assert batch["input_ids"][2, 0] == bot  # the answerer's own earlier turn
    assert [row.count(user) for row in batch["input_ids"].tolist()] == [1] * len(expected)


def test_roles_are_special_tokens_at_the_end_of_the_vocabulary(tmp_path: Path) -> None:
    made = data(tmp_path, lines(tmp_path), roles=("<a>", "<b>"))
    assert [made.tokenizer.token_to_id(role) for role in ("<a>", "<b>")] == [made.vocab_size - 2, made.vocab_size - 1]
    assert made.vocab_size <= 70
    assert made.tokenizer.decode(made.tokenizer.encode("<a> hello <b> fine").ids).split() == ["hello", "fine"]


def test_a_given_tokenizer_reads_roles_as_words(tmp_path: Path) -> None:
    words = ["user: hello bot: how are you fine good bye see 0 1 2 3 4 5"] * 9
    save_tokenizer(train_tokenizer(words, "unigram", 60), tmp_path / "tokenizer")
    made = data(tmp_path, lines(tmp_path), roles=("user:", "bot:"), tokenizer=str(tmp_path / "tokenizer"))
    assert ("bot: hello 0 user: how are you 1", "fine 2") in texts(made)


def test_without_roles_turns_stand_side_by_side(tmp_path: Path) -> None:
    assert ("hello 0 how are you 1", "fine 2") in texts(data(tmp_path, lines(tmp_path), roles=None))


@pytest.mark.parametrize("objects", [False, True])
def test_jsonl_gives_the_same_samples(tmp_path: Path, objects: bool) -> None:
    turns = [[{"who": 1, "text": turn} for turn in turns] if objects else turns for turns in DIALOGUES]
    (tmp_path / "d.jsonl").write_text("\r\n".join(json.dumps({"turns": each}) for each in turns), newline="")
    assert texts(data(tmp_path, str(tmp_path / "d.jsonl"))) == texts(data(tmp_path, lines(tmp_path)))


def test_a_long_history_loses_its_beginning(tmp_path: Path) -> None:
    made = data(tmp_path, lines(tmp_path), history=9, max_length=8)
    samples = made.samples("fit")
    longest = int(np.argmax(data(tmp_path, lines(tmp_path), history=9).samples("fit").lengths(np.arange(180), 0)[:, 0]))
    expected = [turns[:at] for turns in DIALOGUES for at in range(1, len(turns))][longest]
    ids = made.tokenizer.encode(made.text_form.dialogue(expected)).ids
    assert len(ids) > 8
    assert samples.batch(np.array([longest]), 0)["input_ids"][0].tolist() == ids[-8:]


def test_whole_dialogues_are_held_out(tmp_path: Path) -> None:
    named = [[f"{turn} {number}" for turn in turns] for number, turns in enumerate(DIALOGUES)]
    (tmp_path / "d.jsonl").write_text("\n".join(json.dumps({"turns": turns}) for turns in named))
    made = data(tmp_path, str(tmp_path / "d.jsonl"), validation_fraction=0.1)
    found = {stage: [target.split()[-1] for _, target in texts(made, stage)] for stage in ("fit", "validate")}
    assert not set(found["fit"]) & set(found["validate"])
    assert len(found["fit"]) + len(found["validate"]) == sum(len(turns) - 1 for turns in DIALOGUES)
    assert 18 <= len(found["validate"]) < 25


@pytest.mark.parametrize(
    ("name", "content", "options", "message"),
    [
        ("x.txt", "hello there\n", {}, r"x\.txt:1: has no __eou__"),
        ("x.txt", "a __eou__ b __eou__\na __eou__ __eou__ b __eou__\n", {}, r"x\.txt:2: turn 2 is empty"),
        ("x.txt", "a __eou__\nb __eou__\n", {"tokenizer_kind": "byte"}, "there is no source with a target"),
        ("x.jsonl", '{"turn": ["a", "b"]}', {}, r"x\.jsonl:1: there is no field 'turns'; did you mean 'turn'"),
        ("x.jsonl", '{"turns": "a b"}', {}, r"x\.jsonl:1: field 'turns' is str, expected a list of turns"),
        ("x.jsonl", '{"turns": ["a", 3]}', {}, r"x\.jsonl:1: turn 2 is int, expected a string"),
        (
            "x.jsonl",
            '{"turns": [{"txt": "a"}]}',
            {},
            r"x\.jsonl:1: turn 1: there is no field 'text'; did you",
        ),
        ("x.csv", "a,b", {}, r"x\.csv: dialogues are read from plain text and \.jsonl, not from csv"),
        ("x.txt", "a __eou__ b __eou__", {"history": 0}, "history 0: a source has at least one turn"),
        ("x.txt", "a __eou__ b __eou__", {"roles": ("<a>", "<a>")}, r"roles \['<a>', '<a>'\]: expected two different"),
    ],
)
def test_what_is_no_dialogue_is_refused(
    tmp_path: Path, name: str, content: str, options: dict[str, Any], message: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        data(tmp_path, str(tmp_path / name), **{"tokenizer_kind": "byte", **options}).samples("fit")
