import re

import pytest

from plmlight.decoding.entities import MarkedText, marked_tokens, read_marked, read_tags
from plmlight.text import TokenizerKind, train_tokenizer

TEXT = "The old dog, which bit the black cat, ran away."


def test_tags_become_places() -> None:
    marked = read_tags("The <e1>old dog</e1> bit the <e2>cat</e2>.")
    assert marked.text == "The old dog bit the cat."
    assert marked.entities == ("old dog", "cat")
    assert read_tags("A <e2>cat</e2> and a <e1>dog</e1>").entities == ("dog", "cat")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a dog and a cat", "the marker <e1> is missing"),
        ("<e1>a</e1> <e2>b", "the marker </e2> is missing"),
        ("<e1>a</e1> <e2>b</e2> <e1>", "the marker <e1> is there 2 times"),
        ("<e1>a <e2>b</e2></e1>", "the markers are nested: <e1> <e2> </e2> </e1>"),
        ("<e1>a <e2>b</e1> c</e2>", "the markers are nested"),
        ("</e1>a<e1> <e2>b</e2>", "the marker </e1> stands before <e1>"),
        ("<e1></e1> <e2>b</e2>", "there is nothing between the markers <e1> and </e1>"),
        ("<e1> </e1> <e2>b</e2>", "head [0, 1] is white space"),
    ],
)
def test_wrong_tags_are_named(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_tags(text)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"text": 3}, "expected a text under 'text'"),
        ("a text", "expected a text under 'text'"),
        ({"text": "a b", "head": [0, 1]}, "expected two whole numbers [start, end] under 'tail', got None"),
        ({"text": "a b", "head": [0, 1.5], "tail": [2, 3]}, "under 'head', got [0, 1.5]"),
        ({"text": "a b", "head": [0, 1], "tail": [2, 4]}, "tail [2, 4] is no place in a text of 3 characters"),
        ({"text": "a b", "head": [1, 1], "tail": [2, 3]}, "head [1, 1] is no place"),
        ({"text": "a b", "head": [0, 3], "tail": [2, 3]}, "the entities overlap: head [0, 3], tail [2, 3]"),
    ],
)
def test_wrong_places_are_named(record: object, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        read_marked(record)


@pytest.mark.parametrize("kind", ["wordpiece", "roberta", "byte-bpe", "t5", "xlnet"])
@pytest.mark.parametrize("turned", [False, True])
def test_markers_stand_around_the_entities(kind: TokenizerKind, turned: bool) -> None:
    tokenizer = train_tokenizer([TEXT] * 3, kind, 400)
    size = tokenizer.get_vocab_size()
    markers = [*range(size, size + 4)]
    dog, cat = (4, 11), (27, 36)
    marked = MarkedText(TEXT, *((cat, dog) if turned else (dog, cat)))
    (row,) = marked_tokens(tokenizer, [marked], markers, None)
    assert not isinstance(row, str)
    places = [row.ids.index(marker) for marker in markers]
    assert (places == sorted(places)) is not turned
    for (start, end), entity in zip(((places[0], places[1]), (places[2], places[3])), marked.entities, strict=True):
        assert tokenizer.decode(row.ids[start + 1 : end]).strip() == entity
    if kind in ("t5", "xlnet"):
        return  # a part begins as a word does there
    # without the markers it is the text as the tokenizer reads it, with its template
    plain = tokenizer.encode(TEXT)
    rest = [(id_, kind) for id_, kind in zip(row.ids, row.type_ids, strict=True) if id_ not in markers]
    assert rest == list(zip(plain.ids, plain.type_ids, strict=True))


def test_a_long_text_is_cut_around_the_entities() -> None:
    tokenizer = train_tokenizer([TEXT] * 3, "wordpiece", 400)
    text = "black " * 50 + TEXT + " old" * 50
    marked = MarkedText(text, (304, 311), (327, 336))
    whole, cut, tight, none = (
        marked_tokens(tokenizer, [marked], [900, 901, 902, 903], length)[0] for length in (None, 40, 16, 12)
    )
    assert not isinstance(whole, str)
    assert not isinstance(cut, str)
    assert not isinstance(tight, str)
    assert len(whole.ids) > 100
    assert (len(cut.ids), len(tight.ids)) == (40, 16)
    inside = whole.ids[whole.ids.index(900) : whole.ids.index(903) + 1]
    first = cut.ids.index(900)
    assert cut.ids[first : first + len(inside)] == inside
    assert abs(first - (40 - first - len(inside))) <= 2
    assert [cut.ids[0], cut.ids[-1]] == [whole.ids[0], whole.ids[-1]]
    assert none == f"the entities and what is between them are {len(inside)} tokens, and there is room for 10"


def test_a_text_that_has_a_marker_itself_is_named() -> None:
    tokenizer = train_tokenizer([TEXT], "wordpiece", 200)
    tokenizer.add_tokens(["[e1]", "[/e1]", "[e2]", "[/e2]"])
    markers = [tokenizer.get_vocab()[name] for name in ("[e1]", "[/e1]", "[e2]", "[/e2]")]
    texts = [read_tags(f"{before}<e1>dog</e1> bit <e2>cat</e2>") for before in ("the ", "the [e2] ")]
    good, wrong = marked_tokens(tokenizer, texts, markers, None)
    assert not isinstance(good, str)
    assert wrong == "the token '[e2]', which marks entities, is in the text itself"
