"""From texts to texts with an encoder-decoder."""

from typing import Any

import pytest
import torch
from tokenizers import Tokenizer

from plmlight import Seq2Seq, Transformer
from plmlight.decoding import DecodingOptions, SequenceGenerator
from plmlight.tasks import TorchSequenceModel
from plmlight.text import TextForm, frame, train_tokenizer

LINES = [f"ein kleiner Hund {i} rennt schnell über die Brücke" for i in range(9)]
FORM = TextForm(prefixes={"shorten": "kurz: ", "translate": "englisch: "})


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(LINES, "unigram", 60)


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> TorchSequenceModel:
    torch.manual_seed(0)
    network = Transformer(tokenizer.get_vocab_size(), d_model=16, num_layers=1, num_heads=2, d_ff=32, max_length=60)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return TorchSequenceModel(Seq2Seq(network=network))


@pytest.fixture
def generator(model: TorchSequenceModel, tokenizer: Tokenizer) -> SequenceGenerator:
    return SequenceGenerator(model, tokenizer, options=DecodingOptions(max_new_tokens=8), text_form=FORM)


def tokens(found: Any) -> list[list[int]]:
    return [answer.token_ids for answers in found for answer in answers]


def test_the_end_is_what_closes_a_text(generator: SequenceGenerator, tokenizer: Tokenizer) -> None:
    assert generator.options.eos_token_id == frame(tokenizer).closing[0]
    assert generator.encode("ein Hund") == tokenizer.encode("ein Hund").ids


@pytest.mark.parametrize("changes", [{}, {"num_beams": 3}, {"temperature": 1.0, "num_return_sequences": 2}])
def test_answers_depend_on_their_own_source_only(generator: SequenceGenerator, changes: dict[str, Any]) -> None:
    texts = ["ein Hund", LINES[0], "Brücke die", "", LINES[3] + " schnell"]
    together = generator.generate(texts, **changes)
    for batch_size in (1, 2):
        assert tokens(generator.generate(texts, batch_size=batch_size, **changes)) == tokens(together)
    by_ids = generator.write([generator.encode(text) for text in texts], **changes)
    assert tokens(by_ids) == tokens(together)


def test_pieces_make_up_the_answer(generator: SequenceGenerator) -> None:
    ((answer,),) = generator.generate([LINES[1]])
    pieces = list(generator.stream(LINES[1]))
    assert "".join(piece.text for piece in pieces) == answer.text
    assert [token for piece in pieces for token in piece.token_ids] == answer.token_ids


def test_the_prefix_of_a_task_stands_before_the_source(generator: SequenceGenerator) -> None:
    assert generator.encode("ein Hund", "shorten") == generator.encode("kurz: ein Hund")
    with pytest.raises(ValueError, match="'shortn' is unknown; did you mean 'shorten'"):
        generator.generate(["ein Hund"], prefix="shortn")


def test_an_answer_goes_on_from_its_beginning(generator: SequenceGenerator) -> None:
    free = generator.generate([LINES[0]])[0][0]
    begun = generator.generate([LINES[0], LINES[1]], beginnings=["Hund", ""])
    start = generator.model.decoder_start_token_id
    inner = generator.tokenizer.encode("Hund", add_special_tokens=False).ids
    writer = generator.model.read([generator.encode(LINES[0])])
    logits = writer.start([[start, *inner]])
    assert begun[0][0].token_ids[0] == int(logits[0].argmax())
    assert begun[1][0].token_ids == generator.generate([LINES[1]])[0][0].token_ids
    assert begun[0][0].token_ids != free.token_ids
    with pytest.raises(ValueError, match="2 texts came with 1 beginnings"):
        generator.generate(LINES[:2], beginnings=["x"])


def test_long_sources_are_refused_or_cut_with_a_count(generator: SequenceGenerator) -> None:
    long = " ".join(LINES[:3])
    with pytest.raises(ValueError, match=r"source 1 has \d+ tokens, but the model reads at most 60: shorten it"):
        generator.generate(["ein Hund", long])
    with pytest.warns(UserWarning, match="2 of 3 sources were longer than the 60 tokens that the model reads: cut"):
        found = generator.generate([long, "ein Hund", long], truncate_source=True)
    ids = generator.encode(long)
    kept = [*ids[:59], ids[-1]]
    assert tokens(found)[0] == tokens(generator.write([kept]))[0]


def test_a_long_dialogue_loses_its_beginning(model: TorchSequenceModel, tokenizer: Tokenizer) -> None:
    generator = SequenceGenerator(model, tokenizer, text_form=TextForm(history=4))
    ids = generator.encode(" ".join(LINES[:3]))
    assert generator.fit(0, ids, DecodingOptions(truncate_source=True)) == ids[-60:]


def test_progress_counts_sources(generator: SequenceGenerator) -> None:
    told: list[int] = []
    generator.generate(LINES[:5], batch_size=2, progress=told.append)
    assert told == [2, 2, 1]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_beams": 2000}, "num_beams 2000 is beyond the vocabulary of"),
        ({"num_beam": 2}, "there is no decoding option 'num_beam'"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"options": [DecodingOptions()]}, "2 texts came with 1 options"),
    ],
)
def test_what_does_not_fit_is_refused(generator: SequenceGenerator, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        generator.generate(LINES[:2], **changes)
