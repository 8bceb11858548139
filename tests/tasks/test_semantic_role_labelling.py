"""Roles of arguments: what is learnt about each predicate of a sentence, and what comes out."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

from plmlight import BERT, GPT, BiLSTM, RoleData, SemanticRoleLabelling, load
from plmlight.decoding.roles import RoleLabeller
from plmlight.nn import Network
from plmlight.optim import AdamW, Constant
from plmlight.tasks import TorchOutputModel
from tests.runtime.encoders import wordpiece

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:You have overridden", "ignore:The number of training batches"),
]

LABELS = ["B-A0", "B-A1", "B-V", "I-A0", "I-A1", "I-V", "O"]
SENTENCES = """\
the - (A0* *
dog - *) *
sees see (V*) *
ann - (A1*) (A0*)
eat eat * (V*)
fish - * (A1*)

ann - (A0*) *
sees see (V*) *
the - (A1* (A0*
cat - *) *)
eat eat * (V*)
it - * (A1*)
"""


def network(kind: str, size: int) -> Network:
    if kind == "bert":
        return BERT(size, d_model=24, num_layers=2, num_heads=3, d_ff=32, max_length=16, dropout=0.0)
    return BiLSTM(size, d_model=24, d_embedding=16, max_length=16, dropout=0.0)


@pytest.mark.parametrize("kind", ["bilstm", "bert"])
def test_it_learns_saves_and_answers(kind: str, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(f"{SENTENCES}\n" * 4)
    name = str(tmp_path / "train.txt")
    data = RoleData(
        name,
        validation_files=name,
        tokenizer_vocab_size=200,
        max_length=10,
        batch_size=8,
        cache_folder=str(tmp_path / "cache"),
    )
    torch.manual_seed(0)
    task = SemanticRoleLabelling(
        network(kind, data.vocab_size),
        data.labels,
        data.markers,
        head_dropout=0.0,
        max_length=10,
        optimizer=AdamW(lr=0.02),
        schedule=Constant(),
    )
    task.tokenizer = data.tokenizer
    trainer = pl.Trainer(
        accelerator="cpu",
        max_epochs=25,
        check_val_every_n_epoch=25,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(task, data)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["val_f1"] == metrics["val_f1_A0"] == metrics["val_accuracy"] == 100, metrics
    assert "val_f1_V" not in metrics
    (roles, *_) = task.report().tables
    assert [row[0] for row in roles.rows] == ["A0", "A1"]
    trainer.save_checkpoint(tmp_path / "x.ckpt")
    loaded = load(str(tmp_path / "x.ckpt"))
    assert isinstance(loaded, SemanticRoleLabelling)
    assert loaded.tokenizer is not None
    labeller = RoleLabeller(TorchOutputModel(loaded), loaded.tokenizer, loaded.facts())
    seen, eaten = labeller.label(["the dog [sees] ann eat fish", "the dog sees ann [eat]  fish"])
    assert [(each.label, each.text) for each in seen] == [("A0", "the dog"), ("V", "sees"), ("A1", "ann")]
    assert [(each.label, each.text, each.start) for each in eaten] == [
        ("A0", "ann", 13),
        ("V", "eat", 18),
        ("A1", "fish", 24),
    ]
    assert all(0.5 < each.score <= 1 for each in seen)
    words = ["ann", "sees", "the", "cat", "eat", "it"]
    requests: list[dict[str, Any]] = [{"tokens": words, "predicate": 4}, {"text": " ".join(words), "predicate": "eat"}]
    tags = [answer["tags"] for answer in labeller.answers(requests)]
    assert tags == [["O", "O", "B-A0", "I-A0", "B-V", "B-A1"]] * 2


def small() -> SemanticRoleLabelling:
    torch.manual_seed(0)
    task = SemanticRoleLabelling(network("bert", 40), LABELS, [40, 41])
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    return task.eval()


def test_the_markers_say_which_word_is_asked_about() -> None:
    task = small()
    assert task.network.vocab_size == 42
    first, second = torch.tensor([[5, 40, 6, 41, 7, 8]]), torch.tensor([[5, 6, 40, 7, 41, 8]])
    one, other = (task(ids)["logits"].detach() for ids in (first, second))
    assert (one[0, 5] - other[0, 5]).abs().max() > 1e-2


def test_tags_follow_bio_and_words_that_are_not_read_have_none() -> None:
    task = small()
    ids = torch.tensor([[5, 40, 6, 41, 7, 8]])
    labels = torch.tensor([[0, -100, 2, -100, 6, 6]])
    with torch.no_grad():
        task.head.classifier.bias[LABELS.index("I-A1")] += 9
        outputs = task(ids)
    roles = [6, 1, 0, 2, 6, 6, 1]
    batch = {"labels": labels, "sample_ids": torch.tensor([0]), "first_words": torch.tensor([2]), "roles": [roles]}
    found = task.find(outputs, batch)
    assert found["gold"][0].tolist() == roles
    names = [LABELS[number] for number in found["tags"][0]]
    assert names == ["O", "O", "B-A1", "I-A1", "I-A1", "I-A1", "O"]
    kept = {**found, "example_ids": np.array([0]), "first_words": np.array([0])}
    assert task.score(kept)["recall"] == 0  # of three arguments, one of which is not read at all


def test_what_cannot_label_roles_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a network that reads in both directions, as GPT does not"):
        SemanticRoleLabelling(GPT(9, d_model=16, num_layers=1, num_heads=2), LABELS, [1, 2])
    with pytest.raises(ValueError, match=r"markers \[1, 1\]: expected the ids of two tokens"):
        SemanticRoleLabelling(network("bert", 9), LABELS, [1, 1])
    with pytest.raises(ValueError, match="'O', of words without a role, is missing"):
        SemanticRoleLabelling(network("bert", 9), ["B-A0", "B-V"], [1, 2])
    with pytest.raises(ValueError, match="scheme BIO: the labels are tags of none"):
        SemanticRoleLabelling(network("bert", 9), ["A0", "O"], [1, 2])


def test_bad_requests_are_named() -> None:
    task = small()
    labeller = RoleLabeller(TorchOutputModel(task), wordpiece(), task.facts() | {"max_length": 5})
    with pytest.raises(ValueError, match=r"request 1: no predicate is marked: write one \[predicate\] in the text"):
        labeller.answers([{"text": "[a]"}, {"text": "b"}])
    with pytest.raises(ValueError, match=r"request 0: the predicate is \d+ tokens, and there is room for 1"):
        labeller.label(["[opened-the-door] a"])
    with pytest.raises(ValueError, match="a list of sentences was expected"):
        labeller.label("[a]")
