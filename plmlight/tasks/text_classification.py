from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from plmlight.adapters import Adapter
from plmlight.heads import ClassificationHead, Pooler
from plmlight.interop import label_settings
from plmlight.metrics.classification import on_all
from plmlight.nn import Decoder, Encoder, EncoderDecoder, Network
from plmlight.objectives import Batch, KeyedRandom
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.analyses import samples_of
from plmlight.tasks.auxiliary import Auxiliary
from plmlight.tasks.labelled import Found, LabelledTask
from plmlight.tasks.problems import Problem, SingleLabel
from plmlight.tasks.publishing import publish
from plmlight.tasks.reading import check_reads, freeze_writers, hidden_states, hidden_width, pooled, written_states
from plmlight.text.tables import Analysis

ClassificationPooling = Literal["mean", "cls", "max", "pooler"]


class TextClassification(LabelledTask):
    """The class of a text, or of a pair of texts: topic, sentiment, spam; several labels of each; or a number.

    Args:
        network: an encoder; a decoder, which reads from left to right; or both, of which the encoder reads, or with
            ``pooler`` both.
        labels: the names of the classes, in order, or of the number; the command line takes them from the data.
        problem: what is asked: `SingleLabel` (by default), `MultiLabel` or `Regression`.
        pooling: how a text's hidden states become one vector: ``mean`` or ``max`` over its tokens; ``cls``, the
            token that has seen all (an encoder's first, XLNet's and a decoder's last); or ``pooler``, BERT's layer over
            that token, which published classifiers have: of an encoder and a decoder the latter's last one, where it
            writes again what was read (BART, T5).
        head_dropout: on that vector.
        max_length: the most tokens of a text that is asked about, special ones included; the command line takes the
            data's, and by default it is the network's.
        stride: texts that are longer are read in windows, which share so many tokens with the one before, and what is
            said of them is averaged; None cuts them.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.
        auxiliary: what is learned beside the labels, one or several: `Distillation`, `PseudoLabels`, `MaskedWords`,
            `RDrop`; nothing by default.

    Raises:
        ValueError: for a network that cannot read, labels that do not suit the problem, or a stride below 0.
    """

    problem: Problem

    def __init__(
        self,
        network: Network,
        labels: list[str],
        problem: Problem | None = None,
        pooling: ClassificationPooling = "mean",
        head_dropout: float = 0.1,
        max_length: int | None = None,
        stride: int | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
        auxiliary: Auxiliary | list[Auxiliary] | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        check_reads(network, "TextClassification")
        if pooling != "pooler":
            freeze_writers(network, adapter)
        if stride is not None and stride < 0:
            raise ValueError(f"stride {stride}: windows share at least 0 tokens; leave it out to cut long texts")
        self.labels, self.pooling, self.max_length, self.stride = labels, pooling, max_length, stride
        self.problem = problem if problem is not None else SingleLabel()
        self.problem.begin(labels)
        width, last = hidden_width(network), isinstance(network, Encoder) and network.cls_last
        decodes = isinstance(network, Decoder)
        self.pooler = Pooler(width, last=last or not isinstance(network, Encoder)) if pooling == "pooler" else None
        # published classifiers over decoders have no bias
        self.head = ClassificationHead(width, len(labels), head_dropout, bias=not decodes)
        parts = [auxiliary] if isinstance(auxiliary, Auxiliary) else auxiliary or []
        self.auxiliaries: Iterable[Auxiliary] = nn.ModuleList(parts)  # type: ignore[assignment]
        for each in self.auxiliaries:
            each.begin(self)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scores the classes of texts.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``logits`` [B, L].
        """
        if self.pooler is not None and isinstance(self.network, EncoderDecoder):
            hidden = written_states(self.network, input_ids, attention_mask)
        else:
            hidden = hidden_states(self.network, input_ids, attention_mask, token_type_ids, position_ids)
        if self.pooler is not None:
            vector = self.pooler(hidden, attention_mask)
        else:
            vector = pooled(self.network, hidden, attention_mask, self.pooling)
        return {"logits": self.head(vector)}

    @property
    def graph_outputs(self) -> dict[str, tuple[str | int, ...]]:
        """``logits``."""
        return {"logits": ("batch", len(self.labels))}

    def facts(self) -> dict[str, Any]:
        """The names of the classes, what they are to each other, and how long texts are read."""
        return {
            "labels": self.labels,
            **self.problem.facts(),
            "max_length": self.max_length,
            "stride": self.stride,
        }

    def check_ready(self) -> None:
        """Refuses to begin where weights of classes are to follow from data that is not known."""
        super().check_ready()
        self.problem.check_ready()

    def use_label_counts(self, counts: Tensor, examples: int) -> None:
        """Learns from the data how often each class is there, for weights that balance them.

        Args:
            counts: [L].
            examples: how many examples there are.

        Raises:
            ValueError: for counts of another number of classes.
        """
        if len(counts) != len(self.labels):
            raise ValueError(f"there are counts of {len(counts)} classes, but the task has {len(self.labels)}")
        self.problem.use_label_counts(counts, examples)

    def setup(self, stage: str) -> None:
        """Looks whether all is there, before anything is done."""
        super().setup(stage)
        if stage == "fit":
            for each in self.auxiliaries:
                each.setup(self)

    def prepare(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Lets what is learned beside the labels add to a batch to train on."""
        if self.training:
            for each in self.auxiliaries:
                batch = each.prepare(batch, rng)
        return batch

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """The problem's, over the examples that have a label; in training also what is learned beside them."""
        parts = {"loss": self.problem.loss(outputs["logits"], batch["labels"])}
        if self.training:
            for each in self.auxiliaries:
                parts |= each.loss(self, outputs, batch)
        return parts

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """What is said of each class, the label, and of which text this is a window."""
        found = {"scores": self.problem.scores(outputs["logits"]), "labels": batch["labels"]}
        return found | ({"example_ids": batch["example_ids"]} if "example_ids" in batch else {})

    def score(self, found: Found) -> dict[str, float]:
        """The problem's measures, of texts whose windows are averaged."""
        scores, labels = joined(found)
        return on_all(self.problem.statistics(scores, labels), len(scores))

    def analyse(self, found: Found) -> Analysis:
        """What the problem says of texts whose windows are averaged."""
        return self.problem.analyse(*joined(found), samples_of(found))

    def save_pretrained(self, folder: str) -> None:
        """Writes network, head, names of the classes and tokenizer, as ``transformers`` opens them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the task, its pooling for example; or the folder holds
                other files.
        """
        told = label_settings(self.labels, self.facts(), self.head.dropout.p)
        publish(self, folder, arguments={"pooling": self.pooling}, settings=told)


def joined(found: Found) -> tuple[NDArray[Any], NDArray[Any]]:
    """The scores [N, L] and labels of texts, each the mean of its windows, out of those of windows."""
    scores, labels = np.asarray(found["scores"], np.float64), np.asarray(found["labels"])
    if "example_ids" not in found:
        return scores, labels
    _, first, member = np.unique(found["example_ids"], return_index=True, return_inverse=True)
    totals = np.zeros((len(first), scores.shape[1]))
    np.add.at(totals, member, scores)
    return totals / np.bincount(member)[:, None], labels[first]
