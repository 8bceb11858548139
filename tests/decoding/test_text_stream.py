from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from plmlight.decoding import DecodingOptions, TextGenerator, generate, stream
from plmlight.decoding.text import TextStream, answer_text
from tests.decoding.models import Scripted, follows, hashed

TEXT = "naïve 中文 text 🤖🙂 e\u0301nd"


@pytest.fixture(scope="module")
def byte_level() -> Tokenizer:
    """One token a byte, so that most characters here are several tokens; the last token is special."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: place for place, letter in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


@pytest.fixture(scope="module")
def byte_fallback() -> Tokenizer:
    """SentencePiece style: a lone byte of a character decodes to a replacement character each."""
    vocabulary: dict[str, int] = {"<unk>": 0, "▁a": 1, "▁b": 2}
    vocabulary |= {f"<0x{byte:02X}>": 3 + byte for byte in range(256)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], byte_fallback=True, unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return tokenizer


def pieces(tokenizer: Tokenizer, ids: list[int], prompt: list[int] | None = None, stop: Any = ()) -> list[str]:
    text = TextStream(tokenizer, prompt or [], stop)
    return [*map(text.push, ids), text.finish()]


def test_characters_of_several_tokens_come_whole(byte_level: Tokenizer) -> None:
    ids = byte_level.encode(TEXT).ids
    assert len(ids) > len(TEXT)
    found = pieces(byte_level, ids)
    assert "".join(found) == TEXT
    assert not any("�" in piece for piece in found)


def test_a_character_comes_as_soon_as_it_is_whole(byte_level: Tokenizer) -> None:
    assert pieces(byte_level, byte_level.encode("é!").ids) == ["", "é", "!", ""]


def test_bytes_that_never_become_a_character_come_as_replacements(byte_level: Tokenizer) -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        ids = generator.integers(256, size=60).tolist() + [255 - generator.integers(3)] * 30
        assert "".join(pieces(byte_level, ids)) == byte_level.decode(ids)


def test_replacement_characters_that_were_written_come_too(byte_level: Tokenizer) -> None:
    ids = byte_level.encode("a�b�").ids
    assert "".join(pieces(byte_level, ids)) == "a�b�"


def test_byte_fallback_characters_come_whole(byte_fallback: Tokenizer) -> None:
    ids = [1, *(3 + byte for byte in "中🤖".encode()), 2, *(3 + byte for byte in "é".encode())]
    found = pieces(byte_fallback, ids, prompt=[2])
    assert "".join(found) == " a中🤖 bé"
    assert not any("�" in piece for piece in found)


def test_the_space_between_prompt_and_answer_stays(byte_fallback: Tokenizer) -> None:
    assert answer_text(byte_fallback, [1], [2, 1]) == " b a"
    assert "".join(pieces(byte_fallback, [2, 1], prompt=[1])) == " b a"


def test_a_character_begun_in_the_prompt_is_finished(byte_level: Tokenizer) -> None:
    first, second = byte_level.encode("é").ids
    assert answer_text(byte_level, [first], [second]) == "é"
    assert "".join(pieces(byte_level, [second], prompt=[first])) == "é"


def test_special_tokens_have_no_text(byte_level: Tokenizer) -> None:
    ids = [*byte_level.encode("ab").ids, 256, *byte_level.encode("c").ids]
    assert "".join(pieces(byte_level, ids)) == answer_text(byte_level, [], ids) == "abc"


@pytest.mark.parametrize(
    ("text", "stop", "wanted"),
    [
        ("one two three", ["two"], "one "),
        ("one two three", ["three", "two"], "one "),
        ("aab aac", ["aac"], "aab "),
        ("ababac!", ["abac"], "ab"),
        ("a\nb\n\nc", ["\n\n"], "a\nb"),
        ("中文。好", ["。"], "中文"),
        ("one tw", ["two"], "one tw"),
        ("none", ["x", "yy"], "none"),
    ],
)
def test_stop_strings_end_the_text(byte_level: Tokenizer, text: str, stop: list[str], wanted: str) -> None:
    ids = byte_level.encode(text).ids
    found = TextStream(byte_level, [], stop)
    shown = ""
    for token in ids:
        shown += found.push(token)
        assert wanted.startswith(shown), "text came that turned out to belong to a stop string"
    assert shown + found.finish() == wanted == answer_text(byte_level, [], ids, stop)
    assert found.stopped == any(end in text for end in stop)


def test_text_that_may_begin_a_stop_string_waits(byte_level: Tokenizer) -> None:
    assert pieces(byte_level, byte_level.encode("ab-->").ids, stop=["--!"]) == ["a", "b", "", "", "-->", ""]


def test_generation_ends_at_a_stop_string(byte_level: Tokenizer) -> None:
    ids = byte_level.encode("one two three four").ids
    model = Scripted(follows(ids, 300))
    (answer,) = generate(model, [[0]], DecodingOptions(max_new_tokens=18, stop=["two", "hr"]), byte_level)[0]
    assert (answer.text, answer.finish_reason) == ("one ", "stop")
    assert answer.token_ids == ids[:7]


@pytest.mark.parametrize("options", [{}, {"stop": ["a", "7"]}, {"temperature": 1.5, "seed": 3}])
def test_a_stream_is_the_answer_in_pieces(byte_level: Tokenizer, options: dict[str, Any]) -> None:
    settled = DecodingOptions(max_new_tokens=60, eos_token_id=256, **options)
    for first in range(6):
        (answer,) = generate(Scripted(hashed(257)), [[first]], settled, byte_level)[0]
        found = list(stream(Scripted(hashed(257)), [first], settled, byte_level))
        assert "".join(piece.text for piece in found) == answer.text
        assert [token for piece in found for token in piece.token_ids] == answer.token_ids
        assert [piece.finish_reason for piece in found] == [None] * (len(found) - 1) + [answer.finish_reason]


def test_a_beam_can_end_at_a_stop_string(byte_level: Tokenizer) -> None:
    ids = byte_level.encode("one two").ids
    model = Scripted(follows([*ids, *ids], 300))
    options = DecodingOptions(max_new_tokens=10, stop=["two"], num_beams=3)
    (answer,) = generate(model, [[0]], options, byte_level)[0]
    assert (answer.text, answer.finish_reason) == ("one ", "stop")


def test_texts_in_batches_get_the_answers_of_one_batch(byte_level: Tokenizer) -> None:
    generator = TextGenerator(Scripted(hashed(257)), byte_level, DecodingOptions(max_new_tokens=6, temperature=1.0))
    texts = ["a", "long text", "mid", "x", "another one"]
    assert generator.generate(texts, batch_size=2) == generator.generate(texts, batch_size=5)


def test_changes_replace_options(byte_level: Tokenizer) -> None:
    generator = TextGenerator(Scripted(hashed(257)), byte_level, DecodingOptions(max_new_tokens=6))
    (answer,) = generator.generate(["a"], max_new_tokens=3)[0]
    assert len(answer.token_ids) == len(list(generator.stream("a", max_new_tokens=3))) == 3


def test_an_empty_text_starts_from_the_bos_token(byte_level: Tokenizer) -> None:
    model = Scripted(hashed(257))
    TextGenerator(model, byte_level, bos_token_id=256).generate([""], max_new_tokens=1)
    assert model.rows == [[256]]
    with pytest.raises(ValueError, match="prompt 0 has no token"):
        TextGenerator(model, byte_level).generate([""])


def test_an_unknown_option_is_named(byte_level: Tokenizer) -> None:
    with pytest.raises(ValueError, match="no decoding option 'max_tokens'; expected one of max_new_tokens"):
        TextGenerator(Scripted(hashed(257)), byte_level).generate(["a"], max_tokens=3)
