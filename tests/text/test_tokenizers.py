import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models

from plmlight.text import (
    TokenizerKind,
    document_separator,
    load_tokenizer,
    save_tokenizer,
    special_token_ids,
    token_byte_lengths,
    tokenizer_hash,
    train_tokenizer,
    vocabulary_size,
)

TEXT = [
    "The quick brown fox jumps over the lazy dog.\n\n  Déjà vu: naïve façade, 中文 too.",
    "def f(x):\n    return x\n",
] * 3


@pytest.fixture
def trained() -> Tokenizer:
    return train_tokenizer(TEXT, "byte-bpe", 300)


def test_saved_and_loaded_tokenizer_is_the_same(tmp_path: Path, trained: Tokenizer) -> None:
    save_tokenizer(trained, tmp_path)
    assert tokenizer_hash(load_tokenizer(tmp_path)) == tokenizer_hash(trained)
    assert tokenizer_hash(load_tokenizer(tmp_path / "tokenizer.json")) == tokenizer_hash(trained)


def test_vocab_and_merges_cut_as_the_whole_file_does(tmp_path: Path, trained: Tokenizer) -> None:
    save_tokenizer(trained, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    rebuilt = load_tokenizer(tmp_path)
    for text in [*TEXT, "<|endoftext|>x  y"]:
        assert rebuilt.encode(text).ids == trained.encode(text).ids
    assert rebuilt.decode(rebuilt.encode(TEXT[0]).ids) == TEXT[0]


def test_transformers_opens_what_is_saved(tmp_path: Path, trained: Tokenizer) -> None:
    transformers = pytest.importorskip("transformers")
    save_tokenizer(trained, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    assert theirs(TEXT[0])["input_ids"] == trained.encode(TEXT[0]).ids
    assert (theirs.eos_token_id, theirs.pad_token_id, theirs.decode(trained.encode(TEXT[1]).ids)) == (0, 0, TEXT[1])


def test_transformers_opens_what_is_saved_for_t5(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    made = train_tokenizer(TEXT, "t5", 250)
    save_tokenizer(made, tmp_path)
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    text = "The quick <extra_id_0> fox<extra_id_1> 中文"
    assert theirs(text)["input_ids"] == made.encode(text).ids == load_tokenizer(tmp_path).encode(text).ids
    assert (theirs.pad_token_id, theirs.eos_token_id, theirs.unk_token_id) == (0, 1, 2)
    assert "token_type_ids" not in theirs(text)
    assert len(theirs) == vocabulary_size(made)


def test_gpt1_files_are_read_as_transformers_reads_them(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    vocabulary = ["<unk>", "a", "b", "c", "a</w>", "b</w>", "c</w>", ",</w>", "ab", "abc</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\nab c</w>\n")
    ours = load_tokenizer(tmp_path)
    theirs = transformers.OpenAIGPTTokenizer.from_pretrained(str(tmp_path))
    text = "ABC abc,  cab xa"
    assert ours.encode(text).ids == theirs(text)["input_ids"]
    assert ours.decode(ours.encode("abc, cab").ids) == "abc , cab"


def test_padding_and_truncation_are_switched_off(tmp_path: Path, trained: Tokenizer) -> None:
    trained.enable_truncation(2)
    trained.enable_padding(length=50)
    trained.save(str(tmp_path / "tokenizer.json"))
    assert 2 < len(load_tokenizer(tmp_path).encode("quick brown zebra").ids) < 50


def test_missing_and_foreign_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere: no such tokenizer"):
        load_tokenizer(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="has neither tokenizer"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match=r"tokenizer.json: not a tokenizer.json \("):
        load_tokenizer(tmp_path)


def test_special_ids_of_the_families() -> None:
    def ids(*tokens: str) -> dict[str, int]:
        vocabulary = {token: i for i, token in enumerate(tokens)}
        return special_token_ids(Tokenizer(models.WordLevel(vocabulary, unk_token=tokens[0])))

    assert ids("a", "<|endoftext|>") == {"pad": 1, "bos": 1, "eos": 1}
    assert ids("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]") == {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4}
    assert ids("<pad>", "</s>", "<unk>") == {"pad": 0, "eos": 1, "unk": 2}
    assert ids("a", "b") == {}


def test_document_separator_is_end_of_text_or_bert_separator(trained: Tokenizer) -> None:
    assert document_separator(trained) == 0
    assert document_separator(train_tokenizer(TEXT, "wordpiece", 200)) == 3
    assert document_separator(Tokenizer(models.BPE({"a": 0}, []))) is None


@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "unigram", "character", "byte"])
def test_byte_lengths_add_up_to_the_text(kind: str) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 300)  # type: ignore[arg-type]
    text = "The quick déjà vu façade 中文"
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    extra = 1 if kind == "unigram" else 0  # the space that SentencePiece puts before the first word
    assert token_byte_lengths(tokenizer)[ids].sum() == len(text.encode()) + extra


def test_byte_lengths_of_special_tokens_and_word_pieces() -> None:
    tokenizer = train_tokenizer(TEXT, "wordpiece", 200)
    lengths = token_byte_lengths(tokenizer)
    assert lengths.shape == (vocabulary_size(tokenizer),)
    assert np.array_equal(lengths[:5], np.zeros(5))
    assert lengths[tokenizer.encode("quick", add_special_tokens=False).ids].sum() == 5


@pytest.mark.parametrize(
    ("kind", "segments"), [("wordpiece", True), ("albert", True), ("roberta", False), ("byte-bpe", False)]
)
def test_transformers_tells_segments_apart_where_the_tokenizer_does(
    tmp_path: Path, kind: TokenizerKind, segments: bool
) -> None:
    tokenizer = train_tokenizer(["a cat and a dog, and one more cat"] * 20, kind, 300)
    save_tokenizer(tokenizer, tmp_path)
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path))("a cat", "a dog")
    assert ("token_type_ids" in theirs) == segments
    if segments:
        assert theirs["token_type_ids"] == tokenizer.encode("a cat", "a dog").type_ids
