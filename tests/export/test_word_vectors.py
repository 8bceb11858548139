from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from plmlight import GloVe, Word2Vec, WordVectorModel, runtime
from plmlight.cli import main
from plmlight.export import export_bundle
from plmlight.text import train_tokenizer

WORDS = ["man", "king", "woman", "queen", "apple", "pear", "paris", "berlin"]


def tokenizer() -> Tokenizer:
    return train_tokenizer([" ".join(WORDS)], "word", 100, min_frequency=1)


def word2vec() -> WordVectorModel:
    return filled(WordVectorModel(network=Word2Vec(9, d_model=6)))


def normalised() -> WordVectorModel:
    return filled(WordVectorModel(network=Word2Vec(9, d_model=6), normalise=True))


def glove() -> WordVectorModel:
    return filled(WordVectorModel(network=GloVe(9, d_model=6)))


def filled(task: WordVectorModel) -> WordVectorModel:
    torch.manual_seed(4)
    for parameter in task.parameters():
        torch.nn.init.normal_(parameter)
    task.tokenizer = tokenizer()
    return task


@pytest.mark.parametrize("make", [word2vec, normalised, glove])
def test_a_bundle_is_proven_and_answers_as_torch_does(make: Callable[[], WordVectorModel], tmp_path: Path) -> None:
    task = make()
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    model = runtime.load(tmp_path / "bundle")
    ids = torch.tensor([task.tokenizer.token_to_id(word) for word in WORDS])  # type: ignore[union-attr]
    expected = task(ids)["vectors"].detach().numpy()
    assert np.allclose(model.embed(WORDS), expected, atol=1e-5)
    unit = expected / np.linalg.norm(expected, axis=1, keepdims=True)
    assert model.similarity("man", "king") == pytest.approx(float(unit[0] @ unit[1]), abs=1e-5)
    cosines = unit @ unit[0]
    cosines[0] = -9
    near = model.nearest("man", 3)
    assert [each.word for each in near] == [WORDS[place] for place in np.argsort(-cosines)[:3]]
    assert near[0].score == pytest.approx(cosines.max(), abs=1e-5)
    wanted = unit @ (unit[1] - unit[0] + unit[2])
    wanted[:3] = -9
    assert model.analogy("man", "king", "woman", 1)[0].word == WORDS[int(wanted.argmax())]


def test_a_bundle_tests_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_bundle(glove(), None, tmp_path / "bundle")
    assert main(["selftest", str(tmp_path / "bundle")]) == 0
    assert "golden 8  ok" in capsys.readouterr().out


def test_a_word_that_is_missing_is_said_with_its_nearest_spelling(tmp_path: Path) -> None:
    export_bundle(word2vec(), None, tmp_path / "bundle")
    model = runtime.load(tmp_path / "bundle")
    for word, hint in (("Queen", "queen"), ("quen", "queen"), ("berlni", "berlin")):
        with pytest.raises(ValueError, match=f"the word '{word}' is not in the vocabulary of 8; did you mean '{hint}'"):
            model.nearest(word)
    with pytest.raises(ValueError, match="put brackets around the one word"):
        model.embed("man")
    with pytest.raises(ValueError, match="top_k 0 must be at least 1"):
        model.nearest("man", 0)
