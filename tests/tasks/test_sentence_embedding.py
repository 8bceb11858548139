"""Training vectors of texts: fit, checkpoint, load, and what is measured."""

import json
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch

import plmlight
from plmlight.data import TextPairs
from plmlight.decoding import TextEmbedder
from plmlight.networks import BERT, BagOfVectors
from plmlight.objectives import CoSENT, CosineRegression, EmbeddingObjective, InBatchNegatives, Matryoshka, TripletLoss
from plmlight.optim import AdamW, Constant
from plmlight.tasks import SentenceEmbedding, TorchEmbeddingModel
from plmlight.tasks.labelled import Findings
from plmlight.tasks.sentence_embedding import retrieval_scores

pytestmark = [
    pytest.mark.filterwarnings("ignore::lightning.fabric.utilities.warnings.PossibleUserWarning"),
    pytest.mark.filterwarnings("ignore:You have overridden"),
    pytest.mark.filterwarnings("ignore:Checkpoint directory"),
]

WORDS = [f"{a}{b}" for a in "bdfgk" for b in "aeiou"]
"""The first half of them means the second half: word i and word i + 12."""


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sentences(count: int) -> list[dict[str, Any]]:
    """Texts of two words with their translation, a wrong one, and a score of the first with another translation."""
    random = np.random.default_rng(1)
    rows = []
    for number in range(count):
        chosen, other = random.integers(0, 12, (2, 2))
        mixed = [chosen[0], other[1]] if number % 3 == 1 else other if number % 3 else chosen
        text, partner, wrong, half = (
            " ".join(WORDS[word + shift] for word in words)
            for words, shift in ((chosen, 0), (chosen, 12), (other, 12), (mixed, 12))
        )
        score = float(np.mean([word in mixed for word in chosen]))
        rows.append({"text": text, "partner": partner, "wrong": wrong, "half": half, "score": score})
    return rows


def data(*fields: str, **arguments: Any) -> TextPairs:
    Path("x.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sentences(240)))
    settings = {"validation_fraction": 0.2, "tokenizer_kind": "word", "cache_folder": "cache", "batch_size": 24}
    return TextPairs("x.jsonl", list(fields), **{**settings, **arguments})


def embedding(module: TextPairs, objective: EmbeddingObjective | None, **arguments: Any) -> SentenceEmbedding:
    torch.manual_seed(0)
    network = BagOfVectors(module.vocab_size, d_model=16, max_length=8)
    task = SentenceEmbedding(network, objective=objective, optimizer=AdamW(lr=3e-2), schedule=Constant(), **arguments)
    task.tokenizer = module.tokenizer
    return task


def trainer(**arguments: Any) -> pl.Trainer:
    settings = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "max_epochs": 5,
        "num_sanity_val_steps": 0,
    }
    return pl.Trainer(**{**settings, **arguments})


def measured(task: SentenceEmbedding, module: TextPairs, epochs: int = 5) -> tuple[dict[str, float], dict[str, float]]:
    """What the validation set says before and after training."""
    found = []
    for steps in (0, epochs):
        runs = trainer(max_epochs=steps)
        if steps:
            runs.fit(task, datamodule=module)
        (metrics,) = runs.validate(task, datamodule=module, verbose=False)
        found.append(dict(metrics))
    return found[0], found[1]


@pytest.mark.parametrize("objective", [CoSENT(), CosineRegression()])
def test_scored_pairs_are_learnt(objective: EmbeddingObjective) -> None:
    module = data("text", "half", score_field="score")
    before, after = measured(embedding(module, objective), module)
    assert set(after) == {"val_loss", "val_spearman", "val_pearson"}
    assert abs(before["val_spearman"]) < 0.4
    assert after["val_spearman"] > 0.8
    assert after["val_loss"] < before["val_loss"]


@pytest.mark.parametrize("objective", [None, InBatchNegatives(symmetric=True), Matryoshka(InBatchNegatives(), [16, 8])])
def test_partners_are_found_after_training_with_in_batch_negatives(objective: EmbeddingObjective | None) -> None:
    module = data("text", "partner")
    before, after = measured(embedding(module, objective), module)
    assert before["val_recall@1"] < 20
    assert after["val_recall@1"] > 60
    assert after["val_ndcg@10"] >= after["val_mrr@10"] > 75


def test_triplets_are_told_apart_after_training() -> None:
    module = data("text", "partner", "wrong")
    before, after = measured(embedding(module, TripletLoss(0.5, "cosine")), module)
    assert before["val_triplets"] < 75
    assert after["val_triplets"] > 90


def test_one_text_is_read_twice_with_different_dropout() -> None:
    module = data("text", validation_fraction=0)
    torch.manual_seed(0)
    network = BERT(module.vocab_size, d_model=16, num_layers=1, num_heads=2, d_ff=32, max_length=8, dropout=0.2)
    task = SentenceEmbedding(network, optimizer=AdamW(lr=1e-3))
    batch = module.samples("fit").batch(np.arange(8), 0)
    first, second = task.train().read(batch)["sentence_embedding"]
    assert not torch.allclose(first, second)
    first, second = task.eval().read(batch)["sentence_embedding"]
    assert torch.equal(first, second)
    trainer(max_epochs=1, limit_val_batches=0).fit(task, datamodule=module)


