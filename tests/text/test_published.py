"""Vocabularies of published models, read as the reference implementation reads the same files."""

import io
import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest

from plmlight.text import load_tokenizer, save_tokenizer, special_token_ids, tokenizer_hash, train_tokenizer

TEXTS = [
    "Déjà vu: the naïve façade, un-believable! 1,234.5",
    "中文字符and English混排，漢字。カタカナ 한국어",
    "  two  spaces\tand\u00a0odd \u200bones\x00\x07 \ufeff",
    "``quoted'' text ﬁ Ⅷ ① İstanbul ẞ",
    "[CLS] [mask] [MASK] [SEP] <unk> </s> <s> <pad> x",
    "",
    " ",
    "Zzyzx",
]
WORDS = [
    "".join(parts)
    for parts in itertools.product(["na", "fa", "de", "un", "be"], ["ive", "c", "ja", "li"], ["ade", "ve"])
]


def lines() -> list[str]:
    choose = random.Random(0)
    return [" ".join(choose.choices(WORDS, k=choose.randint(3, 9))) + choose.choice(".?!") for _ in range(400)]


@pytest.fixture
def vocabulary() -> list[str]:
    pieces = "the The nai ##ve fac ##ade vu deja Déjà dej ##a and english English un - ! , . : 1 ##2 2 中 文 漢 mask"
    return ["[PAD]", "[unused1]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "", *pieces.split()]


def write(folder: Path, vocabulary: list[str], **config: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join([*vocabulary, ""]), encoding="utf-8")
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def assert_same(ours: Any, theirs: Any, texts: list[str]) -> None:
    for text in texts:
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
    pair = ours.encode(texts[0], texts[1])
    expected = theirs(texts[0], texts[1], return_token_type_ids=True)
    assert (pair.ids, pair.type_ids) == (expected["input_ids"], expected["token_type_ids"])


@pytest.mark.parametrize(
    "config",
    [
        {"do_lower_case": True},
        {"do_lower_case": False},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "strip_accents": True, "tokenize_chinese_chars": False},
    ],
)
def test_word_pieces_follow_the_configuration(tmp_path: Path, vocabulary: list[str], config: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = write(tmp_path / "bert", vocabulary, **config)
    theirs = transformers.BertTokenizer.from_pretrained(str(folder), **config)
    assert_same(load_tokenizer(folder), theirs, TEXTS)
    assert_same(load_tokenizer(folder / "vocab.txt"), theirs, TEXTS)


def test_case_is_lowered_unless_the_vocabulary_has_capitals(tmp_path: Path, vocabulary: list[str]) -> None:
    cased = load_tokenizer(write(tmp_path / "cased", vocabulary))
    lower = [token for token in vocabulary if token.startswith("[") or token == token.lower()]
    uncased = load_tokenizer(write(tmp_path / "uncased", lower))
    assert cased.encode("The the", add_special_tokens=False).tokens == ["The", "the"]
    assert uncased.encode("The the", add_special_tokens=False).tokens == ["the", "the"]


def test_a_few_capitals_do_not_make_a_vocabulary_cased(tmp_path: Path, vocabulary: list[str]) -> None:
    lower = [token for token in vocabulary if token.startswith("[") or token == token.lower()]
    strays = [*lower, *(f"##x{i}" for i in range(40)), "I"]
    assert load_tokenizer(write(tmp_path / "a", strays)).encode("The").tokens == ["[CLS]", "the", "[SEP]"]


def test_a_repeated_line_has_the_first_id(tmp_path: Path, vocabulary: list[str]) -> None:
    tokenizer = load_tokenizer(write(tmp_path / "a", [*vocabulary, "the", "last"]))
    assert tokenizer.token_to_id("the") == vocabulary.index("the")
    assert tokenizer.token_to_id("last") == len(vocabulary) + 1


def test_line_ends_of_windows_are_no_part_of_a_token(tmp_path: Path, vocabulary: list[str]) -> None:
    (tmp_path / "vocab.txt").write_bytes("\r\n".join([*vocabulary, ""]).encode())
    assert load_tokenizer(tmp_path).token_to_id("the") == vocabulary.index("the")


def test_a_vocabulary_without_its_tokens_is_refused(tmp_path: Path, vocabulary: list[str]) -> None:
    with pytest.raises(ValueError, match=r"vocab.txt: no vocabulary of BERT's kind: there is no line \[SEP\]"):
        load_tokenizer(write(tmp_path / "a", [token for token in vocabulary if token != "[SEP]"]))
    (tmp_path / "a" / "vocab.txt").write_bytes(b"[CLS]\n\xff\n")
    with pytest.raises(ValueError, match=r"vocab.txt: byte 6 is not UTF-8"):
        load_tokenizer(tmp_path / "a")


def test_saved_word_pieces_are_read_back_without_the_whole_file(tmp_path: Path) -> None:
    for lowercase in (True, False):
        trained = train_tokenizer(TEXTS * 3, "wordpiece", 200, lowercase=lowercase)
        save_tokenizer(trained, tmp_path)
        (tmp_path / "tokenizer.json").unlink()
        rebuilt = load_tokenizer(tmp_path)
        assert [rebuilt.encode(text).ids for text in TEXTS] == [trained.encode(text).ids for text in TEXTS]


def sentencepiece(folder: Path, name: str = "spiece.model", /, **options: Any) -> Path:
    library = pytest.importorskip("sentencepiece")
    written = io.BytesIO()
    library.SentencePieceTrainer.train(
        sentence_iterator=iter(lines()), model_writer=written, minloglevel=2, **{"vocab_size": 50, **options}
    )
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(written.getvalue())
    return folder


T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
ALBERT = {
    "pad_id": 0, "unk_id": 1, "bos_id": -1, "eos_id": -1,
    "control_symbols": ["[CLS]", "[SEP]"], "user_defined_symbols": ["[MASK]", "(", ")"],
}  # fmt: skip


def test_t5_is_cut_as_the_reference_cuts_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = sentencepiece(tmp_path / "t5", **T5)
    ours = load_tokenizer(folder)
    assert_same(ours, transformers.T5Tokenizer.from_pretrained(str(folder)), TEXTS + lines())
    assert ours.token_to_id("<extra_id_0>") == 149
    assert ours.encode("<extra_id_3> a").ids == [146, *ours.encode("a").ids]
    assert special_token_ids(ours) == {"pad": 0, "eos": 1, "unk": 2}


XLNET = {
    "unk_id": 0, "bos_id": 1, "eos_id": 2, "pad_id": -1,
    "control_symbols": ["<cls>", "<sep>", "<pad>", "<mask>", "<eod>"], "user_defined_symbols": ["<eop>", "(", ")"],
}  # fmt: skip


@pytest.mark.parametrize("config", [{}, {"do_lower_case": True}])
def test_xlnet_is_cut_as_the_reference_cuts_it(tmp_path: Path, config: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = sentencepiece(tmp_path / "xlnet", **XLNET)
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "XLNetTokenizer", **config}))
    ours = load_tokenizer(folder)
    assert_same(ours, transformers.XLNetTokenizer.from_pretrained(str(folder), **config), TEXTS + lines())
    found = ours.encode("the", "a")
    assert found.tokens[-2:] == ["<sep>", "<cls>"]
    assert found.type_ids[-3:] == [1, 1, 2]
    roles = {"unk": 0, "bos": 1, "eos": 2, "cls": 3, "sep": 4, "pad": 5, "mask": 6}
    assert special_token_ids(ours) == roles
    assert [ours.token_to_id(token) for token in ("<eod>", "<eop>")] == [7, 8]
    assert ours.decode(ours.encode("nade <eop> <eod>").ids) == "nade"


