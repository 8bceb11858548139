"""How good relations between entities are, from confusions: any number of samples of a data set at once."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

_DIRECTION = re.compile(r"\((e1,\s*e2|e2,\s*e1)\)$")


def confusions(
    gold: NDArray[np.int64], predicted: NDArray[np.int64], classes: int, indices: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Counts what was said of what.

    Args:
        gold: [N], the true classes.
        predicted: [N].
        classes: L.
        indices: [R, N], samples of the examples; by default all once.

    Returns:
        [R, L, L]: true class by predicted class.
    """
    drawn = np.arange(len(gold))[None] if indices is None else indices
    cells = (gold * classes + predicted)[drawn] + classes**2 * np.arange(len(drawn))[:, None]
    counts: NDArray[np.int64] = np.bincount(cells.ravel(), minlength=len(drawn) * classes**2)
    return counts.reshape(len(drawn), classes, classes)


def relation_measures(
    confusion: NDArray[np.int64], labels: Sequence[str], negative: str | None = "Other"
) -> dict[str, NDArray[np.float64]]:
    """The measures of relation extraction, 0 to 100.

    Args:
        confusion: [R, L, L], see `confusions`.
        labels: the names of the classes.
        negative: the class that says that there is no relation: it is no hit to find it, and all but ``accuracy`` leave
            it out. Where no class has that name, all are relations.

    Returns:
        ``accuracy``; ``precision``, ``recall`` and ``micro_f1`` over all relations together; ``macro_f1``, the mean
        over the classes; and, where the names of classes end in ``(e1,e2)`` or ``(e2,e1)``, ``semeval_f1``. Each [R].
    """
    hits = np.diagonal(confusion, axis1=1, axis2=2)
    gold, said = confusion.sum(2), confusion.sum(1)
    kept = np.array([label != negative for label in labels])
    measures = {
        "accuracy": _share(hits.sum(1), gold.sum(1)),
        "precision": _share(hits[:, kept].sum(1), said[:, kept].sum(1)),
        "recall": _share(hits[:, kept].sum(1), gold[:, kept].sum(1)),
        "micro_f1": _share(2 * hits[:, kept].sum(1), (gold + said)[:, kept].sum(1)),
        "macro_f1": _share(2 * hits, gold + said)[:, kept].mean(1),
    }
    if any(_DIRECTION.search(label) for label in labels):
        measures["semeval_f1"] = semeval_f1(confusion, labels, negative)
    return measures


def semeval_f1(
    confusion: NDArray[np.int64], labels: Sequence[str], negative: str | None = "Other"
) -> NDArray[np.float64]:
    """The official score of SemEval-2010 task 8 (Hendrickx et al. 2010, S10-1006): 9+1 ways, with directions.

    The mean of the F1 of the relations that are there; a relation has both its directions. It is a hit only in the
    right direction, but counts in the other one as found (precision) and as there (recall) too. The class that is no
    relation has no F1.

    Args:
        confusion: [R, L, L], see `confusions`.
        labels: the names of the classes, as ``Cause-Effect(e1,e2)``.
        negative: the class that is none.

    Returns:
        [R], 0 to 100; 0 where no relation is there.
    """
    relations = [_DIRECTION.sub("", label) for label in labels]
    names = [name for name in dict.fromkeys(relations) if name != negative]
    member = np.array([[name == relation for relation in relations] for name in names]).T.astype(np.int64)  # [L, K]
    hits = np.diagonal(confusion, axis1=1, axis2=2) @ member
    gold, said = confusion.sum(2) @ member, confusion.sum(1) @ member
    # 2 P R / (P + R), with P = hits / said and R = hits / gold
    found: NDArray[np.float64] = _share(2 * hits, gold + said).sum(1) / np.maximum((gold > 0).sum(1), 1)
    return found


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return 100 * np.asarray(part / np.maximum(whole, 1), np.float64)
