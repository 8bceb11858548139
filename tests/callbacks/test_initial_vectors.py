"""Networks that start from word vectors."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

from plmlight.callbacks import InitialVectors
from plmlight.callbacks.initial_vectors import matching_rows
from plmlight.networks import GPT, NNLM
from plmlight.tasks import CausalLM
from plmlight.text import train_tokenizer
from plmlight.text.vectors import write_vectors

from .test_callbacks import loader, trainer

pytestmark = pytest.mark.filterwarnings("ignore")
WORDS = ["the", "paris", "ing", "absent"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    return train_tokenizer(["the king of Paris sings the king of Paris"] * 30, "byte-bpe", 290)


def file(folder: Path, width: int = 6) -> str:
    path = folder / "x.vec"
    write_vectors(path, WORDS, np.arange(len(WORDS) * width, dtype=np.float32).reshape(-1, width) + 1)
    return str(path)


def fit(task: CausalLM, folder: Path, callback: pl.Callback, **how: Any) -> pl.Trainer:
    run = trainer(folder, 1, callback)
    run.fit(task, loader(), **how)
    return run


def small(tokenizer: Tokenizer, kind: str = "nnlm") -> CausalLM:
    torch.manual_seed(0)
    size = tokenizer.get_vocab_size()
    network = NNLM(size, 8, 3, d_embedding=6) if kind == "nnlm" else GPT(size, 6, 1, 1, max_length=12)
    task = CausalLM(network, tie_head=kind == "gpt")
    task.tokenizer = tokenizer
    return task


@pytest.mark.parametrize("kind", ["nnlm", "gpt"])
def test_tokens_get_the_vectors_of_their_words(kind: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer, kind)
    before = task.network.token_embedding.weight.detach().clone()
    callback = InitialVectors(file(tmp_path))
    callback.setup(None, task, "fit")  # type: ignore[arg-type]
    table = task.network.token_embedding.weight
    vocabulary = tokenizer.get_vocab()
    assert table[vocabulary["Ġthe"]].tolist() == [1, 2, 3, 4, 5, 6]
    assert table[vocabulary["ĠParis"]].tolist() == [7, 8, 9, 10, 11, 12]  # in lower case
    assert callback.found == 2
    others = [id_ for token, id_ in vocabulary.items() if token not in ("Ġthe", "ĠParis")]
    assert torch.equal(table[others], before[others])  # within a word "ing" is no word


@pytest.mark.parametrize("text", ["天气很好", "天气 很好"])
def test_characters_are_words_where_nothing_marks_words(text: str) -> None:
    tokenizer = train_tokenizer([text] * 5, "character", 20)  # white space is a character, and marks no other
    rows = matching_rows(tokenizer, ["好", "天气", "天"])
    found = {token: rows[id_] for token, id_ in tokenizer.get_vocab().items() if rows[id_] >= 0}
    assert found == {"好": 0, "天": 2}


def test_the_table_may_stay_as_it_is_and_a_resumed_run_goes_on_from_its_own(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    task = small(tokenizer)
    run = fit(task, tmp_path, InitialVectors(file(tmp_path), trained=False))
    table = task.network.token_embedding.weight
    assert table[tokenizer.get_vocab()["Ġthe"]].tolist() == [1, 2, 3, 4, 5, 6]
    with torch.no_grad():
        table.fill_(0.5)
    run.save_checkpoint(tmp_path / "x.ckpt")
    again = small(tokenizer)
    callback = InitialVectors(file(tmp_path), trained=False)
    fit(again, tmp_path, callback, ckpt_path=tmp_path / "x.ckpt", weights_only=True)
    assert again.network.token_embedding.weight.eq(0.5).all()


def test_vectors_are_scaled_to_the_networks(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer)
    spread = task.network.token_embedding.weight.std().item()
    InitialVectors(file(tmp_path), standardised=True).setup(None, task, "fit")  # type: ignore[arg-type]
    rows = task.network.token_embedding.weight[[tokenizer.get_vocab()[token] for token in ("Ġthe", "ĠParis")]]
    assert rows.std().item() == pytest.approx(spread, rel=1e-5)


def test_vectors_that_do_not_fit_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    task = small(tokenizer)
    with pytest.raises(ValueError, match=r"x\.vec: its vectors have 4 numbers, the network's token vectors 6"):
        InitialVectors(file(tmp_path, 4)).setup(None, task, "fit")  # type: ignore[arg-type]
    write_vectors(tmp_path / "y.txt", ["nowhere"], np.ones((1, 6), np.float32))
    with pytest.raises(ValueError, match=r"y\.txt: has none of the tokenizer's \d+ tokens"):
        InitialVectors(str(tmp_path / "y.txt")).setup(None, task, "fit")  # type: ignore[arg-type]
    task.tokenizer = None
    with pytest.raises(ValueError, match="no tokenizer"):
        InitialVectors(file(tmp_path)).setup(None, task, "fit")  # type: ignore[arg-type]