def test_saved_xlnet_opens_in_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = load_tokenizer(sentencepiece(tmp_path / "xlnet", **XLNET))
    save_tokenizer(ours, tmp_path / "saved")
    assert_same(ours, transformers.AutoTokenizer.from_pretrained(str(tmp_path / "saved")), TEXTS + lines())


@pytest.mark.parametrize("config", [{}, {"do_lower_case": False}, {"keep_accents": True}])
def test_albert_is_cut_as_the_reference_cuts_it(tmp_path: Path, config: dict[str, Any]) -> None:
    transformers = pytest.importorskip("transformers")
    folder = sentencepiece(tmp_path / "albert", **ALBERT)
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "AlbertTokenizer", **config}))
    ours = load_tokenizer(folder)
    assert_same(ours, transformers.AlbertTokenizer.from_pretrained(str(folder), **config), TEXTS + lines())
    assert ours.encode("the", "a").tokens[0] == "[CLS]"
    assert {"cls", "sep", "mask", "pad", "unk"} <= special_token_ids(ours).keys()


def test_xlm_roberta_moves_its_ids_as_fairseq_does(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = sentencepiece(tmp_path / "xlmr", "sentencepiece.bpe.model")
    ours = load_tokenizer(folder)
    assert_same(ours, transformers.XLMRobertaTokenizer.from_pretrained(str(folder)), TEXTS + lines())
    assert special_token_ids(ours) == {"bos": 0, "cls": 0, "pad": 1, "eos": 2, "sep": 2, "unk": 3, "mask": 51}


@pytest.mark.parametrize(
    "options",
    [{}, {"add_dummy_prefix": False}, {"remove_extra_whitespaces": False}, {"byte_fallback": True, "vocab_size": 300}],
)
def test_a_plain_model_is_cut_as_sentencepiece_cuts_it(tmp_path: Path, options: dict[str, Any]) -> None:
    library = pytest.importorskip("sentencepiece")
    folder = sentencepiece(tmp_path / "plain", "plain.model", **options)
    theirs = library.SentencePieceProcessor(model_file=str(folder / "plain.model"))
    ours = load_tokenizer(folder)
    for text in [*lines(), "a  b ", "the", "", "Déjà vu ﬁ"]:
        assert ours.encode(text).ids == theirs.encode(text), text


def test_what_is_no_sentencepiece_model_is_refused(tmp_path: Path) -> None:
    whole = (sentencepiece(tmp_path / "t5", **T5) / "spiece.model").read_bytes()
    for content in (whole[:-3], whole[3:], b"", b"plain text, not a model", b"\x08" + b"\xff" * 12):
        (tmp_path / "x.model").write_bytes(content)
        with pytest.raises(ValueError, match=r"x.model: not a SentencePiece model \("):
            load_tokenizer(tmp_path / "x.model")
    sentencepiece(tmp_path, "y.model", model_type="bpe")
    with pytest.raises(ValueError, match=r"y.model: a SentencePiece model of the kind bpe"):
        load_tokenizer(tmp_path / "y.model")


def roberta(folder: Path) -> Path:
    trained = train_tokenizer(TEXTS * 3, "byte-bpe", 330)
    save_tokenizer(trained, folder)
    vocabulary = json.loads((folder / "vocab.json").read_text())
    tokens = [token for token in sorted(vocabulary, key=vocabulary.__getitem__) if token != "<|endoftext|>"]
    whole = ["<s>", "<pad>", "</s>", "<unk>", *tokens, "<mask>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(whole)}))
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    return folder


def test_roberta_is_cut_as_the_reference_cuts_it(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = roberta(tmp_path)
    ours = load_tokenizer(folder)
    assert_same(ours, transformers.RobertaTokenizer.from_pretrained(str(folder)), TEXTS + lines())
    assert ours.encode("a", "b").tokens == ["<s>", "a", "</s>", "</s>", "b", "</s>"]
    last = ours.get_vocab_size() - 1
    assert special_token_ids(ours) == {"bos": 0, "cls": 0, "pad": 1, "eos": 2, "sep": 2, "unk": 3, "mask": last}


def test_bart_is_cut_as_the_reference_cuts_it_and_saved_again(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    folder = roberta(tmp_path / "theirs")
    (folder / "config.json").write_text(json.dumps({"model_type": "bart"}))
    ours = load_tokenizer(folder)
    assert_same(ours, transformers.BartTokenizer.from_pretrained(str(folder)), TEXTS + lines())
    save_tokenizer(ours, tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text(json.dumps({"model_type": "bart"}))
    assert_same(ours, transformers.AutoTokenizer.from_pretrained(str(tmp_path / "saved")), TEXTS + lines())


def test_saved_t5_opens_in_transformers(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ours = load_tokenizer(sentencepiece(tmp_path / "t5", **T5))
    save_tokenizer(ours, tmp_path / "saved")
    (tmp_path / "saved" / "config.json").write_text(json.dumps({"model_type": "t5"}))
    theirs = transformers.AutoTokenizer.from_pretrained(str(tmp_path / "saved"))
    assert_same(ours, theirs, [*TEXTS, *lines(), "<extra_id_0> de <extra_id_99>."])
    assert theirs.eos_token_id == 1
    assert tokenizer_hash(load_tokenizer(tmp_path / "saved")) == tokenizer_hash(ours)


def test_the_mask_of_roberta_takes_the_space_before_it_along(tmp_path: Path) -> None:
    ours = load_tokenizer(roberta(tmp_path))
    a, mask, b = (ours.token_to_id(token) for token in ("a", "<mask>", "b"))
    assert ours.encode("a <mask>b").ids == [0, a, mask, b, 2]


def test_xlm_begins_and_ends_a_text(tmp_path: Path) -> None:
    vocabulary = ["<s>", "</s>", "<pad>", "<unk>", "<special0>", "<special1>", "a</w>", "b</w>", "a", "b", "ab</w>"]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocabulary)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b</w>\n")
    ours = load_tokenizer(tmp_path)
    assert ours.encode("AB <special1> a").ids == [0, 10, 5, 6, 1]
    assert special_token_ids(ours) == {"bos": 0, "cls": 0, "eos": 1, "sep": 1, "pad": 2, "unk": 3, "mask": 5}


def test_one_model_of_any_name_will_do_and_two_will_not(tmp_path: Path) -> None:
    sentencepiece(tmp_path, "some.model", **T5)
    assert load_tokenizer(tmp_path).token_to_id("</s>") == 1
    (tmp_path / "other.model").write_bytes(b"")
    with pytest.raises(ValueError, match=r"has neither tokenizer.json nor vocab.txt"):
        load_tokenizer(tmp_path)


def test_a_damaged_configuration_is_named(tmp_path: Path, vocabulary: list[str]) -> None:
    folder = write(tmp_path / "a", vocabulary)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match=r"tokenizer_config.json: not valid JSON"):
        load_tokenizer(folder)


def test_saved_roberta_is_read_back_without_the_whole_file(tmp_path: Path) -> None:
    trained = train_tokenizer(TEXTS * 3, "roberta", 330)
    save_tokenizer(trained, tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    rebuilt = load_tokenizer(tmp_path)
    assert [rebuilt.encode(text, "b").ids for text in TEXTS] == [trained.encode(text, "b").ids for text in TEXTS]
