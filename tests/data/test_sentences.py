import re

import pytest

from plmlight.data import sentences as sentences_module
from plmlight.data.readers import Piece
from plmlight.data.sentences import sentence_pieces, split_sentences


@pytest.mark.parametrize(
    "marked",
    [
        "Hello there.| How are you?| Fine!",
        "Mr. Smith met Dr. J. R. Brown at 3.14 p.m. on Jan. 5.| They left.",
        "See Fig. 3 and No. 7, e.g. the U.S. Army.| It costs $5.00.",
        "He said no.| Then he left the U.S.| The end.",
        '"Stop!" he said.| "Go on," she said.| "No."| Then silence.',
        "She asked “Why?”| He shrugged (as ever).| Done.",
        "Well... I never.| So... what?| And then…| Nothing…",
        "Wait...| Nobody came?!| Really.",
        "1. The first point.| 2. The second point.",
        "Visit www.example.com or v1.2.3 now.| Yahoo! is old.",
        "He ( 24 in ) was here .| The rest , too .| all lower .| yes ?",
        'He said " go . "| The other said " no " .| Fine .',
        "It was new ( as they say . )| Then old .",
        "A wrapped\nline goes on.| Next\nline.",
        "A heading\n\n|The text.",
        "= A =\n| = B =",
        "First, apples, pears, etc.| The next one.| Apples etc. are good; so are pears.",
        "I saw the sun.| Bright it was on Sun. morning.",
        "So did I.| He knew Smith et al. (2019).",
    ],
)
def test_english(marked: str) -> None:
    assert split_sentences(marked.replace("|", "")) == [part.strip() for part in marked.split("|")]


@pytest.mark.parametrize(
    "marked",
    [
        "你好。|我是学生！|你呢？|好；|再见……|嗯",
        "他说：“你好。”|然后走了。|「真的吗？」|『是！』|完。",
        "“什么？”，他问。|没有。",
        "真的？！|是的!!|好",
        "此开卷第一回也.|作者自云.|见图.1和3.14米",
        '道："好。"|众人道："是。|来。"|笑了',
        '道：“好。"|众人道：“是。|来！"|笑了',
        "我在New York住。|OK!|他说 Hello.|他走了。",
        "（见下。）|好（见上）。|他走了。",
        "第一回 甄士隐\n\n|    此开卷也。\r\n|　　又一段；|完",
        "价格是3.5元。|版本2.0发布了。",
    ],
)
def test_chinese(marked: str) -> None:
    assert split_sentences(marked.replace("|", "")) == [part.strip() for part in marked.split("|")]


def test_white_space_alone_is_no_sentence() -> None:
    assert split_sentences("") == split_sentences(" \n\n \u3000 ") == []


TEXT = 'One. "Two!" said Mr. X.\n\n三。四！”五\n  Six... seven? Eight " . " Nine\r\n\r\n十；…'


def test_nothing_but_white_space_is_lost() -> None:
    assert re.sub(r"\s", "", "".join(split_sentences(TEXT))) == re.sub(r"\s", "", TEXT)
    place = 0
    for sentence in split_sentences(TEXT):
        assert sentence == sentence.strip()
        place = TEXT.index(sentence, place) + len(sentence)


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_streamed_documents_have_the_sentences_of_the_whole(size: int) -> None:
    parts = [TEXT[i : i + size] for i in range(0, len(TEXT), size)]
    pieces = [Piece(part, i == len(parts) - 1) for i, part in enumerate(parts)]
    found = list(sentence_pieces([*pieces, Piece("Another one. End.", True), Piece(" \n", True)]))
    assert [piece.text.strip() for piece in found] == [*split_sentences(TEXT), "Another one.", "End."]
    assert [piece.text for piece in found if piece.last] == [found[-3].text, " End."]


def test_space_leads_where_the_text_has_white_space() -> None:
    found = sentence_pieces([Piece("\nA b.\tC d.\n\nE。f", True)])
    assert [piece.text for piece in found] == ["A b.", " C d.", " E。", "f"]


def test_a_long_document_without_paragraphs_is_not_held_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences_module, "_LONGEST", 40)
    given = []

    def endless() -> object:
        for number in range(100):
            given.append(number)
            yield Piece(f"Sentence number {number} is here. ", last=False)

    found = sentence_pieces(endless())  # type: ignore[arg-type]
    assert next(found).text == "Sentence number 0 is here."
    assert len(given) < 5
