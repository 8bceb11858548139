import importlib.metadata
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from plmlight.data.readers import Piece
from plmlight.data.shards import write_shards
from plmlight.data.words import segmentation, tokens_that_begin_words, word_starts
from plmlight.text import TokenizerKind, train_tokenizer

TEXT = " 我们在北京大学学习naïve的machine learning，1.5小时。"
WORDS = ["我们", "在", "北京大学", "学习", "naïve", "的", "machine", "learning", "，", "1", ".", "5", "小时", "。"]


def words(text: str, folder: Path) -> list[str]:
    find = word_starts("jieba", folder)
    assert find is not None
    places = [*find(text), len(text)]
    return [text[a:b].strip() for a, b in pairwise(places)]


def test_chinese_words_are_whole_and_english_ones_too(tmp_path: Path) -> None:
    assert words(TEXT, tmp_path) == WORDS
    assert [path.name for path in tmp_path.iterdir()] == ["jieba.cache"]


def test_none_finds_nothing(tmp_path: Path) -> None:
    assert word_starts("none", tmp_path) is None
    assert segmentation("none") is None


def test_missing_package_is_named_with_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    with pytest.raises(ValueError, match=r"whole_words jieba needs the package jieba: pip install"):
        word_starts("jieba", tmp_path)


def test_tokens_that_share_a_character_begin_one_word() -> None:
    assert tokens_that_begin_words([(0, 1), (0, 1), (0, 2), (2, 3), (3, 5)], [0, 1, 3]) == [
        True,
        False,
        True,
        False,
        True,
    ]
    assert tokens_that_begin_words([(0, 4), (4, 5)], [1, 2]) == [True, False]


@pytest.mark.parametrize("kind", ["wordpiece", "byte-bpe", "byte", "unigram", "character"])
def test_shards_keep_where_words_begin(tmp_path: Path, kind: TokenizerKind) -> None:
    tokenizer = train_tokenizer([TEXT], kind, 300)
    find = word_starts("jieba", tmp_path / "jieba")
    assert find is not None
    pieces = [Piece(TEXT.strip(), False), Piece(TEXT, True)]
    shards = write_shards(pieces, tokenizer, tmp_path / "out", False, sentences=True, words=("jieba", find))
    assert shards.sentences is not None
    assert shards.words is not None
    assert len(shards.words) == len(shards.tokens)
    for piece, (first, end) in zip(pieces, pairwise(shards.sentences), strict=True):
        encoding = tokenizer.encode(piece.text, add_special_tokens=False)
        assert shards.tokens[first:end].tolist() == encoding.ids
        begins = [offset for offset, flag in zip(encoding.offsets, shards.words[first:end], strict=True) if flag]
        assert len(begins) == len(WORDS)
        for word, (a, b) in zip(WORDS, begins, strict=True):
            assert word[0] in piece.text[a:b]
