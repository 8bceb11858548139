"""What a classifier learns beside its labels: from a larger one, from its own answers, from the texts themselves."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.heads import LMHead, masked_head
from plmlight.heads.cross_entropy import IGNORED
from plmlight.interop import fetch, is_checkpoint
from plmlight.nn import Configured, Encoder
from plmlight.objectives import Batch, KeyedRandom, MaskedLanguageModelling, Masking, Outputs
from plmlight.objectives.base import Parts
from plmlight.tasks.base import Task
from plmlight.tasks.checkpoint import task_from_checkpoint
from plmlight.tasks.problems import SingleLabel
from plmlight.tasks.reading import hidden_states
from plmlight.text import tokenizer_hash

if TYPE_CHECKING:
    from plmlight.tasks.text_classification import TextClassification

READ = ("input_ids", "attention_mask", "token_type_ids", "position_ids")


class Auxiliary(Configured, nn.Module, ABC):
    """A loss beside that of the labels, in training alone; a part of `TextClassification`.

    The loss that is differentiated is the sum of the means: that of the labels over the texts that have one, and each
    of these times its weight.

    Args:
        weight: the factor, where the labels' loss has 1.

    Raises:
        ValueError: for a weight that is not above 0.
    """

    def __init__(self, weight: float) -> None:
        super().__init__()
        if weight <= 0:
            raise ValueError(f"{type(self).__name__}: weight {weight}: expected more than 0")
        self.weight = weight

    def begin(self, task: TextClassification) -> None:
        """Makes what it needs of a task that is being built.

        Args:
            task: with its network and its problem.

        Raises:
            ValueError: for a task that it is not for.
        """

    def setup(self, task: TextClassification) -> None:
        """Gets ready for a run.

        Args:
            task: with its tokenizer and its trainer.

        Raises:
            ValueError: where something is missing, or does not fit the task.
        """

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Adds to a batch what depends on chance, or on how much of the run is over."""
        return batch

    @abstractmethod
    def loss(self, task: TextClassification, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """The loss of a batch by its name, a sum and its count.

        Args:
            task: what is trained.
            outputs: what it answered to the batch.
            batch: prepared.
        """


class Distillation(Auxiliary):
    """Learns the answers of a larger model (Hinton et al. 2015, arXiv:1503.02531, section 2).

    The teacher says how likely each class is, and the model comes near that, both at the same temperature; the loss is
    scaled by its square, as there. Texts without a label are taught too. The teacher is neither trained nor kept in
    checkpoints, and is opened when a run begins.

    Args:
        teacher: a checkpoint of `TextClassification` with the same labels and tokenizer; from the command line also a
            Hugging Face folder. From Python `use_teacher` takes whatever `plmlight.load` opens.
        temperature: of the teacher's answers and the model's; a regression has none.
        weight: the factor of the loss, where the labels' has 1.

    Raises:
        ValueError: for a temperature or a weight that is not above 0.
    """

    def __init__(self, teacher: str, temperature: float = 2.0, weight: float = 1.0) -> None:
        super().__init__(weight)
        if temperature <= 0:
            raise ValueError(f"Distillation: temperature {temperature}: expected more than 0")
        self.teacher, self.temperature = teacher, temperature
        self._opened: tuple[TextClassification, ...] = ()  # no module of this one, so that nothing trains or keeps it

    def use_teacher(self, teacher: Task) -> None:
        """Takes a teacher that was opened already.

        Args:
            teacher: the model.

        Raises:
            ValueError: for a model of another task.
        """
        from plmlight.tasks.text_classification import TextClassification

        if not isinstance(teacher, TextClassification):
            raise ValueError(f"teacher {self.teacher}: holds a {type(teacher).__name__}, expected a TextClassification")
        self._opened = (teacher.eval().requires_grad_(False),)

    def setup(self, task: TextClassification) -> None:
        """Opens the teacher, unless it was given, and looks whether it speaks of the same.

        Raises:
            ValueError: where it cannot be opened, or its labels, their kind, its tokenizer or its length are others.
        """
        if not self._opened:
            found = fetch(self.teacher)
            if not is_checkpoint(found):
                raise ValueError(
                    f"teacher {self.teacher}: is no checkpoint; from Python give it to use_teacher, opened by "
                    "plmlight.load"
                )
            self.use_teacher(task_from_checkpoint(found))
        (teacher,) = self._opened
        if teacher.labels != task.labels or teacher.problem.kind != task.problem.kind:
            raise ValueError(
                f"teacher {self.teacher}: its labels are {teacher.labels} ({teacher.problem.kind}), expected "
                f"{task.labels} ({task.problem.kind}) in this order"
            )
        theirs, mine = (None if each.tokenizer is None else tokenizer_hash(each.tokenizer) for each in (teacher, task))
        if theirs != mine:
            raise ValueError(
                f"teacher {self.teacher}: its tokenizer is another, so that it would read other tokens: give the data "
                "the teacher's, and the network as many tokens"
            )
        reads, longest = teacher.network.max_length, task.max_length
        if reads is not None and longest is not None and reads < longest:
            raise ValueError(f"teacher {self.teacher}: reads {reads} tokens, but texts have up to {longest}")

    def loss(self, task: TextClassification, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """``distillation_loss``, over all texts."""
        (teacher,) = self._opened
        logits = outputs["logits"]
        if next(teacher.parameters()).device != logits.device:
            teacher.to(logits.device)
        with torch.no_grad():
            taught = teacher.read(batch)["logits"]
        there = (batch["sample_ids"] >= 0).float()
        each = task.problem.distance(logits, taught, self.temperature)
        return {"distillation_loss": (self.weight * (each * there).sum(), there.sum())}


class PseudoLabels(Auxiliary):
    """Learns from texts without a label by the model's own answers, where it is sure of them.

    The class that the model finds without dropout is the label of its answer with dropout, where its probability is at
    least the threshold; the loss is a mean over all texts without a label (Sohn et al. 2020, arXiv:2001.07685, equation
    4). We differ in that dropout takes the place of the changes to the input.

    Args:
        threshold: the least probability.
        weight: the factor of the loss, where the labels' has 1.
        warmup: the share of the run over which the weight rises from 0.

    Raises:
        ValueError: for a threshold or a share that is none, or a weight that is not above 0.
    """

    def __init__(self, threshold: float = 0.95, weight: float = 1.0, warmup: float = 0.3) -> None:
        super().__init__(weight)
        if not 0 < threshold < 1:
            raise ValueError(f"PseudoLabels: threshold {threshold}: expected more than 0 and less than 1")
        if not 0 <= warmup <= 1:
            raise ValueError(f"PseudoLabels: warmup {warmup}: expected 0 to 1")
        self.threshold, self.warmup = threshold, warmup

    def begin(self, task: TextClassification) -> None:
        """Refuses what has no single class.

        Raises:
            ValueError: for such a problem.
        """
        if not isinstance(task.problem, SingleLabel):
            name = type(task.problem).__name__
            raise ValueError(f"PseudoLabels are for one class of a text (SingleLabel), and the problem is {name}")

    def setup(self, task: TextClassification) -> None:
        """Refuses a weight that would never rise.

        Raises:
            ValueError: for a run without an end.
        """
        if self.warmup and task.trainer.max_steps == -1 and task.trainer.max_epochs in (None, -1):
            raise ValueError(
                f"PseudoLabels: warmup {self.warmup} needs to know where the run ends: set trainer.max_steps or "
                "max_epochs, or warmup 0"
            )

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Adds how much of the weight there is by now."""
        return {**batch, "pseudo_share": min(1.0, rng.progress / self.warmup) if self.warmup else 1.0}

    def loss(self, task: TextClassification, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """``pseudo_loss``, over the texts without a label."""
        logits = outputs["logits"].float()
        rows = ((batch["labels"] == IGNORED) & (batch["sample_ids"] >= 0)).nonzero()[:, 0]
        if not len(rows):
            return {"pseudo_loss": (logits.sum() * 0, logits.new_zeros(()))}
        with torch.no_grad(), answering(task):
            found = task.read({name: batch[name][rows] for name in READ if name in batch})["logits"]
        sure, label = task.problem.scores(found).max(-1)
        each = F.cross_entropy(logits[rows], label, reduction="none") * (sure >= self.threshold)
        factor = self.weight * batch["pseudo_share"]
        return {"pseudo_loss": (factor * each.sum(), logits.new_tensor(float(len(rows))))}


class RDrop(Auxiliary):
    """Learns to answer alike whatever dropout leaves out (Liang et al. 2021, arXiv:2106.14448, equation 2).

    Each text is read twice, with other units left out, and the loss is half of the two divergences of one answer from
    the other. Texts without a label are answered alike too. We differ in that the labels are learned in the first pass
    alone. A step takes about twice as long.

    Args:
        weight: the factor of the loss, where the labels' has 1.

    Raises:
        ValueError: for a weight that is not above 0.
    """

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__(weight)

    def loss(self, task: TextClassification, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """``r_drop_loss``, over all texts."""
        first, second = outputs["logits"], task.read(batch)["logits"]
        there = (batch["sample_ids"] >= 0).float()
        each = (task.problem.distance(first, second, 1.0) + task.problem.distance(second, first, 1.0)) / 2
        return {"r_drop_loss": (self.weight * (each * there).sum(), there.sum())}


class MaskedWords(Auxiliary):
    """Learns to find hidden tokens of all texts, with a label or without, in a pass of its own.

    That keeps what the network learned before, and is learned from texts without a label too (Sun et al. 2019,
    arXiv:1905.05583, section 5.4, where it comes before; here both go together).

    Args:
        objective: which tokens are hidden; `MaskedLanguageModelling` by default.
        weight: the factor of the loss, where the labels' has 1.

    Raises:
        ValueError: for a weight that is not above 0.
    """

    head: LMHead

    def __init__(self, objective: Masking | None = None, weight: float = 0.1) -> None:
        super().__init__(weight)
        self.objective = objective if objective is not None else MaskedLanguageModelling()

    def begin(self, task: TextClassification) -> None:
        """Makes a head that shares the network's table of tokens.

        Raises:
            ValueError: for a network that is no encoder.
        """
        if not isinstance(task.network, Encoder):
            raise ValueError(f"MaskedWords needs an encoder, and {type(task.network).__name__} is none")
        self.head = masked_head(task.network)

    def setup(self, task: TextClassification) -> None:
        """Finds the mask.

        Raises:
            ValueError: without a tokenizer, or when it has no mask.
        """
        if task.tokenizer is not None:
            self.objective.use_tokenizer(task.tokenizer)
        self.objective.check_ready()

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Adds the texts with hidden tokens."""
        hidden = self.objective.corrupt(batch, rng)
        return {**batch, "masked_ids": hidden["input_ids"], "masked_labels": hidden["labels"]}

    def loss(self, task: TextClassification, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """``mlm_loss``, over the hidden tokens."""
        others = (batch.get(name) for name in READ[1:])
        hidden = hidden_states(task.network, batch["masked_ids"], *others)
        found = self.objective.loss(Outputs(hidden, self.head), {**batch, "labels": batch["masked_labels"]})
        total, count = found["loss"]
        return {"mlm_loss": (self.weight * total, count)}


@contextmanager
def answering(task: nn.Module) -> Iterator[None]:
    """Lets a model that is trained answer as it does outside training; then each part is as it was before."""
    modes = [(module, module.training) for module in task.modules()]
    task.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
