import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plmlight.data import ParallelCorpus

SOURCE = [f"the number {i} and {'very ' * (i % 7)}long" for i in range(300)]
TARGET = [f"die Zahl {i} und {'sehr ' * (i % 5)}lang" for i in range(300)]


def write(tmp_path: Path, source: list[str] = SOURCE, target: list[str] = TARGET) -> list[str]:
    (tmp_path / "a.en").write_text("".join(f"{line}\r\n" for line in source), newline="")
    with gzip.open(tmp_path / "a.de.gz", "wt") as handle:
        handle.write("\n".join(target))
    return [str(tmp_path / "a.en"), str(tmp_path / "a.de.gz")]


def corpus(tmp_path: Path, files: Any, **options: Any) -> ParallelCorpus:
    settings = {"tokenizer_vocab_size": 300, "max_length": 40, "cache_folder": str(tmp_path / "cache")}
    return ParallelCorpus(files, **{**settings, **options})


def test_samples_are_framed_by_language_and_positions_restart(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), languages=("en", "de"), validation_fraction=0.0)
    assert made.languages == ("en", "de")
    samples = made.samples("fit")
    batch = samples.batch(np.array([3, 299, -1]), 0)
    assert {name: value.dtype for name, value in batch.items()} == dict.fromkeys(batch, torch.int64)
    cls, sep = 2, 3
    for row, number in enumerate((3, 299)):
        source, target = (
            made.tokenizer.encode(text, add_special_tokens=False).ids for text in (SOURCE[number], TARGET[number])
        )
        length = len(source) + len(target) + 4
        assert batch["input_ids"][row, :length].tolist() == [cls, *source, sep, cls, *target, sep]
        assert batch["attention_mask"][row].sum() == length
        assert batch["token_type_ids"][row, :length].tolist() == [0] * (len(source) + 2) + [1] * (len(target) + 2)
        positions = [*range(len(source) + 2), *range(len(target) + 2)]
        assert batch["position_ids"][row, :length].tolist() == positions
    for name in ("input_ids", "attention_mask", "token_type_ids", "position_ids"):
        assert batch[name][2].sum() == 0


def test_two_columns_are_read_as_two_files(tmp_path: Path) -> None:
    lines = [f"{a}\t{b}\tsome licence" for a, b in zip(SOURCE, TARGET, strict=True)]
    (tmp_path / "a.txt").write_text("\n".join([*lines[:100], "", *lines[100:]]))
    columns, files = (corpus(tmp_path, name) for name in (str(tmp_path / "a.txt"), write(tmp_path)))
    assert len(columns.samples("fit")) == len(files.samples("fit"))
    assert columns.vocab_size == files.vocab_size
    assert sum(columns.token_counts) == sum(files.token_counts)


def test_long_pairs_lose_their_ends(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path, ["a " * 50, "a b"], ["b " * 3, "b " * 60]), validation_fraction=0.0)
    batch = made.samples("fit").batch(np.array([0, 1]), 0)
    assert batch["attention_mask"].sum(1).tolist() == [40, 40]
    assert batch["token_type_ids"].sum(1).tolist() == [5, 36]


def test_pairs_with_one_source_are_held_out_together(tmp_path: Path) -> None:
    source = [f"source {i // 4}" for i in range(400)]
    target = [f"target {i}" for i in range(400)]
    made = corpus(tmp_path, write(tmp_path, source, target), validation_fraction=0.05)
    sides = {}
    for stage in ("fit", "validate"):
        samples = made.samples(stage)
        batch = samples.batch(np.arange(len(samples)), 0)
        ids = batch["input_ids"].masked_fill(batch["token_type_ids"] == 1, 0).tolist()
        sides[stage] = [tuple(filter(None, row)) for row in ids]
    assert len(sides["fit"]) + len(sides["validate"]) == 400
    assert len(sides["validate"]) >= 20
    assert len(sides["validate"]) % 4 == 0
    assert not set(sides["fit"]) & set(sides["validate"])


def test_loaders_give_each_pair_once_within_the_budget(tmp_path: Path) -> None:
    made = corpus(tmp_path, write(tmp_path), max_tokens=400, validation_fraction=0.0, test_files=write(tmp_path))
    for loader in (made.train_dataloader(), made.test_dataloader()):
        batches = list(loader)
        assert max(batch["input_ids"].numel() for batch in batches) <= 400
        assert sorted(int(i) for batch in batches for i in batch["sample_ids"]) == list(range(300))
    assert made.val_dataloader() == []


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        (["a", "b", "c"], ["a", "b"], r"a\.en has 3 lines, but .*a\.de\.gz has 2: line by line"),
        (["a", "b"], ["a", "b", "c", "d"], r"a\.en has 2 lines, but .*a\.de\.gz has 4"),
        (["a", " ", "c"], ["a", "b", "c"], r"a\.en:2: is empty, but .*a\.de\.gz:2 is not"),
        (["a", "", "c", "d"], ["a", "", "", "d"], r"a\.de\.gz:3: is empty, but .*a\.en:3 is not"),
        (["a", "b"], ["a", "\x01"], r"line 2 of the target has nothing but control characters"),
    ],
)
def test_files_that_do_not_fit_are_refused(tmp_path: Path, source: list[str], target: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        corpus(tmp_path, write(tmp_path, source, target), tokenizer_kind="wordpiece").samples("fit")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\tb\nc\n", r"x\.tsv:2: has one column"),
        ("a\tb\n\tb\n", r":2: the source is"),
        ("a\t\n", r":1: the target is"),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "x.tsv").write_text(text)
    with pytest.raises(ValueError, match=message):
        corpus(tmp_path, str(tmp_path / "x.tsv"))


def test_bad_settings_say_what_is_wrong(tmp_path: Path) -> None:
    files = write(tmp_path)
    with pytest.raises(ValueError, match="max_length is not set"):
        corpus(tmp_path, files, max_length=None).train_dataloader()
    with pytest.raises(ValueError, match="max_length 5 has no room for pairs: at least 6"):
        corpus(tmp_path, files, max_length=5).train_dataloader()
    with pytest.raises(ValueError, match=r"languages \['en', 'en'\]: expected the names of two languages"):
        corpus(tmp_path, files, languages=("en", "en"))
    with pytest.raises(ValueError, match="2 more: parallel text is one file or two"):
        corpus(tmp_path, [*files, files[0]])
    with pytest.raises(ValueError, match="ParallelCorpus has no text to test on: set test_files"):
        corpus(tmp_path, files).test_dataloader()
