import itertools
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from plmlight.data import DocumentCorpus
from plmlight.data.readers import read
from plmlight.data.sentences import sentence_pieces
from plmlight.data.shards import write_shards
from plmlight.data.sources import resolve
from plmlight.text import save_tokenizer, train_tokenizer

TEXT = "\n\n".join(
    " ".join(f"Sentence {s} of {d} has {'some ' * ((s * 7 + d) % 5)}words." for s in range(2 + d % 9))
    for d in range(60)
)
CHINESE = "我们在北京大学学习。他说：“你好！”\n\n今天天气很好；我们去公园吧。" * 10


@pytest.fixture
def text(tmp_path: Path) -> str:
    (tmp_path / "text.txt").write_text(TEXT)
    save_tokenizer(train_tokenizer([TEXT], "wordpiece", 200), tmp_path / "tokenizer")
    return str(tmp_path / "text.txt")


def corpus(tmp_path: Path, files: Any, **options: Any) -> DocumentCorpus:
    settings = {"tokenizer": str(tmp_path / "tokenizer"), "max_length": 48, "cache_folder": str(tmp_path / "cache")}
    return DocumentCorpus(files, **{**settings, **options})


@pytest.mark.parametrize("pairs", ["none", "next", "order"])
def test_batches_are_int64_without_labels(tmp_path: Path, text: str, pairs: Any) -> None:
    made = corpus(tmp_path, text, pairs=pairs, batch_size=3)
    batch = next(iter(made.train_dataloader()))
    width = batch["input_ids"].shape[1]
    expected: dict[str, tuple[int, ...]] = {"input_ids": (3, width), "attention_mask": (3, width)}
    if pairs != "none":
        expected |= {"token_type_ids": (3, width), "pair_labels": (3,)}
    assert {key: tuple(value.shape) for key, value in batch.items()} == {**expected, "sample_ids": (3,), "epoch": ()}
    assert {value.dtype for value in batch.values()} == {torch.int64}


def test_samples_decode_to_the_text(tmp_path: Path, text: str) -> None:
    made = corpus(tmp_path, text, validation_fraction=0.0, max_tokens=200)
    rows = {
        int(sample): [int(token) for token in row if token != made.pad_token_id]
        for batch in made.train_dataloader()
        for sample, row in zip(batch["sample_ids"], batch["input_ids"], strict=True)
    }
    found = made.tokenizer.decode_batch([rows[sample] for sample in sorted(rows)])
    assert " ".join(found).split() == TEXT.split()


def test_attributes_that_a_model_is_linked_to(tmp_path: Path, text: str) -> None:
    made = corpus(tmp_path, text, tokenizer=None, tokenizer_vocab_size=80, tokenizer_lowercase=True)
    assert (made.vocab_size, made.pad_token_id) == (80, 0)
    assert made.token_counts.shape == (80,)
    assert made.tokenizer.encode("WORDS").ids == made.tokenizer.encode("words").ids


@pytest.mark.parametrize("split", ["documents", "tail"])
def test_validation_documents_are_held_out(tmp_path: Path, text: str, split: Any) -> None:
    made = corpus(tmp_path, text, validation_fraction=0.2, validation_split=split, pairs="order")
    training, validation = made.sentences("fit"), made.sentences("validate")
    assert training is not None
    assert validation is not None
    sentences = [
        {number for first, last in part.documents for number in range(first, last)} for part in (training, validation)
    ]
    assert not sentences[0] & sentences[1]
    assert sentences[0] | sentences[1] == set(range(TEXT.count("Sentence")))
    assert split == "documents" or min(sentences[1]) > max(sentences[0])
    assert split == "tail" or len(validation.documents) == 12
    loader = made.val_dataloader()
    assert not isinstance(loader, list)
    assert sum(len(batch["sample_ids"]) for batch in loader) == len(made.samples("validate"))


@pytest.mark.parametrize("pairs", ["none", "order"])
def test_words_of_chinese_text(tmp_path: Path, pairs: Any) -> None:
    (tmp_path / "zh.txt").write_text(CHINESE)
    files = str(tmp_path / "zh.txt")
    made = corpus(tmp_path, files, tokenizer=None, whole_words="jieba", validation_fraction=0.0, pairs=pairs)
    batch = next(iter(made.train_dataloader()))
    words = set()
    for row, starts, length in zip(
        batch["input_ids"], batch["word_starts"], batch["attention_mask"].sum(1), strict=True
    ):
        pieces = [str(made.tokenizer.id_to_token(int(token))) for token in row[:length]]
        edges = [*torch.nonzero(starts[:length]).flatten().tolist(), int(length)]
        words |= {"".join(pieces[first:last]) for first, last in itertools.pairwise(edges)}
    assert {"北京大学", "我们", "学习", "今天天气", "。", "公园", "[SEP]"} <= words


