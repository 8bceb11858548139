"""A classifier learns, is kept in a checkpoint, and answers as it was trained; each kind of problem by its formula."""

from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.nn.functional as F

import plmlight
from plmlight import (
    BERT,
    GPT,
    T5,
    BagOfVectors,
    LabelledPairs,
    LabelledText,
    MultiLabel,
    Regression,
    SingleLabel,
    TextClassification,
    Word2Vec,
    XLNet,
)
from plmlight.decoding import TextClassifier
from plmlight.heads.cross_entropy import IGNORED
from plmlight.optim import AdamW
from plmlight.tasks import Problem, TorchOutputModel
from plmlight.tasks.text_classification import joined

pytestmark = pytest.mark.filterwarnings("ignore:You have overridden `(transfer_batch|on_after_batch|on_before_batch)")
LABELS = ["neg", "neutral", "pos"]
TINY: dict[str, Any] = {"d_model": 16, "num_layers": 1, "num_heads": 2, "max_length": 32}
LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 1.0, -2.0], [0.3, 0.2, 0.1], [1.0, 1.0, 1.0]])


def begun(problem: Problem, labels: list[str] = LABELS) -> Problem:
    problem.begin(labels)
    return problem.train()


def trainer(folder: Path, epochs: int = 1, **options: Any) -> pl.Trainer:
    return pl.Trainer(
        default_root_dir=folder,
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        **options,
    )


def test_one_class_is_learned_by_cross_entropy() -> None:
    labels = torch.tensor([0, 1, 2, IGNORED])
    total, count = begun(SingleLabel()).loss(LOGITS, labels)
    assert total / count == pytest.approx(float(F.cross_entropy(LOGITS[:3], labels[:3])))


def test_weights_and_smoothing_are_torchs_and_for_training() -> None:
    problem = begun(SingleLabel(class_weights={"pos": 3.0, "neg": 0.5}, label_smoothing=0.1))
    labels = torch.tensor([0, 1, 2, 2])
    total, count = problem.loss(LOGITS, labels)
    weights = torch.tensor([0.5, 1.0, 3.0])
    assert total / count == pytest.approx(float(F.cross_entropy(LOGITS, labels, weights, label_smoothing=0.1)))
    total, count = problem.eval().loss(LOGITS, labels)
    assert total / count == pytest.approx(float(F.cross_entropy(LOGITS, labels)))


def test_weights_are_compared_with_each_other_only(tmp_path: Path) -> None:
    """However small they are: loss and gradients are means."""
    name, losses, kept = sentences(tmp_path, "single-label"), [], []
    data = LabelledText(name, 1, 2, max_length=30, batch_size=4, cache_folder=str(tmp_path / "cache"))
    for weight in (1.0, 1e-3):
        pl.seed_everything(0, verbose=False)
        problem = SingleLabel(dict.fromkeys(LABELS, weight))
        task = TextClassification(BagOfVectors(data.vocab_size, d_model=16), LABELS, problem, optimizer=AdamW(lr=0.1))
        task.tokenizer = data.tokenizer
        run = trainer(tmp_path, max_steps=3, gradient_clip_val=0.1, log_every_n_steps=1)
        run.fit(task, data)
        losses.append(float(run.callback_metrics["train_loss"]))
        kept.append(task.head.classifier.weight.detach())
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    torch.testing.assert_close(kept[1], kept[0], rtol=1e-2, atol=1e-3)


def test_classes_that_are_numbers_or_truths_are_named_as_in_data() -> None:
    weights = begun(SingleLabel({1: 3.0, 2.0: 0.5}), ["0", "1", "2"]).class_weights
    assert weights is not None
    assert weights.tolist() == [1.0, 3.0, 0.5]
    assert begun(MultiLabel({True: 0.3}), ["false", "true"]).thresholds == [0.5, 0.3]
    assert begun(MultiLabel({0: 0.3, "1": 0.4}), ["0", "1"]).facts()["thresholds"] == [0.3, 0.4]


def test_balanced_weights_make_classes_count_alike() -> None:
    problem = begun(SingleLabel("balanced"))
    counts = torch.tensor([10, 40, 50])
    with pytest.raises(ValueError, match="class_weights balanced: how often each class is there is not known"):
        problem.check_ready()
    problem.use_label_counts(counts, 100)
    problem.check_ready()
    assert problem.class_weights is not None
    assert (problem.class_weights * counts).tolist() == pytest.approx([100 / 3] * 3)


def test_labels_by_themselves_are_learned_by_binary_cross_entropy() -> None:
    problem = begun(MultiLabel(class_weights="balanced"))
    problem.use_label_counts(torch.tensor([1, 2, 4]), 4)
    labels = torch.tensor([[1, 0, 1], [0, 0, 1], [0, 1, 0], [IGNORED] * 3])
    total, count = problem.loss(LOGITS, labels)
    weights = torch.tensor([3.0, 1.0, 0.25])
    wanted = F.binary_cross_entropy_with_logits(LOGITS[:3], labels[:3].float(), pos_weight=weights)
    assert total / count == pytest.approx(float(wanted))
    assert problem.scores(LOGITS).tolist() == LOGITS.sigmoid().tolist()


