"""Filling and embedding, with models whose answers are known without a network."""

import numpy as np
import pytest
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from plmlight.decoding import Inputs, MaskFiller, TextEmbedder
from plmlight.decoding.filling import likeliest
from plmlight.text import train_tokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "paris", "is", "nice", "##r", ".", "今", "天"]


def wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece({word: index for index, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(WORDS[:5])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


class Known:
    """Prefers at each place the tokens that were given for it, the first most; embeds a text as its ids."""

    max_length, pad_token_id, num_token_types, width = 10, 0, 2, 10

    def __init__(self, *wanted: list[str]) -> None:
        self.wanted = wanted
        self.batches: list[Inputs] = []

    def scores(self, inputs: Inputs, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
        self.batches.append(inputs)
        logits = np.zeros((len(rows), len(WORDS)), np.float32)
        for number, wanted in zip(range(len(rows)), self.wanted * len(rows), strict=False):
            for rank, word in enumerate(wanted):
                logits[number, WORDS.index(word)] = 5 - rank
        return logits

    def embed(self, inputs: Inputs) -> NDArray[np.float32]:
        self.batches.append(inputs)
        ids = inputs["input_ids"] * inputs["attention_mask"]
        return np.pad(ids, ((0, 0), (0, self.width - ids.shape[1]))).astype(np.float32)


def texts_of(template: str, *wanted: list[str]) -> list[list[str]]:
    (found,) = MaskFiller(Known(*wanted), wordpiece()).fill([template], top_k=max(map(len, wanted)))
    return [[each.text for each in mask] for mask in found]


def test_a_mask_gets_the_likeliest_tokens_with_their_probabilities() -> None:
    ((answers,),) = MaskFiller(Known(["nice", "paris"]), wordpiece()).fill(["Paris is [MASK]."], top_k=2)
    normaliser = np.exp(5) + np.exp(4) + len(WORDS) - 2
    assert [(each.token, each.token_id) for each in answers] == [("nice", 7), ("paris", 5)]
    assert [each.score for each in answers] == pytest.approx([np.exp(5) / normaliser, np.exp(4) / normaliser])


@pytest.mark.parametrize(
    ("template", "token", "filled"),
    [
        ("Paris  is [MASK].", "nice", "Paris  is nice."),
        ("[MASK] is nice", "paris", "paris is nice"),
        ("Paris is nice [MASK]", "##r", "Paris is nicer"),
        ("Paris is nice [MASK]", ".", "Paris is nice."),
        ("今[MASK]", "天", "今天"),
    ],
    ids=["word", "first", "continuation", "punctuation", "no spaces"],
)
def test_the_rest_of_the_text_stays_as_it_was(template: str, token: str, filled: str) -> None:
    assert texts_of(template, [token]) == [[filled]]


def test_with_several_masks_the_others_hold_their_best() -> None:
    found = texts_of("[MASK] is [MASK].", ["paris", "nice"], ["nice", "is"])
    assert found == [["paris is nice.", "nice is nice."], ["paris is nice.", "paris is is."]]


def test_a_mask_that_swallows_the_space_before_it_does_not_lose_it() -> None:
    tokenizer = train_tokenizer(["I am happy. I am here. "] * 9, "byte-bpe", 290)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, special=True)])
    token = tokenizer.encode("I am").ids[-1]

    class One(Known):
        def scores(self, inputs: Inputs, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.float32]:
            assert inputs["input_ids"][0, columns[0]] == tokenizer.token_to_id("<mask>")
            return np.eye(tokenizer.get_vocab_size(), dtype=np.float32)[[token]]

    ((answers,),) = MaskFiller(One(), tokenizer).fill(["I  <mask> here."], top_k=1)
    assert answers[0].text == "I  am here."


def test_texts_are_filled_in_their_order_whatever_the_batches() -> None:
    texts = ["[MASK]", "paris is [MASK] .", "is [MASK]", "[MASK] [MASK] [MASK]"]
    model = Known(["nice"])
    found = MaskFiller(model, wordpiece()).fill(texts, top_k=1, batch_size=2)
    assert [len(masks) for masks in found] == [1, 1, 1, 3]
    assert [masks[0][0].text for masks in found] == ["nice", "paris is nice .", "is nice", "nice nice nice"]
    assert [batch["input_ids"].shape for batch in model.batches] == [(2, 6), (2, 4)]


def test_equal_scores_go_to_the_smaller_id() -> None:
    ids, probabilities = likeliest(np.zeros((1, 4), np.float32), 9)
    assert ids.tolist() == [[0, 1, 2, 3]]
    assert probabilities.tolist() == [[0.25] * 4]


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        (["[MASK]", "paris"], {}, r"text 1 has no mask: write \[MASK\] where"),
        (["[MASK] " * 9], {}, "text 0 has 11 tokens, but the model reads 10"),
        (["[MASK]"], {"top_k": 0}, "top_k must be at least 1, not 0"),
        (["[MASK]"], {"batch_size": 0}, "batch_size must be at least 1, not 0"),
        (["[MASK]"], {"token_type_id": 2}, "token_type_id 2: the model tells 2 types apart"),
        ("[MASK]", {}, "put brackets around"),
    ],
)
def test_what_can_not_be_filled(texts: list[str], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MaskFiller(Known(["nice"]), wordpiece()).fill(texts, **options)


def test_a_tokenizer_without_a_mask_token_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no mask token such as \[MASK\]"):
        MaskFiller(Known(["nice"]), train_tokenizer(["abc"], "character", 20))


def test_vectors_come_in_the_order_of_the_texts() -> None:
    model = Known()
    vectors = TextEmbedder(model, wordpiece()).embed(["is", "paris is nice", "", "nice nice"], batch_size=2)
    assert vectors.dtype == np.float32
    expected = [[2, 6, 3], [2, 5, 6, 7, 3], [2, 3], [2, 7, 7, 3]]
    assert [[int(each) for each in row if each] for row in vectors] == expected
    assert [batch["input_ids"].shape for batch in model.batches] == [(2, 5), (2, 3)]


def test_a_long_text_is_cut_and_keeps_its_special_tokens() -> None:
    (vector,) = TextEmbedder(Known(), wordpiece()).embed(["nice " * 40])
    assert vector.tolist() == [2, *[7] * 8, 3]


def test_no_texts_give_no_vectors() -> None:
    assert TextEmbedder(Known(), wordpiece()).embed([]).shape == (0, 10)


def test_a_text_without_tokens_is_an_error() -> None:
    with pytest.raises(ValueError, match="text 1 has no tokens"):
        TextEmbedder(Known(), train_tokenizer(["abc"], "character", 20)).embed(["a", ""])


def test_token_types_are_the_tokenizers_unless_they_are_named() -> None:
    model = Known(["nice"])
    filler = MaskFiller(model, wordpiece())
    filler.fill(["[MASK]", "paris [MASK]"])
    filler.fill(["[MASK]", "paris [MASK]"], token_type_id=1)
    assert model.batches[0]["token_type_ids"].tolist() == [[0, 0, 0, 0], [0, 0, 0, 0]]
    assert model.batches[1]["token_type_ids"].tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]