def test_equal_single_texts_are_no_negatives_of_each_other() -> None:
    module = data("text", validation_fraction=0)
    task = embedding(module, None).eval()
    with torch.no_grad():
        total, _ = task.parts(module.samples("fit").batch(np.array([3, 3, 3]), 0))["loss"]
    assert float(total) == pytest.approx(0, abs=1e-6)


def test_rows_of_padding_count_for_nothing() -> None:
    module = data("text", "partner")
    task = embedding(module, None).eval()
    samples = module.samples("fit")
    batches = [samples.batch(np.array(ids), 0) for ids in ([0, 1, 2], [0, 1, 2, -1], [-1])]
    with torch.no_grad():
        whole, padded, nothing = ([float(each) for each in task.parts(batch)["loss"]] for batch in batches)
    assert whole == pytest.approx(padded)
    assert nothing == [0, 0]


def test_a_trained_checkpoint_embeds(tmp_path: Path) -> None:
    module = data("text", "partner")
    task = embedding(module, Matryoshka(InBatchNegatives(0.1), [16, 4], [1, 0.5]), normalise=True)
    runs = trainer(max_epochs=1)
    runs.fit(task, datamodule=module)
    runs.save_checkpoint(tmp_path / "a.ckpt")
    again = plmlight.load(tmp_path / "a.ckpt")
    assert isinstance(again, SentenceEmbedding)
    assert isinstance(again.objective, Matryoshka)
    assert (again.objective.dims, again.objective.weights) == ([16, 4], [1, 0.5])
    text = [sentences(1)[0]["text"]]
    vectors = [TextEmbedder(TorchEmbeddingModel(each), module.tokenizer).embed(text) for each in (task, again)]
    assert np.array_equal(vectors[0], vectors[1])
    assert np.linalg.norm(vectors[0]) == pytest.approx(1, abs=1e-5)


def test_predictions_are_the_cosines_of_pairs() -> None:
    module = data("text", "partner", predict_files="x.jsonl")
    task = embedding(module, None)
    batches: Any = trainer().predict(task, datamodule=module)
    found = {int(i): float(c) for batch in batches for i, c in zip(batch["sample_ids"], batch["cosine"], strict=True)}
    example = module.examples["predict"][7]
    first, second = TextEmbedder(TorchEmbeddingModel(task), module.tokenizer).embed(example.texts)
    expected = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert len(found) == 240
    assert found[7] == pytest.approx(float(expected), abs=1e-5)


def test_retrieval_is_among_all_different_partners() -> None:
    vectors = np.array(
        [
            [[1, 0], [1, 0.1], [0, 1]],  # text 0: partner 1, not 2
            [[1, 0], [-1, 0], [1, 0.1]],  # text 0 again: partner 3 is far away
            [[0, 1], [1, 0.1], [0, 1]],  # text 4: partner 1 is less near than text 2
        ],
        np.float32,
    )
    scores = retrieval_scores(vectors, np.array([[0, 1, 2], [0, 3, 1], [4, 1, 2]]))
    assert scores["recall@1"] == pytest.approx((50 + 0) / 2)
    assert scores["recall@10"] == 100
    assert scores["mrr@10"] == pytest.approx((100 + 50) / 2)
    assert scores["map@100"] == pytest.approx((100 * (1 + 2 / 3) / 2 + 50) / 2)
    assert scores["triplets"] == pytest.approx(100 / 3)


@pytest.mark.parametrize("pooling", ["mean", "cls", "pooler"])
def test_a_pooler_is_trained_where_it_is_used(pooling: Any) -> None:
    task = SentenceEmbedding(BERT(20, d_model=16, num_layers=1, num_heads=2), pooling, pooler=True)
    task(torch.tensor([[5, 6, 7]]))["sentence_embedding"].sum().backward()
    assert all((each.grad is not None) == each.requires_grad for each in task.parameters())
    assert task.pooler is not None
    assert all(each.requires_grad == (pooling == "pooler") for each in task.pooler.parameters())


def test_a_text_on_both_sides_of_pairs_does_not_find_itself() -> None:
    near, far, other = [1.0, 0.0], [1.0, 0.9], [0.0, 1.0]
    vectors = np.array([[near, far], [far, near], [other, other], [other, near]], np.float32)
    scores = retrieval_scores(vectors, np.array([[7, 3], [3, 7], [5, 5], [5, 7]]))
    assert scores["recall@1"] == pytest.approx((100 + 100 + 50) / 3)
    assert scores["mrr@10"] == 100


def test_an_objective_that_does_not_fit_is_told() -> None:
    network = BagOfVectors(10, d_model=16)
    with pytest.raises(ValueError, match=r"dims \[32\]: the vectors have 16 numbers only"):
        SentenceEmbedding(network, objective=Matryoshka(InBatchNegatives(), [32]))
    module = data("text", "partner")
    with pytest.raises(ValueError, match="CoSENT learns from scores"):
        trainer().fit(embedding(module, CoSENT()), datamodule=module)


def test_the_numbers_of_texts_stay_whole() -> None:
    findings, ids = Findings(), torch.tensor([[2**24, 2**24 + 1]])
    findings.add(torch.tensor([0]), {"text_ids": ids, "vectors": torch.zeros(1, 2, 3, dtype=torch.bfloat16)})
    found = findings.take()
    assert found["text_ids"].tolist() == ids.tolist()
    assert found["vectors"].dtype == np.float32