def test_numbers_are_learned_by_squared_errors() -> None:
    total, count = begun(Regression(), ["score"]).loss(LOGITS[:, :1], torch.tensor([1.0, 0.0, float("nan"), 3.0]))
    assert (float(total), float(count)) == (1.0 + 0.0 + 4.0, 3.0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: begun(SingleLabel(), ["a"]), r"labels \['a'\]: at least two classes are needed"),
        (lambda: begun(SingleLabel(), ["a", "b", "a"]), "labels: 'a' is there twice"),
        (lambda: begun(SingleLabel({"poss": 2.0})), "class_weights: there is no class 'poss'; did you mean 'pos'"),
        (lambda: begun(SingleLabel({"pos": 0.0})), r"class_weights: 'pos' has 0\.0, expected more than 0"),
        (lambda: SingleLabel(label_smoothing=1.0), r"label_smoothing 1\.0: expected at least 0 and less than 1"),
        (lambda: MultiLabel(1.5), r"thresholds: 1\.5 is no probability"),
        (lambda: MultiLabel({"pos": 0.0}), r"thresholds: 0\.0 of 'pos' is no probability"),
        (lambda: begun(MultiLabel({"poss": 0.5})), "thresholds: there is no class 'poss'"),
        (lambda: begun(SingleLabel({3: 2.0})), "class_weights: there is no class '3'; expected one of 'neg'"),
        (
            lambda: begun(SingleLabel({0: 1, "0": 2}), ["0", "1"]),
            r"class_weights: the class '0' is there twice, with 1\.0 and 2\.0",
        ),
        (lambda: begun(MultiLabel({True: 0.3, "true": 0.4}), ["true"]), "thresholds: the class 'true' is there twice"),
        (lambda: MultiLabel({0: 1.5}), r"thresholds: 1\.5 of '0' is no probability"),
        (lambda: begun(Regression()), "a regression has one output"),
        (lambda: TextClassification(Word2Vec(9), LABELS), "TextClassification needs an encoder, a decoder or both"),
        (lambda: TextClassification(BagOfVectors(9), LABELS, stride=-1), "stride -1: windows share at least 0"),
        (
            lambda: TextClassification(BagOfVectors(9), LABELS).use_label_counts(torch.ones(2), 2),
            "there are counts of 2 classes, but the task has 3",
        ),
    ],
)
def test_settings_that_do_not_fit_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("pooling", ["mean", "max", "cls", "pooler"])
@pytest.mark.parametrize(
    "network",
    [
        lambda: BERT(19, **TINY),
        lambda: GPT(19, **TINY),
        lambda: XLNet(19, d_model=16, num_layers=1, num_heads=2),
        lambda: T5(19, **TINY),
    ],
    ids=["BERT", "GPT", "XLNet", "T5"],
)
@torch.no_grad()
def test_padding_changes_nothing(network: Any, pooling: Any) -> None:
    task = TextClassification(network(), LABELS, pooling=pooling).eval()
    ids, mask = torch.randint(5, 19, (2, 7)), torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    found = task(ids, mask)["logits"]
    assert found.shape == (2, 3)
    torch.testing.assert_close(found[1:], task(ids[1:, :4])["logits"], atol=1e-5, rtol=0)
    torch.testing.assert_close(found[:1], task(ids[:1])["logits"], atol=1e-5, rtol=0)


def test_the_windows_of_a_text_are_averaged() -> None:
    scores = np.array([[1.0, 0.0], [0.2, 0.8], [0.0, 1.0], [0.5, 0.5]])
    found, labels = joined({"scores": scores, "labels": np.array([0, 1, 1, 0]), "example_ids": np.array([0, 2, 2, 1])})
    assert found.tolist() == [[1.0, 0.0], [0.5, 0.5], [0.1, 0.9]]
    assert labels.tolist() == [0, 0, 1]


def sentences(folder: Path, problem: str) -> str:
    """Texts whose labels follow from their words."""
    rows = []
    for number in range(120):
        mood = ["bad", "fair", "good"][number % 3]
        text = f"film {number} is {mood} and " + ("long " * (number % 7)) + ("sad" if number % 2 else "funny")
        label = {
            "single-label": LABELS[number % 3],
            "multi-label": "|".join([mood, *(["sad"] if number % 2 else [])]),
            "regression": str(number % 3 - 1.0),
        }[problem]
        rows.append(f"{text}\t{label}\n")
    (folder / "x.tsv").write_text("".join(rows))
    return str(folder / "x.tsv")


