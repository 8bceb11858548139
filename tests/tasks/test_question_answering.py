import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import plmlight
from plmlight.data import SquadData
from plmlight.networks import BERT, GPT, T5, XLNet
from plmlight.nn import Network
from plmlight.optim import AdamW, Constant
from plmlight.tasks import QuestionAnswering

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:You have overridden", "ignore:The number of training batches"),
]
PEOPLE, PLACES = ("Anna", "Boris", "Chen", "Dora"), ("Paris", "Rome", "Lima", "Oslo")


def squad(unanswerable: bool = False, filler: int = 2) -> dict[str, Any]:
    """Where somebody lives, by a sentence of many."""
    articles = []
    for number, (person, place) in enumerate((a, b) for a in PEOPLE for b in PLACES):
        more = "It rains . " * filler
        context = f"{more}{person} lives in {place} . {more}"
        answers = [{"text": place, "answer_start": context.index(place)}]
        questions: list[dict[str, Any]] = [
            {"id": f"q{number}", "question": f"Where does {person} live ?", "answers": answers}
        ]
        if unanswerable:
            questions.append({"id": f"n{number}", "question": "Who sings ?", "answers": [], "is_impossible": True})
        articles.append({"paragraphs": [{"context": context, "qas": questions}]})
    return {"data": articles}


def written(folder: Path, content: dict[str, Any], name: str = "train.json") -> str:
    (folder / name).write_text(json.dumps(content))
    return str(folder / name)


def network(data: SquadData, **changed: Any) -> BERT:
    sizes = {"d_model": 32, "num_layers": 2, "num_heads": 2, "max_length": 64, "dropout": 0.0, **changed}
    return BERT(data.vocab_size, **sizes)


def trained(task: QuestionAnswering, data: SquadData, epochs: int, folder: Path) -> pl.Trainer:
    trainer = pl.Trainer(
        max_epochs=epochs, default_root_dir=folder, logger=False, enable_checkpointing=False, accelerator="cpu",
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0, check_val_every_n_epoch=epochs,
    )  # fmt: skip
    task.tokenizer = data.tokenizer
    trainer.fit(task, data)
    return trainer


def test_it_learns_and_comes_back_from_a_checkpoint(tmp_path: Path) -> None:
    file = written(tmp_path, squad(unanswerable=True))
    data = SquadData(file, validation_files=file, max_length=20, stride=6, cache_folder=str(tmp_path / "cache"))
    assert len(data.samples("fit")) > len(data.examples["fit"]) == 32  # several windows of each
    task = QuestionAnswering(
        network(data), 20, 6, 3, null_threshold=0.0, optimizer=AdamW(lr=5e-3), schedule=Constant(), seed=0
    )
    trainer = trained(task, data, 15, tmp_path)
    metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
    assert metrics["val_exact_match"] == metrics["val_f1"] == metrics["val_answerable_f1"] == 100.0
    assert metrics["val_best_f1"] == 100.0
    path = tmp_path / "x.ckpt"
    trainer.save_checkpoint(path)
    loaded = plmlight.load(path)
    assert isinstance(loaded, QuestionAnswering)
    assert loaded.facts() == {
        "max_length": 20, "stride": 6, "max_answer_tokens": 3, "null_threshold": 0.0, "metric": "squad"
    }  # fmt: skip
    ids = torch.randint(5, data.vocab_size, (2, 9))
    mine, theirs = task.eval()(ids), loaded(ids)
    assert list(mine) == list(task.graph_outputs) == ["start_logits", "end_logits"]
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_the_loss_is_the_mean_of_both_ends_within_the_context(tmp_path: Path) -> None:
    data = SquadData(written(tmp_path, squad()), max_length=64, cache_folder=str(tmp_path / "cache"))
    task = QuestionAnswering(network(data))
    batch = data.samples("fit").batch(np.array([0, 1, -1]), 0)
    torch.manual_seed(0)
    outputs = {name: torch.randn(batch["input_ids"].shape) for name in ("start_logits", "end_logits")}
    total, count = task.loss(outputs, batch)["loss"]
    wanted = 0.0
    for row in (0, 1):
        allowed = batch["context_mask"][row].bool()
        for side in ("start", "end"):
            scores = F.log_softmax(outputs[f"{side}_logits"][row][allowed], -1)
            place = int(allowed[: batch[f"labels_{side}"][row]].sum())
            wanted -= 0.5 * float(scores[place])
    assert count == 2
    assert float(total) == pytest.approx(wanted, rel=1e-5)


def test_windows_are_joined_by_their_best_answer_and_least_null_score(tmp_path: Path) -> None:
    data = SquadData(written(tmp_path, squad()), cache_folder=str(tmp_path / "cache"))
    found = {
        "example_ids": [0, 0, 1, 1],
        "answers": ["Rome", "Paris", "Lima", "Oslo"],
        "scores": [1.0, 2.0, 5.0, 4.0],
        "null_scores": [9.0, 1.0, 7.0, 8.0],
        "references": [["Paris"], ["Paris"], [], []],
    }
    always = QuestionAnswering(network(data)).score(found)
    assert always == {"exact_match": 50.0, "f1": 50.0}
    never = QuestionAnswering(network(data), null_threshold=0.0).score(found)
    assert never["f1"] == 100.0  # 1 - 2 is below the threshold, 7 - 5 above
    assert never["best_threshold"] == pytest.approx(0.5)
    high = QuestionAnswering(network(data), null_threshold=3.0).score(found)
    assert (high["f1"], high["answerable_f1"], high["best_f1"]) == (50.0, 100.0, 100.0)


@pytest.mark.parametrize("kind", ["gpt", "t5", "xlnet", "no segments"])
def test_any_network_that_reads(kind: str, tmp_path: Path) -> None:
    tokenizer: Any = {"gpt": "byte-bpe", "t5": "t5", "xlnet": "xlnet"}.get(kind, "wordpiece")
    data = SquadData(
        written(tmp_path, squad()), tokenizer_kind=tokenizer, tokenizer_vocab_size=300, max_length=48, stride=8,
        cache_folder=str(tmp_path / "cache"),
    )  # fmt: skip
    sizes: dict[str, Any] = {"d_model": 16, "num_layers": 1, "num_heads": 2}
    made: dict[str, Network] = {
        "gpt": GPT(data.vocab_size, max_length=64, **sizes),
        "t5": T5(data.vocab_size, max_length=64, d_ff=32, **sizes),
        "xlnet": XLNet(data.vocab_size, max_length=64, d_ff=32, **sizes),
        "no segments": BERT(data.vocab_size, max_length=64, num_token_types=0, **sizes),
    }
    task = QuestionAnswering(made[kind])
    batch = data.samples("validate").batch(np.array([0, 1, -1]), 0)
    outputs = task.read(batch)
    total, count = task.loss(outputs, batch)["loss"]
    assert count == 2
    assert torch.isfinite(total)
    found = task.find(outputs, batch)
    assert all(each in context for each, context in zip(found["answers"], batch["contexts"], strict=True))


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="QuestionAnswering needs an encoder"):
        QuestionAnswering(plmlight.Word2Vec(9, 4))
    with pytest.raises(ValueError, match="max_answer_tokens must be at least 1, not 0"):
        QuestionAnswering(BERT(9, d_model=4, num_heads=1, num_layers=1), max_answer_tokens=0)
