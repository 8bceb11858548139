from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from plmlight.data import TextCorpus
from plmlight.data import cache as cache_module
from plmlight.data.readers import read
from plmlight.data.shards import write_shards
from plmlight.data.sources import resolve
from plmlight.text import save_tokenizer, tokenizer_hash, train_tokenizer

TEXT = "".join(f"line {i}: the quick brown fox, number {i * 37 % 101}\n" for i in range(400))


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "text.txt").write_text(TEXT)
    return str(tmp_path / "text.txt")


@pytest.fixture
def folder(tmp_path: Path) -> str:
    save_tokenizer(train_tokenizer([TEXT], "character", 100), tmp_path / "tokenizer")
    return str(tmp_path / "tokenizer")


def corpus(tmp_path: Path, files: Any, **options: Any) -> TextCorpus:
    return TextCorpus(files, **{"block_length": 17, "cache_folder": str(tmp_path / "cache"), **options})


def tokens(made: TextCorpus, stage: Any) -> list[int]:
    stream = made.stream(stage)
    assert stream is not None
    return [int(token) for token in stream.gather(np.array([0]), len(stream))[0]]


def decoded(made: TextCorpus, stage: Any) -> str:
    return str(made.tokenizer.decode(tokens(made, stage), skip_special_tokens=False))


def test_attributes_that_a_model_is_linked_to(tmp_path: Path, text: str) -> None:
    made = corpus(tmp_path, text, tokenizer_kind="byte-bpe", tokenizer_vocab_size=300)
    assert isinstance(made.tokenizer, Tokenizer)
    assert (made.vocab_size, made.pad_token_id) == (300, 0)
    assert made.token_counts.shape == (300,)
    assert made.token_counts.dtype == torch.int64
    counted = np.bincount(tokens(made, "fit") + tokens(made, "validate"), minlength=300)
    assert made.token_counts.tolist() == counted.tolist()


def test_batches_are_int64_without_labels(tmp_path: Path, text: str, folder: str) -> None:
    batch = next(iter(corpus(tmp_path, text, tokenizer=folder, batch_size=3).train_dataloader()))
    assert {key: tuple(value.shape) for key, value in batch.items()} == {
        "input_ids": (3, 17),
        "attention_mask": (3, 17),
        "sample_ids": (3,),
        "epoch": (),
    }
    assert {value.dtype for value in batch.values()} == {torch.int64}


