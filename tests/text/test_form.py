import json
import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models, processors

from plmlight.text import Frame, TextForm, TokenizerKind, frame, train_tokenizer

TEXT = ["The quick brown fox jumps over the lazy dog.", "and a cat"] * 3


@pytest.mark.parametrize(
    ("kind", "opening", "closing"),
    [
        ("wordpiece", ["[CLS]"], ["[SEP]"]),
        ("roberta", ["<s>"], ["</s>"]),
        ("unigram", [], ["</s>"]),
        ("t5", [], ["</s>"]),
        ("bpe", [], ["<|endoftext|>"]),
        ("byte", [], ["<|endoftext|>"]),
    ],
)
def test_the_frame_is_the_template_or_an_end(kind: TokenizerKind, opening: list[str], closing: list[str]) -> None:
    tokenizer = train_tokenizer(TEXT, kind, 300)
    found = frame(tokenizer)
    assert [[tokenizer.id_to_token(id_) for id_ in ids] for ids in found] == [opening, closing]
    if opening:
        inner = tokenizer.encode("quick", add_special_tokens=False).ids
        assert tokenizer.encode("quick").ids == [*found.opening, *inner, *found.closing]


def test_a_vocabulary_without_letters_has_its_frame() -> None:
    tokenizer = Tokenizer(models.BPE({"</s>": 0, "中": 1}, []))
    tokenizer.add_special_tokens(["</s>"])
    tokenizer.post_processor = processors.TemplateProcessing("</s> $A </s> </s>", special_tokens=[("</s>", 0)])
    assert frame(tokenizer) == Frame((0,), (0, 0))


def test_a_tokenizer_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match=r"no token that ends a text \(</s>, .*tokenizer_kind unigram"):
        frame(Tokenizer(models.BPE({"a": 0}, [])))


def test_sources_stand_behind_their_prefix() -> None:
    form = TextForm({"de": "translate to German: ", "sum": "summarise: "})
    assert form.source("a cat", "de") == "translate to German: a cat"
    assert form.source("summarise: a cat") == "summarise: a cat"
    assert form.source("a cat") == "a cat"
    one = TextForm({"sum": "summarise: "})
    assert one.source("a cat") == one.source("summarise: a cat") == "summarise: a cat"
    assert TextForm().source("a cat") == "a cat"


def test_an_unknown_prefix_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="prefix 'summary' is unknown; did you mean 'summarise'"):
        TextForm({"summarise": "x: ", "other": "y: "}).source("a", "summary")
    with pytest.raises(ValueError, match="prefix 'de' is unknown; the model was trained without prefixes"):
        TextForm().source("a", "de")


def test_a_dialogue_is_its_last_turns_and_the_last_speaker_is_the_other_one() -> None:
    form = TextForm(roles=("<user>", "<bot>"), history=3)
    assert form.dialogue(["hello"]) == "<user> hello"
    assert form.dialogue(["hello", " hi\nthere ", "how are you?"]) == "<user> hello <bot> hi there <user> how are you?"
    assert form.dialogue(["hello", "hi", "how are you?", "fine"]) == "<user> fine".join(
        ["<user> hi <bot> how are you? ", ""]
    )
    assert TextForm(history=2).dialogue(["a", "b", "c"]) == "b c"
    assert form.keeps_end
    assert not TextForm().keeps_end


def test_a_dialogue_needs_turns_and_a_model_of_dialogues() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        TextForm(history=2).dialogue([])
    with pytest.raises(ValueError, match="not trained on dialogues"):
        TextForm().dialogue(["a"])


@pytest.mark.parametrize("form", [TextForm(), TextForm({"a": "b: "}, ("<u>", "<b>"), 4)])
def test_a_form_survives_json(form: TextForm) -> None:
    assert TextForm.from_json(json.loads(json.dumps(form.as_json()))) == form


def test_other_json_is_no_form() -> None:
    with pytest.raises(ValueError, match=r"not the form of a text: \{'prefixes': 3.*KeyError"):
        TextForm.from_json({"prefixes": 3})


def test_forms_load_no_torch() -> None:
    code = "import sys; from plmlight.text import TextForm, frame; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
