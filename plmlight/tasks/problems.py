"""What is asked about a text, and what an answer is worth: one class, any number of labels, or a number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from plmlight.heads.cross_entropy import IGNORED
from plmlight.metrics.classification import Statistic, class_metrics, label_metrics, number_metrics
from plmlight.nn import Configured
from plmlight.tasks.analyses import of_classes, of_label_sets, of_numbers
from plmlight.text import ClassName, label_name, nearest
from plmlight.text.tables import Analysis

ClassWeights = Literal["balanced"] | dict[ClassName, float]


class Problem(Configured, nn.Module, ABC):
    """What is asked about a text; a part of `TextClassification`, which tells it the names of its outputs (`begin`).

    Attributes:
        kind: what data with labels of this sort calls it, and the runtime.
        balanced: whether it learns from how often each class stands in the data (`use_label_counts`).
    """

    kind: ClassVar[str]
    balanced = False
    class_weights: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("class_weights", None)
        self.labels: list[str] = []

    def begin(self, labels: list[str]) -> None:
        """Takes the names of the outputs.

        Raises:
            ValueError: where there are too few or too many, one is there twice, or a setting names another.
        """
        if twice := [label for label in labels if labels.count(label) > 1]:
            raise ValueError(f"labels: {twice[0]!r} is there twice")
        self.labels = labels

    @abstractmethod
    def loss(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of a batch, a sum and its count: logits [B, L], labels as the data gives them; -100 is none."""

    @abstractmethod
    def distance(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """How far answers are from a teacher's (see `plmlight.tasks.auxiliary.Distillation`): both [B, L], then [B]."""

    @abstractmethod
    def scores(self, logits: Tensor) -> Tensor:
        """What is said of each output [B, L]: a probability, or the number itself."""

    @abstractmethod
    def statistics(self, scores: NDArray[Any], labels: NDArray[Any], each: bool = False) -> dict[str, Statistic]:
        """The measures of a data set.

        Args:
            scores: [N, L].
            labels: [N] or [N, L].
            each: whether those of each class are among them.
        """

    @abstractmethod
    def analyse(self, scores: NDArray[Any], labels: NDArray[Any], samples: NDArray[np.int64]) -> Analysis:
        """What a report says of a data set: scores [N, L], labels [N] or [N, L], and the examples' samples [N]."""

    def facts(self) -> dict[str, Any]:
        """What turns outputs into answers beside the names: plain values."""
        return {"problem": self.kind}

    def use_label_counts(self, counts: Tensor, examples: int) -> None:
        """Learns from the data how often each class is there; nothing where no weight follows from it.

        Args:
            counts: [L].
            examples: N.
        """

    def check_ready(self) -> None:
        """Refuses to begin where counts are missing.

        Raises:
            ValueError: saying so.
        """
        if self.balanced and self.class_weights is not None and not bool(self.class_weights.any()):
            raise ValueError(
                "class_weights balanced: how often each class is there is not known; call use_label_counts with what "
                "the data says, or give each class its weight"
            )

    def _weigh(self, given: ClassWeights | None) -> None:
        """Sets the weights that were given, and room for those that follow from the data."""
        if given is None:
            return
        if given == "balanced":
            self.balanced = True
            self.class_weights = torch.zeros(len(self.labels))
            return
        weights = _by_name("class_weights", given, self.labels)
        wrong = [name for name, value in weights.items() if value <= 0]
        if wrong:
            raise ValueError(f"class_weights: {wrong[0]!r} has {weights[wrong[0]]}, expected more than 0")
        self.class_weights = torch.tensor([weights.get(name, 1.0) for name in self.labels])


def _by_name(setting: str, given: Mapping[ClassName, float], labels: list[str]) -> dict[str, float]:
    named: dict[str, float] = {}
    for key, value in given.items():
        name = label_name(key)
        if name not in labels:
            raise ValueError(f"{setting}: there is no class {name!r}{nearest(name, labels)}")
        if name in named:
            raise ValueError(f"{setting}: the class {name!r} is there twice, with {named[name]} and {float(value)}")
        named[name] = float(value)
    return named


class SingleLabel(Problem):
    """Each text has one class: softmax and cross entropy.

    Args:
        class_weights: how much a class counts in training, by its name (1 where it is not named); ``balanced`` takes
            weights that make all classes of the data count alike: N / (L n) for a class with n of N examples.
        label_smoothing: while training, the share of each label's probability that is spread over all classes (Szegedy
            et al. 2016, arXiv:1512.00567, section 7).

    Raises:
        ValueError: for a share that is none, or a weight that is not above 0.
    """

    kind = "single-label"

    def __init__(self, class_weights: ClassWeights | None = None, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing {label_smoothing}: expected at least 0 and less than 1")
        self.label_smoothing, self._given = label_smoothing, class_weights

    def begin(self, labels: list[str]) -> None:
        """See `Problem.begin`."""
        super().begin(labels)
        if len(labels) < 2:
            raise ValueError(f"labels {labels}: at least two classes are needed")
        self._weigh(self._given)

    def use_label_counts(self, counts: Tensor, examples: int) -> None:
        """See `Problem.use_label_counts`."""
        if self.balanced and self.class_weights is not None:
            self.class_weights.copy_(examples / (len(counts) * counts.clamp_min(1)))

    def loss(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy; weights and smoothing are for training, what is reported goes without."""
        weights = self.class_weights if self.training else None
        smoothing = self.label_smoothing if self.training else 0.0
        total = F.cross_entropy(
            logits.float(), labels, weights, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing
        )
        known = (labels != IGNORED).float()
        if weights is not None:
            known = known * weights[labels.clamp_min(0)]
        return total, known.sum()

    def distance(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """Kullback and Leibler's divergence from the teacher's classes, times the temperature's square."""
        mine, theirs = ((values.float() / temperature).log_softmax(-1) for values in (logits, taught))
        return F.kl_div(mine, theirs, reduction="none", log_target=True).sum(-1) * temperature**2

    def scores(self, logits: Tensor) -> Tensor:
        """Softmax."""
        return logits.float().softmax(-1)

    def statistics(self, scores: NDArray[Any], labels: NDArray[Any], each: bool = False) -> dict[str, Statistic]:
        """See `plmlight.metrics.classification.class_metrics`."""
        return class_metrics(scores, labels, self.labels if each else None)

    def analyse(self, scores: NDArray[Any], labels: NDArray[Any], samples: NDArray[np.int64]) -> Analysis:
        """Each class, confusions, and the most certain mistakes."""
        return of_classes(scores.argmax(1), scores.max(1), labels, self.labels, samples)


class MultiLabel(Problem):
    """Each text has any number of labels: a sigmoid and binary cross entropy for each of them.

    Args:
        thresholds: the probability from which on a label is said: of all, or by name (0.5 for those that are not
            named). They go along with the model.
        class_weights: how much the presence of a label counts against its absence in training, by its name;
            ``balanced`` takes (N - n) / n for a label that n of N examples have.

    Raises:
        ValueError: for a threshold that is no probability, or a weight that is not above 0.
    """

    kind = "multi-label"

    def __init__(
        self, thresholds: float | dict[ClassName, float] = 0.5, class_weights: ClassWeights | None = None
    ) -> None:
        super().__init__()
        for name, value in (thresholds if isinstance(thresholds, Mapping) else {"": thresholds}).items():
            if not 0 < value < 1:
                of = f" of {label_name(name)!r}" if name != "" else ""
                raise ValueError(f"thresholds: {value}{of} is no probability: expected more than 0 and less than 1")
        self._given_thresholds, self._given = thresholds, class_weights
        self.thresholds: list[float] = []

    def begin(self, labels: list[str]) -> None:
        """See `Problem.begin`."""
        super().begin(labels)
        if not labels:
            raise ValueError("labels: at least one is needed")
        given = self._given_thresholds
        named = _by_name("thresholds", given if isinstance(given, Mapping) else dict.fromkeys(labels, given), labels)
        self.thresholds = [named.get(label, 0.5) for label in labels]
        self._weigh(self._given)

    def facts(self) -> dict[str, Any]:
        """Adds the thresholds."""
        return {**super().facts(), "thresholds": self.thresholds}

    def use_label_counts(self, counts: Tensor, examples: int) -> None:
        """See `Problem.use_label_counts`."""
        if self.balanced and self.class_weights is not None:
            self.class_weights.copy_((examples - counts).clamp_min(1) / counts.clamp_min(1))

    def loss(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Binary cross entropy, a sum over examples and labels; weights are for training."""
        known = (labels[:, :1] != IGNORED).float().expand_as(logits)
        weights = self.class_weights if self.training else None
        each = F.binary_cross_entropy_with_logits(
            logits.float(), labels.clamp_min(0).float(), pos_weight=weights, reduction="none"
        )
        return (each * known).sum(), known.sum()

    def distance(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The mean divergence of labels that are there or not, times the temperature's square."""
        mine, theirs = (values.float() / temperature for values in (logits, taught))
        each = F.binary_cross_entropy_with_logits(mine, theirs.sigmoid(), reduction="none")
        least = F.binary_cross_entropy_with_logits(theirs, theirs.sigmoid(), reduction="none")
        return (each - least).mean(-1) * temperature**2

    def scores(self, logits: Tensor) -> Tensor:
        """Sigmoid."""
        return logits.float().sigmoid()

    def statistics(self, scores: NDArray[Any], labels: NDArray[Any], each: bool = False) -> dict[str, Statistic]:
        """See `plmlight.metrics.classification.label_metrics`."""
        return label_metrics(scores, labels, np.array(self.thresholds), self.labels if each else None)

    def analyse(self, scores: NDArray[Any], labels: NDArray[Any], samples: NDArray[np.int64]) -> Analysis:
        """Each label, and the texts with the most certain mistakes."""
        return of_label_sets(scores, labels, np.array(self.thresholds), self.labels, samples)


class Regression(Problem):
    """Each text, or pair of texts, has a number: the mean squared error."""

    kind = "regression"

    def begin(self, labels: list[str]) -> None:
        """See `Problem.begin`."""
        super().begin(labels)
        if len(labels) != 1:
            raise ValueError(f"labels {labels}: a regression has one output, whose name is what the number is called")

    def loss(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Squared errors; an example without a number (NaN) has none."""
        known = ~labels.isnan()
        each = (logits.float()[:, 0] - labels.nan_to_num()).square() * known
        return each.sum(), known.sum().float()

    def distance(self, logits: Tensor, taught: Tensor, temperature: float) -> Tensor:
        """The squared difference; there is no temperature."""
        return (logits.float() - taught.float())[:, 0].square()

    def scores(self, logits: Tensor) -> Tensor:
        """The number."""
        return logits.float()

    def statistics(self, scores: NDArray[Any], labels: NDArray[Any], each: bool = False) -> dict[str, Statistic]:
        """See `plmlight.metrics.classification.number_metrics`."""
        return number_metrics(scores[:, 0], labels)

    def analyse(self, scores: NDArray[Any], labels: NDArray[Any], samples: NDArray[np.int64]) -> Analysis:
        """How far off the numbers are."""
        return of_numbers(scores[:, 0], labels, samples)