def test_work_is_done_once(tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = corpus(tmp_path, text, tokenizer_vocab_size=300)
    monkeypatch.setattr(cache_module, "train_tokenizer", None)
    monkeypatch.setattr(cache_module, "write_shards", None)
    again = corpus(tmp_path, text, tokenizer_vocab_size=300, validation_split="tail", seed=4)
    assert tokenizer_hash(again.tokenizer) == tokenizer_hash(first.tokenizer)


def test_changed_text_is_read_again(tmp_path: Path, text: str, folder: str) -> None:
    corpus(tmp_path, text, tokenizer=folder)
    Path(text).write_text(TEXT.upper().lower() + "more")
    assert decoded(corpus(tmp_path, text, tokenizer=folder, validation_fraction=0.0), "fit").endswith(
        "more<|endoftext|>"
    )


def test_tail_is_held_out_as_nanogpt_does(tmp_path: Path, text: str, folder: str) -> None:
    options = {"tokenizer": folder, "validation_split": "tail", "end_of_document": False}
    made = corpus(tmp_path, text, validation_fraction=0.1, **options)
    cut = int(len(TEXT) * 0.9)
    assert decoded(made, "fit") == TEXT[:cut]
    assert decoded(made, "validate") == TEXT[cut:]


def test_documents_are_held_out_whole_and_the_same_for_each_seed(tmp_path: Path, text: str, folder: str) -> None:
    options: dict[str, Any] = {"tokenizer": folder, "document": "line", "validation_fraction": 0.1}
    made = corpus(tmp_path, text, **options)
    end = "<|endoftext|>"
    training, validation = (decoded(made, stage).removesuffix(end).split(end) for stage in ("fit", "validate"))
    lines = TEXT.splitlines()
    assert len(validation) == 40
    assert sorted(training + validation) == sorted(lines)
    assert training == [line for line in lines if line in set(training)]
    assert validation != lines[-40:]
    assert decoded(corpus(tmp_path, text, seed=9, **options), "validate") == decoded(made, "validate")


def test_own_validation_test_and_predict_files(tmp_path: Path, text: str, folder: str) -> None:
    (tmp_path / "v.txt").write_text("the other text, number 1")
    other = str(tmp_path / "v.txt")
    made = corpus(tmp_path, text, tokenizer=folder, validation_files=other, test_files=[other], predict_files=other)
    assert decoded(made, "fit") == TEXT + "<|endoftext|>"
    for loader in (made.val_dataloader(), made.test_dataloader(), made.predict_dataloader()):
        batches = list(loader)
        assert len(batches) == 1
        assert isinstance(batches[0], dict)
        assert batches[0]["attention_mask"].sum() == len("the other text, number 1") + 1 + 1  # end, and one repeated


def test_no_validation_text_is_an_empty_list(tmp_path: Path, text: str, folder: str) -> None:
    assert corpus(tmp_path, text, tokenizer=folder, validation_fraction=0.0).val_dataloader() == []


def test_isolated_documents_are_numbered(tmp_path: Path, text: str, folder: str) -> None:
    made = corpus(tmp_path, text, tokenizer=folder, document="line", isolate_documents=True, block_length=100)
    batch = next(iter(made.train_dataloader()))
    ends = (batch["input_ids"] == 0).long()
    assert torch.equal(batch["attention_mask"], 1 + ends.cumsum(1) - ends)
    assert batch["attention_mask"].max() > 2


def test_prepared_folder_brings_its_tokenizer(tmp_path: Path, text: str) -> None:
    tokenizer = train_tokenizer([TEXT], "byte", 257)
    write_shards(read(resolve(text)), tokenizer, tmp_path / "shards")
    made = corpus(tmp_path, str(tmp_path / "shards"), validation_fraction=0.0)
    assert decoded(made, "fit") == TEXT + "<|endoftext|>"
    assert not (tmp_path / "cache").exists()


def test_prepared_folder_with_another_tokenizer_is_refused(tmp_path: Path, text: str, folder: str) -> None:
    write_shards(read(resolve(text)), train_tokenizer([TEXT], "byte", 257), tmp_path / "shards")
    with pytest.raises(ValueError, match="shards: was tokenised with another tokenizer"):
        corpus(tmp_path, str(tmp_path / "shards"), tokenizer=folder)
    with pytest.raises(ValueError, match="shards: a prepared folder stands alone"):
        corpus(tmp_path, [str(tmp_path / "shards"), text])


def test_default_cache_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    monkeypatch.delenv("PLMLIGHT_CACHE", raising=False)
    assert cache_module.cache_root() == Path("/x/plmlight")
    monkeypatch.setenv("PLMLIGHT_CACHE", "/y")
    assert cache_module.cache_root() == Path("/y")
    assert cache_module.cache_root("/z") == Path("/z")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"block_length": None}, "block_length is not set"),
        ({"block_length": 10**6}, r"text\.txt: \d+ tokens to fit on, fewer than a block of 1000000"),
        ({"batch_size": 10**5}, r"text\.txt: \d+ blocks of 17 tokens to train on, fewer than one batch of 100000"),
        ({"validation_fraction": 1.5}, r"validation_fraction 1\.5 must be at least 0 and less than 1"),
        ({"validation_split": "documents"}, "validation_split documents needs at least"),
    ],
)
def test_bad_settings_say_what_is_wrong(
    tmp_path: Path, text: str, folder: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        corpus(tmp_path, text, tokenizer=folder, **options).train_dataloader()


def test_stage_without_text_is_named(tmp_path: Path, text: str, folder: str) -> None:
    with pytest.raises(ValueError, match="TextCorpus has no text to test on: set test_files"):
        corpus(tmp_path, text, tokenizer=folder).test_dataloader()