@pytest.mark.parametrize(
    ("make", "measure", "least"),
    [
        (lambda: SingleLabel("balanced", 0.05), "accuracy", 100.0),
        (lambda: MultiLabel({"sad": 0.4}, "balanced"), "f1_micro", 100.0),
        (Regression, "pearson", 0.85),  # of some windows no word says it
    ],
    ids=["single-label", "multi-label", "regression"],
)
def test_a_task_learns_and_its_checkpoint_answers(make: Any, measure: str, least: float, tmp_path: Path) -> None:
    pl.seed_everything(0, verbose=False)
    problem = make()
    data = LabelledText(
        sentences(tmp_path, problem.kind),
        *(1, 2),
        problem=problem.kind,
        label_separator="|",
        max_length=10,
        stride=2,
        tokenizer_vocab_size=200,
        cache_folder=str(tmp_path / "cache"),
    )
    task = TextClassification(
        BagOfVectors(data.vocab_size, d_model=16),
        data.labels,
        problem,
        max_length=data.max_length,
        stride=data.stride,
        optimizer=AdamW(lr=0.1),
    )
    task.tokenizer = data.tokenizer
    if data.label_counts is not None:
        task.use_label_counts(data.label_counts, len(data.examples["fit"]))
    run = trainer(tmp_path, epochs=12)
    run.fit(task, data)
    assert run.callback_metrics[f"val_{measure}"] >= least
    run.save_checkpoint(tmp_path / "x.ckpt", weights_only=True)
    again = plmlight.load(tmp_path / "x.ckpt")
    assert isinstance(again, TextClassification)
    assert again.facts() == task.facts()
    assert again.tokenizer is not None
    classifier = TextClassifier(TorchOutputModel(again), again.tokenizer, again.facts())
    held = data.examples["validate"]
    answers = classifier.answers([example.request() for example in held])
    (metrics,) = run.validate(again, data, verbose=False)
    assert metrics[f"val_{measure}"] >= least
    if problem.kind == "regression":
        found = np.array([answer["value"] for answer in answers])
        assert np.corrcoef(found, [float(str(example.gold)) for example in held])[0, 1] >= least
    elif problem.kind == "multi-label":
        assert [set(answer["labels"]) for answer in answers] == [set(example.label or ()) for example in held]  # type: ignore[arg-type]
    else:
        assert [answer["label"] for answer in answers] == [example.gold for example in held]


def test_a_measure_may_be_unknown_at_first(tmp_path: Path) -> None:
    """The sanity check sees one text, of which there is no correlation."""
    name = sentences(tmp_path, "regression")
    data = LabelledText(name, 1, 2, problem="regression", batch_size=1, cache_folder=str(tmp_path / "cache"))
    task = TextClassification(BagOfVectors(data.vocab_size, d_model=16), data.labels, Regression())
    task.tokenizer = data.tokenizer
    run = trainer(tmp_path, num_sanity_val_steps=1)
    run.fit(task, data)
    assert {"val_pearson", "val_mse"} <= set(run.callback_metrics)
    assert "val_spearman" in run.progress_bar_metrics


def test_answers_average_windows_as_evaluation_does(tmp_path: Path) -> None:
    data = LabelledText(
        sentences(tmp_path, "single-label"),
        *(1, 2),
        max_length=8,
        stride=3,
        validation_fraction=0,
        cache_folder=str(tmp_path / "cache"),
    )
    task = TextClassification(BERT(data.vocab_size, **TINY), data.labels, max_length=8, stride=3).eval()
    samples = data.samples("fit")
    assert len(samples) > len(data.examples["fit"])
    batch = samples.batch(np.arange(len(samples)), 0)
    with torch.no_grad():
        found = task.find(task.read(batch), batch)
    scores, _ = joined({name: np.asarray(value) for name, value in found.items()})
    classifier = TextClassifier(TorchOutputModel(task), data.tokenizer, task.facts())
    answers = classifier.answers([example.request() for example in data.examples["fit"]])
    said = [[answer["scores"][label] for label in data.labels] for answer in answers]
    np.testing.assert_allclose(said, scores, atol=1e-5)


def test_predictions_say_each_class(tmp_path: Path) -> None:
    data = LabelledPairs(
        str(write(tmp_path / "x.tsv", "a b\tc\tyes\nb\tc d\tno\n")),
        *(1, 2, 3),
        validation_fraction=0,
        predict_files=str(write(tmp_path / "p.tsv", "a\tb\n")),
        cache_folder=str(tmp_path / "cache"),
    )
    task = TextClassification(BERT(data.vocab_size, **TINY), data.labels)
    task.tokenizer = data.tokenizer
    (batch,) = trainer(tmp_path).predict(task, data) or []
    assert isinstance(batch, list)
    (record,) = batch
    assert list(record) == ["sample_ids", "text", "pair", "label", "score", "scores"]
    assert (record["sample_ids"], record["text"], record["pair"]) == (0, "a", "b")
    assert sum(record["scores"].values()) == pytest.approx(1.0)
    assert set(record["scores"]) == {"no", "yes"}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path
