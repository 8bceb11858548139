from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight import WindowCorpus
from plmlight.data.windows import kept_shares

WORDS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]


@pytest.fixture
def text(tmp_path: Path) -> Path:
    """1000 lines of 3 to 12 words, frequent ones first, and a rare one."""
    random = np.random.default_rng(0)
    share = 1 / np.arange(1, 11)
    lines = [" ".join(random.choice(WORDS, random.integers(3, 13), p=share / share.sum())) for _ in range(1000)]
    path = tmp_path / "text.txt"
    path.write_text("Once, rare!\n" + "\n".join(lines))
    return path


def corpus(path: Path, **changes: Any) -> WindowCorpus:
    settings = {"document": "line", "chunk_length": 100, "batch_size": 4, "cache_folder": str(path.parent / "cache")}
    return WindowCorpus(files=str(path), **{**settings, **changes})


def words(data: WindowCorpus, row: torch.Tensor) -> list[str | None]:
    return [data.tokenizer.id_to_token(int(id_)) for id_ in row]


def test_the_vocabulary_holds_frequent_words_the_most_frequent_first(text: Path) -> None:
    data = corpus(text)
    assert words(data, torch.arange(data.vocab_size)) == [
        "<unk>",
        *WORDS[:8],
        *sorted(WORDS[8:], key=lambda word: -text.read_text().count(word)),
    ]
    counts = data.token_counts
    assert counts[0] == 0
    assert counts.sum() == text.read_text().split("\n", 1)[1].count(" ") + 1000
    assert (counts[1:-1] >= counts[2:]).all()


def test_the_vocabulary_can_be_cut(text: Path) -> None:
    assert corpus(text, max_vocab_size=4).vocab_size == 4


def test_words_are_lowered_and_freed_of_punctuation(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Don't stop, DON'T stop; new_york!")
    data = corpus(tmp_path / "a.txt", min_count=1)
    assert sorted(data.tokenizer.get_vocab()) == ["<unk>", "don't", "new_york", "stop"]


def test_no_word_frequent_enough_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("all words here differ")
    with pytest.raises(ValueError, match="no word of the text occurs at least 5 times: the vocabulary is empty"):
        corpus(tmp_path / "a.txt")


def test_rows_hold_the_text_in_order_without_rare_words(text: Path) -> None:
    data = corpus(text, subsample=0.0, row_length=8, window=3)
    batch = data.windows("fit").batch(np.array([0, 1]), 0)
    middle, inside = batch["input_ids"][:, 3:11], batch["windows"] > 0
    found = [word for row, keep in zip(middle, inside, strict=True) for word in words(data, row[keep])]
    assert found == text.read_text().replace(",", " ").replace("!", " ").split()[2:200]
    assert torch.equal(batch["segments"][:, 3:11] > 0, inside)


def test_segments_are_lines_and_chunks(text: Path) -> None:
    data = corpus(text, subsample=0.0, row_length=8, window=3)
    batch = data.windows("fit").batch(np.array([0, 5]), 0)
    numbers = batch["segments"][:, 3:11][batch["windows"] > 0].numpy()
    lengths = np.diff(np.flatnonzero(np.diff(numbers, prepend=-1)))[1:5]
    assert lengths.tolist() == [len(line.split()) for line in text.read_text().split("\n")[2:6]]
    rows = batch["sample_ids"].unique_consecutive()
    assert len(rows) == len(batch["sample_ids"])


def test_a_chunk_is_a_function_of_seed_number_and_epoch(text: Path) -> None:
    windows = corpus(text, subsample=1e-2).windows("fit")
    alone, among = windows.batch(np.array([7]), 2), windows.batch(np.array([3, 7]), 2)
    rows = len(alone["sample_ids"])
    for name in ("windows", "sample_ids"):
        assert torch.equal(alone[name], among[name][-rows:])
    assert torch.equal(alone["input_ids"][:, 5:-5], among["input_ids"][-rows:, 5:-5])
    other = windows.batch(np.array([7]), 3)
    assert other["input_ids"].shape != alone["input_ids"].shape or not torch.equal(
        other["input_ids"], alone["input_ids"]
    )


def test_frequent_words_are_left_out_as_often_as_the_formula_says(text: Path) -> None:
    data = corpus(text, subsample=0.02)
    counts = data.token_counts.numpy()
    expected = counts * kept_shares(counts, 0.02)
    windows = data.windows("fit")
    seen = np.zeros(len(counts))
    for epoch in range(20):
        batch = windows.batch(np.arange(len(windows)), epoch)
        seen += np.bincount(batch["input_ids"][:, 5:-5][batch["windows"] > 0], minlength=len(counts))
    assert np.abs(seen[1:] / 20 / expected[1:] - 1).max() < 0.04


def test_kept_shares_are_the_programs() -> None:
    counts = np.array([0, 1, 99, 900])
    assert kept_shares(counts, 0.01) == pytest.approx([0, 1, 0.3178 + 0.1010, 0.1054 + 0.0111], 1e-3)
    assert kept_shares(counts, 0.0).tolist() == [0, 1, 1, 1]


def test_windows_are_drawn_evenly_or_full(text: Path) -> None:
    data = corpus(text, subsample=0.0, window=4)
    windows = data.windows("fit").batch(np.arange(60), 0)["windows"]
    sizes = torch.bincount(windows[windows > 0], minlength=5)[1:]
    assert (sizes / sizes.sum() - 0.25).abs().max() < 0.02
    full = corpus(text, window=4, dynamic_window=False).windows("fit").batch(np.arange(9), 0)["windows"]
    assert full.unique().tolist() == [0, 4]


def test_a_loader_goes_on_where_it_stopped(text: Path) -> None:
    loader = corpus(text).train_dataloader()
    whole = [batch["input_ids"] for batch in loader]
    again = corpus(text).train_dataloader()
    assert len(list(islice(again, 5))) == 5
    resumed = corpus(text).train_dataloader()
    resumed.load_state_dict(again.state_dict())
    rest = [batch["input_ids"] for batch in islice(resumed, len(whole) - 5)]
    assert all(torch.equal(a, b) for a, b in zip(whole[5:], rest, strict=True))


def test_workers_read_the_same(text: Path) -> None:
    alone, helped = (corpus(text, num_workers=number).train_dataloader() for number in (0, 1))
    for ours, theirs in zip(alone, helped, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_validation_text_is_held_out_and_whole(text: Path) -> None:
    data = corpus(text, validation_fraction=0.1)
    batches = list(data._evaluation("validate"))
    seen = sum(int((batch["windows"] > 0).sum()) for batch in batches)
    assert 0.05 < seen / int(data.token_counts.sum()) < 0.15


def test_phrases_are_joined(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    filler = [f"w{random.integers(50)} w{random.integers(50)}" for _ in range(900)]
    lines = [f"{filler[i]} New York {filler[-i]} new york times {filler[300 + i]}" for i in range(300)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    data = corpus(tmp_path / "a.txt", phrases=2, phrase_threshold=3.0)
    vocabulary = data.tokenizer.get_vocab()
    assert {"new_york", "new_york_times"} <= vocabulary.keys()
    assert not {"new", "york", "times"} & vocabulary.keys()
    assert data.token_counts[vocabulary["new_york"]] == 300


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 0}, "window 0 must be at least 1"),
        ({"min_count": 0}, "min_count 0 must be at least 1"),
        ({"subsample": -1.0}, "subsample -1.0 and phrases 0 must be at least 0"),
        ({"row_length": 200}, "chunk_length 100 must be at least row_length 200"),
    ],
)
def test_what_cannot_be_is_refused(text: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corpus(text, **changes)
