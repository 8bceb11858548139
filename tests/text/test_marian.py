"""Marian's tokenizers, read as the reference implementation reads the same files."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import pytest

from plmlight.text import load_target_tokenizer, load_tokenizer, save_tokenizer
from tests.text.test_published import lines

GERMAN = ["ein kleiner hund läuft über die straße", "zwei männer spielen gitarre", "das haus ist groß", "ä ö ü ß"]


def marian(folder: Path, *, alike: bool = False, apart: bool = False) -> Path:
    """A folder as opus-mt has them: two models, one vocabulary of both, or two."""
    library = pytest.importorskip("sentencepiece")
    vocabularies = []
    for name, texts in (("source.spm", lines()), ("target.spm", lines() if alike else GERMAN * 40)):
        written = io.BytesIO()
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(texts), model_writer=written, minloglevel=2, vocab_size=50, hard_vocab_limit=False,
            bos_id=-1, eos_id=0, unk_id=1, character_coverage=1.0,
        )  # fmt: skip
        (folder / name).write_bytes(written.getvalue())
        model = library.SentencePieceProcessor(model_proto=written.getvalue())
        vocabularies.append([model.IdToPiece(i) for i in range(2, model.GetPieceSize())])
    source, target = vocabularies
    rest = [] if apart else sorted(set(target) - set(source))
    write(folder / "vocab.json", ["</s>", "<unk>", ">>deu<<", *reversed(source), *rest, "<pad>"])
    if apart:
        write(folder / "target_vocab.json", ["</s>", "<unk>", *target, "<pad>"])
        (folder / "tokenizer_config.json").write_text(json.dumps({"separate_vocabs": True}))
    return folder


def write(path: Path, tokens: list[str]) -> None:
    path.write_text(json.dumps({token: i for i, token in enumerate(tokens)}))


def reference(folder: Path, **options: Any) -> Any:
    transformers = pytest.importorskip("transformers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it recommends a package that it does not use
        return transformers.MarianTokenizer.from_pretrained(str(folder), **options)


SOURCES = [
    *lines(),
    "",
    " ",
    "  na  fa\u00a0de ﬁ",
    ">>deu<< naive facade.",
    "naßde",
    "ä ö",
    "na</s> x <pad>",
    "na中文de",
]


@pytest.mark.parametrize("apart", [False, True])
def test_both_sides_are_cut_as_the_reference_cuts_them(apart: bool, tmp_path: Path) -> None:
    theirs = reference(marian(tmp_path, apart=apart), separate_vocabs=apart)
    ours, target = load_tokenizer(tmp_path), load_target_tokenizer(tmp_path)
    assert target is not None
    for text in SOURCES:
        assert ours.encode(text).ids == theirs(text)["input_ids"], text
    for text in GERMAN:
        ids = theirs(text_target=text)["input_ids"]
        assert target.encode(text).ids == ids, text
        assert target.decode(ids) == theirs.decode(ids, skip_special_tokens=True), text
    assert ours.encode("na", "fa").ids == theirs("na", "fa")["input_ids"]


def test_a_shared_vocabulary_has_the_same_ids_on_both_sides(tmp_path: Path) -> None:
    marian(tmp_path)
    ours, target = load_tokenizer(tmp_path), load_target_tokenizer(tmp_path)
    assert target is not None
    assert ours.get_vocab() == target.get_vocab()
    assert ours.encode(lines()[0]).ids != target.encode(lines()[0]).ids


def test_what_the_source_does_not_know_is_looked_up_on_the_other_side(tmp_path: Path) -> None:
    ours = load_tokenizer(marian(tmp_path))
    assert ours.encode("naßde").tokens[-4:] == ["ß", "d", "e", "</s>"]
    assert ours.encode("na中文de").ids.count(1) == 1


def test_one_model_for_both_is_one_tokenizer(tmp_path: Path) -> None:
    assert load_target_tokenizer(marian(tmp_path, alike=True)) is None


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ({"</s>": 0, "<unk>": 2}, "expected each id from 0 on once"),
        ({"</s>": 0, "a": 1}, "there is no token <unk>"),
        ([], "expected each id from 0 on once"),
        (None, "there is no such file, but source.spm needs a vocabulary beside it"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_named(tokens: Any, message: str, tmp_path: Path) -> None:
    file = marian(tmp_path) / "vocab.json"
    file.unlink()
    if tokens is not None:
        file.write_text(json.dumps(tokens))
    with pytest.raises(ValueError, match=rf"vocab\.json: .*{message}"):
        load_tokenizer(tmp_path)


def test_a_saved_pair_opens_again(tmp_path: Path) -> None:
    ours, target = load_tokenizer(marian(tmp_path)), load_target_tokenizer(tmp_path)
    save_tokenizer(ours, tmp_path / "saved", target)
    again, other = load_tokenizer(tmp_path / "saved"), load_target_tokenizer(tmp_path / "saved")
    assert other is not None
    assert target is not None
    assert (again.to_str(), other.to_str()) == (ours.to_str(), target.to_str())
