import subprocess
import sys

import pytest

from plmlight.text import TokenizerKind, cls_stands_last, special_token_ids, train_tokenizer

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


@pytest.mark.parametrize(
    "kind", ["byte-bpe", "bpe", "wordpiece", "unigram", "character", "roberta", "albert", "xlm", "xlnet", "t5"]
)
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


@pytest.mark.parametrize(
    ("kind", "single", "pair", "segment", "roles"),
    [
        (
            "roberta", "<s> A </s>", "<s> A </s> </s> A </s>", 0,
            {"bos": 0, "cls": 0, "pad": 1, "eos": 2, "sep": 2, "unk": 3, "mask": 4},
        ),
        (
            "albert", "[CLS] A [SEP]", "[CLS] A [SEP] A [SEP]", 1,
            {"pad": 0, "unk": 1, "cls": 2, "sep": 3, "mask": 4},
        ),
        (
            "xlm", "<s> A </s>", "<s> A </s> A </s>", 1,
            {"bos": 0, "cls": 0, "eos": 1, "sep": 1, "pad": 2, "unk": 3, "mask": 5},
        ),
    ],
)  # fmt: skip
def test_masked_language_models_have_their_tokens(
    kind: TokenizerKind, single: str, pair: str, segment: int, roles: dict[str, int]
) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 300)
    inner = " ".join(tokenizer.encode("a", add_special_tokens=False).tokens)
    assert " ".join(tokenizer.encode("a").tokens) == single.replace("A", inner)
    both = tokenizer.encode("a", "a")
    assert " ".join(both.tokens) == pair.replace("A", inner)
    second = 1 + len(inner.split())
    assert both.type_ids == [0] * (len(both) - second) + [segment] * second
    assert special_token_ids(tokenizer) == roles
    mask = tokenizer.id_to_token(roles["mask"])
    assert roles["mask"] in tokenizer.encode(f"quick {mask} fox").ids
    assert tokenizer.decode(tokenizer.encode(f"quick {mask} fox").ids).split() == ["quick", "fox"]


def test_xlnets_tokens_stand_at_the_end() -> None:
    tokenizer = train_tokenizer(TEXT, "xlnet", 300)
    roles = {"unk": 0, "bos": 1, "eos": 2, "cls": 3, "sep": 4, "pad": 5, "mask": 6}
    assert special_token_ids(tokenizer) == roles
    inner = tokenizer.encode("quick", add_special_tokens=False).tokens
    both = tokenizer.encode("quick", "quick")
    assert both.tokens == [*inner, "<sep>", *inner, "<sep>", "<cls>"]
    assert both.type_ids == [0] * (len(inner) + 1) + [1] * (len(inner) + 1) + [2]
    assert tokenizer.decode(tokenizer.encode("quick <mask> fox <eop> <eod>").ids).split() == ["quick", "fox"]
    assert cls_stands_last(tokenizer)
    assert not cls_stands_last(train_tokenizer(TEXT, "albert", 300))


@pytest.mark.parametrize("kind", ["albert", "xlnet", "t5"])
def test_white_space_is_one_space_where_the_published_tokenizers_have_it_so(kind: TokenizerKind) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 300)
    assert tokenizer.encode(" quick\n\n  fox\t").ids == tokenizer.encode("quick fox").ids
    assert not any("\n" in token for token in tokenizer.get_vocab())


def test_t5_has_its_tokens_and_its_sentinels_last() -> None:
    tokenizer = train_tokenizer(TEXT, "t5", 200)
    assert [tokenizer.id_to_token(id_) for id_ in range(3)] == ["<pad>", "</s>", "<unk>"]
    size = tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(f"<extra_id_{number}>") for number in range(100)] == [
        *range(size - 1, size - 101, -1)
    ]
    assert tokenizer.encode("The fox", "dog").type_ids[-1] == 0
    hidden = tokenizer.encode("The <extra_id_0> fox<extra_id_1>").ids
    assert hidden[-2:] == [size - 2, 1]
    assert size - 1 in hidden
    assert tokenizer.decode(tokenizer.encode("The quick fox").ids) == "The quick fox"
    assert tokenizer.decode(hidden).split() == ["The", "fox"]


def test_the_mask_of_a_byte_level_vocabulary_takes_its_space_along() -> None:
    tokenizer = train_tokenizer(TEXT, "roberta", 300)
    assert tokenizer.encode("a <mask> b", add_special_tokens=False).ids == [
        tokenizer.token_to_id("a"), 4, *tokenizer.encode(" b", add_special_tokens=False).ids
    ]  # fmt: skip


def test_bert_normalises_its_text() -> None:
    tokenizer = train_tokenizer(["deja vu 中 文"] * 5, "wordpiece", 60, lowercase=True)
    plain = tokenizer.encode("deja vu 中 文").ids
    assert tokenizer.encode("Dé\x00jà \u200bvu\ufffd\t中文").ids == plain
    cased = train_tokenizer(["Déjà vu"] * 5, "wordpiece", 60)
    assert cased.decode(cased.encode("Déjà vu").ids) == "Déjà vu"


def test_albert_normalises_its_text() -> None:
    tokenizer = train_tokenizer(['deja "vu"'] * 5, "albert", 60, lowercase=True)
    assert tokenizer.encode("Déjà ``vu''").ids == tokenizer.encode('deja "vu"').ids


@pytest.mark.parametrize("kind", ["unigram", "albert", "xlnet", "t5"])
def test_the_punctuation_of_chinese_stays_and_all_else_is_normalised(kind: TokenizerKind) -> None:
    text = "你好，世界！真的吗？是：（对）；好……～"
    tokenizer = train_tokenizer([text, "ＡＢ１２％ ﬁ"] * 20, kind, 200)
    assert tokenizer.decode(tokenizer.encode(text).ids).strip() == text
    assert tokenizer.normalizer.normalize_str("ＡＢ１２％ ﬁ") == "AB12% fi"


def test_bad_requests_say_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="kind 'bytebpe' is unknown; did you mean 'byte-bpe'"):
        train_tokenizer(TEXT, "bytebpe")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="vocab_size 100 is too small for a byte-bpe tokenizer: at least 257"):
        train_tokenizer(TEXT, "byte-bpe", 100)
    with pytest.raises(ValueError, match="its alphabet alone takes"):
        train_tokenizer(TEXT, "wordpiece", 20)
    with pytest.raises(ValueError, match="no text"):
        train_tokenizer(["", " \n"], "bpe")
