"""Measures of classes, sets of labels and numbers: those of torchmetrics, on any samples of a set at once."""

from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional import classification as reference
from torchmetrics.functional import pearson_corrcoef, spearman_corrcoef

from plmlight.metrics.classification import class_metrics, label_metrics, number_metrics, on_all

N, L = 83, 4
random = np.random.default_rng(0)
LABELS = random.integers(0, L, N)
LOGITS = random.normal(size=(N, L)) + 1.5 * np.eye(L)[LABELS]
SCORES = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
MANY = (random.random((N, L)) < 0.3).astype(np.int64)
LIKELY = np.clip(random.normal(0.4, 0.2, (N, L)) + 0.3 * MANY, 0.01, 0.99).round(2)  # some are equal
THRESHOLDS = np.array([0.5, 0.4, 0.6, 0.5])


def theirs(scores: Any, labels: Any) -> dict[str, float]:
    """What torchmetrics says of a sample."""
    given, gold = torch.from_numpy(scores), torch.from_numpy(labels)
    common: dict[str, Any] = {"num_classes": scores.shape[1]}
    found = {
        "accuracy": reference.multiclass_accuracy(given, gold, average="micro", **common),
        "precision_macro": reference.multiclass_precision(given, gold, average="macro", **common),
        "recall_macro": reference.multiclass_recall(given, gold, average="macro", **common),
        "f1_macro": reference.multiclass_f1_score(given, gold, average="macro", **common),
        "f1_micro": reference.multiclass_f1_score(given, gold, average="micro", **common),
        "mcc": reference.multiclass_matthews_corrcoef(given, gold, **common),
        "roc_auc": reference.multiclass_auroc(given, gold, average="macro", **common),
        "calibration_error": reference.multiclass_calibration_error(given, gold, n_bins=15, **common),
    }
    return {name: 100 * float(value) for name, value in found.items()}


def test_one_class_of_each_is_measured_as_by_torchmetrics() -> None:
    found = on_all(class_metrics(SCORES, LABELS), N)
    wanted = theirs(SCORES, LABELS)
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-4)


def test_samples_are_measured_as_if_each_were_a_set() -> None:
    indices = random.integers(0, N, (5, N))
    statistics = class_metrics(SCORES, LABELS)
    rows = [theirs(SCORES[sample], LABELS[sample]) for sample in indices]
    for name in rows[0]:
        assert statistics[name](indices) == pytest.approx([row[name] for row in rows], abs=1e-4), name


def test_each_class_is_measured() -> None:
    statistics = class_metrics(SCORES, LABELS, ["a", "b", "c", "d"])
    wanted = reference.multiclass_f1_score(torch.from_numpy(SCORES), torch.from_numpy(LABELS), L, average=None)
    found = [statistics[f"f1_{name}"](np.arange(N)[None])[0] for name in "abcd"]
    assert found == pytest.approx((100 * wanted).tolist(), abs=1e-4)


def test_what_a_sample_neither_has_nor_gets_is_left_out_of_a_mean() -> None:
    sample = np.flatnonzero((LABELS < 2) & (SCORES.argmax(1) < 2))
    found = class_metrics(SCORES, LABELS)["f1_macro"](sample[None])
    wanted = class_metrics(SCORES[sample][:, :2], LABELS[sample])["f1_macro"](np.arange(len(sample))[None])
    assert found == pytest.approx(wanted)
    assert found < 100


def test_the_score_of_brier_is_that_of_the_binary_definition() -> None:
    two = np.stack([1 - LIKELY[:, 0], LIKELY[:, 0]], 1)
    found = on_all(class_metrics(two, MANY[:, 0]), N)["brier"]
    assert found == pytest.approx(100 * ((LIKELY[:, 0] - MANY[:, 0]) ** 2).mean())


def test_any_number_of_labels_is_measured_as_by_torchmetrics() -> None:
    found = on_all(label_metrics(LIKELY, MANY, THRESHOLDS), N)
    said, gold = torch.from_numpy((LIKELY >= THRESHOLDS).astype(np.int64)), torch.from_numpy(MANY)
    wanted = {
        "accuracy": reference.multilabel_exact_match(said, gold, L),
        "precision_macro": reference.multilabel_precision(said, gold, L),
        "recall_macro": reference.multilabel_recall(said, gold, L),
        "f1_macro": reference.multilabel_f1_score(said, gold, L),
        "f1_micro": reference.multilabel_f1_score(said, gold, L, average="micro"),
        "roc_auc": reference.multilabel_auroc(torch.from_numpy(LIKELY), gold, L),
    }
    assert {name: found[name] for name in wanted} == pytest.approx(
        {name: 100 * float(value) for name, value in wanted.items()}, abs=1e-4
    )


def test_numbers_are_measured_as_by_torchmetrics() -> None:
    gold = LIKELY[:, 0] + random.normal(0, 0.1, N)
    found = on_all(number_metrics(LIKELY[:, 0], gold), N)
    ours, true = torch.from_numpy(LIKELY[:, 0]), torch.from_numpy(gold)
    assert found["pearson"] == pytest.approx(float(pearson_corrcoef(ours, true)), abs=1e-6)
    assert found["spearman"] == pytest.approx(float(spearman_corrcoef(ours, true)), abs=1e-6)
    assert found["mse"] == pytest.approx(float(((ours - true) ** 2).mean()))


def test_what_is_not_known_is_not_said() -> None:
    found = on_all(class_metrics(SCORES[:3], np.zeros(3, np.int64)), 3)
    assert "roc_auc" not in found
    assert found["mcc"] == 0


def test_a_class_called_like_an_average_does_not_take_its_place() -> None:
    names, whole = ["macro", "micro", "c", "d"], np.arange(N)[None]
    for plain, named in (
        (class_metrics(SCORES, LABELS), class_metrics(SCORES, LABELS, names)),
        (label_metrics(LIKELY, MANY, THRESHOLDS), label_metrics(LIKELY, MANY, THRESHOLDS, names)),
    ):
        assert list(named)[: len(plain)] == list(plain)
        for name, statistic in plain.items():
            assert named[name](whole)[0] == statistic(whole)[0]
        assert {"precision_micro", "f1_c", "recall_d"} <= set(named)
