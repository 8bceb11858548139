import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from plmlight.text import train_tokenizer, word_marks

TEXT = ["the unbelievable foxes, jumping  over\n\tlazy dogs' backs 1234\nand unlikely things happen\n"] * 3


def words(tokenizer: Tokenizer, text: str) -> list[str]:
    """The tokens of a text, those of a word joined."""
    begins, ends = word_marks(tokenizer)
    encoded = tokenizer.encode(text, add_special_tokens=False)
    out: list[str] = []
    before = None
    for id_, token in zip(encoded.ids, encoded.tokens, strict=True):
        if before is None or begins[id_] or ends[before]:
            out.append(token)
        else:
            out[-1] += token
        before = id_
    return out


def test_wordpiece_goes_on_with_marked_pieces() -> None:
    tokenizer = train_tokenizer(TEXT, "wordpiece", 60)
    expected = [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str("the foxes, 你好 likely dogs'")]
    said = words(tokenizer, "the foxes, 你好 likely dogs'")
    assert [word.replace("##", "") for word in said] == [
        word if word not in "你好" else "[UNK]" for word in ["the", "foxes", ",", "你", "好", "likely", "dogs", "'"]
    ]
    assert len(expected) == len(said) - 1  # the normaliser parts Chinese characters


def test_byte_level_words_begin_with_their_space() -> None:
    tokenizer = train_tokenizer(TEXT, "byte-bpe", 270)
    text = "the foxes, ünlikely  dogs\nand\n\tlazy\r\nthings"
    raw = ["the", " foxes,", " ünlikely", " ", " dogs", "\n", "and", "\n", "\t", "lazy", "\r", "\n", "things"]
    assert [tokenizer.decoder.decode([word]) for word in words(tokenizer, text)] == raw


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_sentencepiece_words_begin_with_its_mark(kind: str) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 60)  # type: ignore[arg-type]
    assert words(tokenizer, "the foxes, unlikely")[1:] == ["▁foxes,", "▁unlikely"]


def test_an_end_of_word_suffix_ends_one() -> None:
    vocabulary = {"u": 0, "n": 1, "n</w>": 2, "o</w>": 3, "un": 4, "<unk>": 5}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("u", "n")], end_of_word_suffix="</w>", unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert words(tokenizer, "uno n uuo") == ["uno</w>", "n</w>", "uuo</w>"]


def test_words_of_a_word_vocabulary_are_single() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1, "[UNK]": 2}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert words(tokenizer, "a b b") == ["a", "b", "b"]


def test_characters_and_byte_fallback() -> None:
    vocabulary = {token: i for i, token in enumerate([" ", "a", "b", "\n", "<0x0A>", "<0xE4>", "<unk>"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    assert words(tokenizer, "ab a\nb") == ["ab", " a", "\n", "b"]
    begins, ends = word_marks(tokenizer)
    assert (begins[4], ends[4], begins[5], ends[5]) == (True, True, False, False)


def test_special_tokens_stand_alone() -> None:
    begins, ends = word_marks(train_tokenizer(TEXT, "wordpiece", 60))
    assert begins[:5].all()
    assert ends[:5].all()
    assert not ends[5:].any()