def test_prepared_folder_is_read(tmp_path: Path, text: str) -> None:
    tokenizer = train_tokenizer([TEXT], "wordpiece", 200)
    pieces = list(read(resolve(text), document="paragraph"))
    write_shards(sentence_pieces(pieces), tokenizer, tmp_path / "with", False, sentences=True)
    write_shards(pieces, tokenizer, tmp_path / "without", False)
    made = corpus(tmp_path, str(tmp_path / "with"), tokenizer=None, pairs="next")
    assert len(made.samples("fit")) == len(corpus(tmp_path, text, pairs="next").samples("fit"))
    with pytest.raises(ValueError, match="without: was prepared without sentences; prepare it again"):
        corpus(tmp_path, str(tmp_path / "without"), tokenizer=None).samples("fit")
    with pytest.raises(ValueError, match="with: was prepared without words; prepare it again"):
        corpus(tmp_path, str(tmp_path / "with"), tokenizer=None, whole_words="jieba").samples("fit")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": None}, "max_length is not set"),
        ({"document": "file", "pairs": "next"}, r"text\.txt: there is one document to fit on, and pairs 'next' needs"),
        ({"max_tokens": 47}, "max_tokens 47: a batch must hold one sample, which may have max_length 48"),
        ({"short_probability": 2.0}, r"short_probability 2\.0 must be from 0 to 1"),
        ({"validation_fraction": 1.5}, r"validation_fraction 1\.5 must be at least 0"),
        ({"tokenizer": None, "tokenizer_kind": "unigram"}, r"the tokenizer has no \[CLS\] or <s>"),
        ({"tokenizer": None, "tokenizer_kind": "character", "pairs": "next", "max_length": 4}, "no room for pairs"),
    ],
)
def test_bad_settings_say_what_is_wrong(tmp_path: Path, text: str, options: dict[str, Any], message: str) -> None:
    settings = {"validation_fraction": 0.0, **options}
    with pytest.raises(ValueError, match=message):
        corpus(tmp_path, text, **settings).train_dataloader()


def test_documents_of_one_sentence_give_no_pairs(tmp_path: Path, text: str) -> None:
    (tmp_path / "one.txt").write_text("Only one sentence.\n\nAnother one alone.\n\n")
    with pytest.raises(
        ValueError, match=r"one\.txt: no document to fit on has two sentences, which pairs 'order' needs"
    ):
        corpus(tmp_path, str(tmp_path / "one.txt"), pairs="order", validation_fraction=0.0).train_dataloader()
    (tmp_path / "one.txt").write_text("Only one sentence.\n\nAnother one. With two.\n\n")
    made = corpus(tmp_path, str(tmp_path / "one.txt"), pairs="order", validation_fraction=0.0)
    assert len(made.samples("fit")) == 1


class Recorder(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, Any, Any]] = []

    def training_step(self, batch: dict[str, torch.Tensor], index: int) -> torch.Tensor:
        self.seen.append((int(batch["epoch"]), batch["sample_ids"].tolist(), batch["input_ids"].tolist()))
        return self.weight * 1

    def validation_step(self, batch: dict[str, torch.Tensor], index: int) -> None:
        """So that Lightning does not warn."""

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=1e-3)


@pytest.mark.filterwarnings("ignore:The dirpath has changed", "ignore:The number of training batches")
@pytest.mark.parametrize("num_workers", [0, 2])
def test_resumed_run_sees_the_batches_of_the_uninterrupted_one(tmp_path: Path, text: str, num_workers: int) -> None:
    def run(folder: str, resume: Path | None = None) -> list[tuple[int, Any, Any]]:
        module = Recorder()
        saving = ModelCheckpoint(tmp_path / folder, "{step}", every_n_train_steps=1, save_top_k=-1)
        trainer = lightning.Trainer(
            accelerator="cpu",
            logger=False,
            callbacks=[saving],
            enable_progress_bar=False,
            enable_model_summary=False,
            max_epochs=2,
        )
        made = corpus(tmp_path, text, pairs="next", max_tokens=256, num_workers=num_workers, validation_fraction=0.1)
        trainer.fit(module, datamodule=made, ckpt_path=resume)
        return module.seen

    whole = run("whole")
    steps = len(whole) // 2
    assert [epoch for epoch, _, _ in whole] == [0] * steps + [1] * steps
    for step in (steps // 2, steps + 1) if num_workers else (1, steps - 1, steps, steps + 1):
        assert run(f"from{step}", tmp_path / "whole" / f"step={step}.ckpt") == whole[step:]


@pytest.mark.parametrize("pairs", ["none", "order"])
def test_xlnets_rows_are_those_of_its_tokenizer(tmp_path: Path, text: str, pairs: Any) -> None:
    tokenizer = train_tokenizer([TEXT], "xlnet", 200)
    save_tokenizer(tokenizer, tmp_path / "tokenizer")
    made = corpus(tmp_path, text, pairs=pairs, batch_size=60, max_length=200, validation_fraction=0.0)
    cls, sep = tokenizer.token_to_id("<cls>"), tokenizer.token_to_id("<sep>")
    batch = next(iter(made.train_dataloader()))
    assert len(set(batch["attention_mask"].sum(1).tolist())) > 1  # some are padded
    for ids, types, mask in zip(batch["input_ids"], batch["token_type_ids"], batch["attention_mask"], strict=True):
        row, kinds = ids[mask == 1].tolist(), types[mask == 1].tolist()
        assert row[-2:] == [sep, cls]
        second = row.index(sep) + 1 if pairs == "order" else len(row) - 1
        assert row.count(sep) == (2 if pairs == "order" else 1)
        assert kinds == [0] * second + [1] * (len(row) - 1 - second) + [2]
        assert row.count(cls) == 1
