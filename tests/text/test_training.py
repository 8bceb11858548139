import subprocess
import sys

import pytest

from plmlight.text import TokenizerKind, special_token_ids, train_tokenizer

TEXT = [
    "The quick brown fox jumps over the lazy dog.\n\n  Déjà vu: naïve façade, 中文 too.",
    "def f(x):\n    return x\n",
] * 3


@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "character", "byte"])
def test_nothing_is_lost(kind: TokenizerKind) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 300)
    assert tokenizer.decode(tokenizer.encode(TEXT[0]).ids) == TEXT[0]


@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "character", "byte"])
def test_end_of_text_is_id_0_and_pads(kind: TokenizerKind) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 300)
    assert tokenizer.token_to_id("<|endoftext|>") == 0
    assert special_token_ids(tokenizer)["pad"] == 0
    assert tokenizer.encode("a<|endoftext|>").ids[-1] == 0


def test_byte_level_knows_every_byte() -> None:
    kinds: tuple[TokenizerKind, ...] = ("byte-bpe", "byte")
    for kind in kinds:
        tokenizer = train_tokenizer(["plain"], kind, 257)
        assert tokenizer.get_vocab_size() == 257
        assert tokenizer.decode(tokenizer.encode("\x00€😀\r\n").ids) == "\x00€😀\r\n"


def test_unknown_character_is_one_token() -> None:
    tokenizer = train_tokenizer(["abc"], "character", 10)
    assert tokenizer.encode("aZZb").tokens == ["a", "<unk>", "<unk>", "b"]


def test_rare_characters_give_way() -> None:
    tokenizer = train_tokenizer(["aaabbbccddddeeeffgghij"], "character", 8)
    assert sorted(tokenizer.get_vocab()) == ["<unk>", "<|endoftext|>", "a", "b", "c", "d", "e", "f"]


def test_word_pieces_are_wrapped_as_bert_wraps_them() -> None:
    tokenizer = train_tokenizer(TEXT, "wordpiece", 200, lowercase=True)
    assert tokenizer.encode("Quick", "fox").tokens[0] == "[CLS]"
    assert tokenizer.encode("Quick", "fox").type_ids[-1] == 1
    assert tokenizer.decode(tokenizer.encode("The LAZY dog").ids) == "the lazy dog"


def test_lower_case() -> None:
    kinds: tuple[TokenizerKind, ...] = ("byte-bpe", "bpe", "unigram", "character", "byte")
    for kind in kinds:
        tokenizer = train_tokenizer(TEXT, kind, 300, lowercase=True)
        assert tokenizer.encode("QUICK").ids == tokenizer.encode("quick").ids


def test_one_shot_iterator_is_enough() -> None:
    once = train_tokenizer(iter(TEXT), "wordpiece", 200)
    assert once.get_vocab() == train_tokenizer(TEXT, "wordpiece", 200).get_vocab()


@pytest.mark.parametrize("kind", ["byte-bpe", "bpe", "wordpiece", "unigram", "character"])
def test_another_process_trains_the_same(kind: TokenizerKind) -> None:
    source = """
import sys, itertools
from plmlight.text import tokenizer_hash, train_tokenizer
words = ["".join(w) for w in itertools.product("abcdeé", "xyzwXY", "klmnKQ")]
text = [" ".join(words[i::7]) for i in range(7)] + ["Z J 1 2 3 4 5 6"]
print(tokenizer_hash(train_tokenizer(text, sys.argv[1], 300, min_frequency=1)))
"""
    runs = [subprocess.run([sys.executable, "-c", source, kind], capture_output=True, check=True) for _ in range(3)]
    assert len({run.stdout for run in runs}) == 1


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="kind 'bytebpe' is unknown; did you mean 'byte-bpe'"):
        train_tokenizer(TEXT, "bytebpe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vocab_size 100 is too small for a byte-bpe tokenizer: at least 257"):
        train_tokenizer(TEXT, "byte-bpe", 100)
    with pytest.raises(ValueError, match="its alphabet alone takes"):
        train_tokenizer(TEXT, "wordpiece", 20)
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["", " \n"], "bpe")
