from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.decoding.tagging import decided, stitched
from plmlight.heads import ClassificationHead, LinearChainCRF
from plmlight.heads.cross_entropy import IGNORED
from plmlight.interop import tag_settings
from plmlight.metrics.spans import SpanCounts, tag_accuracy, tag_counts
from plmlight.nn import Network, TokensFirst
from plmlight.objectives import Batch
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.analyses import of_tags, samples_of
from plmlight.tasks.labelled import Found, LabelledTask
from plmlight.tasks.publishing import publish
from plmlight.tasks.reading import check_reads, freeze_writers, hidden_states, hidden_width
from plmlight.text.tables import Analysis
from plmlight.text.tagging import Scheme, scheme_of, transitions
from plmlight.text.word_rows import Unit


class TokenClassification(LabelledTask):
    """A tag for each word: entities, parts of speech, the words of Chinese.

    A word has its tag at its first token (Devlin et al. 2019, arXiv:1810.04805, section 5.3); what is said of other
    tokens counts nowhere.

    Args:
        network: an encoder; a decoder, which reads from left to right; or both, of which the encoder reads.
        labels: the names of the tags, in order; the command line takes them from the data.
        crf: learn which tags follow each other, and decide for all words of a sentence together (Lample et al. 2016,
            arXiv:1603.01360): a linear-chain CRF over the words, whose best sequence is found in the graph. Otherwise
            each word's tag is learnt by itself.
        scheme: how tags mark spans; by default seen from ``labels``.
        constrained: give no tag that may not follow the one before it in the scheme.
        unit: what has a tag in a text that is cut into words: see `plmlight.data.TaggedText`, from which the command
            line takes it; a word by default.
        head_dropout: on the hidden states.
        max_length: tokens of a row at most, special ones included: longer sentences are read in parts; what the network
            reads by default. The command line takes the data's.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Raises:
        ValueError: for a network that cannot read, fewer than two tags, or tags that are not of the scheme.
    """

    def __init__(
        self,
        network: Network,
        labels: list[str],
        crf: bool = False,
        scheme: Scheme | None = None,
        constrained: bool = True,
        unit: Unit | None = None,
        head_dropout: float = 0.1,
        max_length: int | None = None,
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        check_reads(network, type(self).__name__)
        freeze_writers(network, adapter)
        if len(labels) < 2:
            raise ValueError(f"labels {labels}: at least two tags are needed")
        seen = scheme_of(labels)
        if scheme not in (None, "none", seen):
            raise ValueError(f"scheme {scheme}: the labels are tags of {seen}, such as {labels[0]!r}")
        self.labels, self.constrained, self.max_length = labels, constrained, max_length
        self.scheme: Scheme = scheme if scheme is not None else seen
        self.unit: Unit = unit if unit is not None else "word"
        self._allowed = transitions(labels, self.scheme) if constrained else None
        self.head = ClassificationHead(hidden_width(network), len(labels), head_dropout)
        self.crf = LinearChainCRF(len(labels), self._allowed) if crf else None

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        word_mask: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scores the tags of tokens.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.
            word_mask: [B, T], not 0 at the first token of each word, which a CRF needs to know; by default at all
                tokens.

        Returns:
            ``logits`` [B, T, L], and with a CRF outside training ``tags`` [B, T]: numbers, -100 where no word begins.
        """
        hidden = hidden_states(self.network, input_ids, attention_mask, token_type_ids, position_ids)
        outputs = {"logits": self.head(hidden)}
        if self.crf is not None and not self.training:
            if word_mask is None:
                word_mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            words = TokensFirst(word_mask)
            tags = self.crf.decode(words.front(outputs["logits"]), words.counts)
            tags = words.back(tags[..., None])[..., 0]
            outputs["tags"] = torch.where(word_mask > 0, tags, IGNORED)
        return outputs

    @property
    def graph_inputs(self) -> tuple[str, ...]:
        """With a CRF ``word_mask``."""
        return () if self.crf is None else ("word_mask",)

    @property
    def graph_outputs(self) -> dict[str, tuple[str | int, ...]]:
        """``logits``, and with a CRF ``tags``."""
        logits: dict[str, tuple[str | int, ...]] = {"logits": ("batch", "sequence", len(self.labels))}
        return logits if self.crf is None else logits | {"tags": ("batch", "sequence")}

    def facts(self) -> dict[str, Any]:
        """The names of the tags, how they mark spans of what, and how much of a sentence is read at once."""
        return {
            "labels": self.labels,
            "scheme": self.scheme,
            "unit": self.unit,
            "constrained": self.constrained,
            "max_length": self.max_length,
        }

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """Cross entropy, or with a CRF minus the logarithm of how likely a sentence's tags are; a sum over words."""
        labels, logits = batch["labels"], outputs["logits"]
        count = (labels != IGNORED).sum()
        if self.crf is None:
            total = F.cross_entropy(logits.float().transpose(1, 2), labels, ignore_index=IGNORED, reduction="sum")
            return {"loss": (total, count.float())}
        words = TokensFirst(labels != IGNORED)
        longest = max(1, int(words.counts.max()))  # a sentence's words are fewer than its tokens
        emissions, tags = words.front(logits)[:, :longest], words.front(labels[..., None])[:, :longest, 0]
        return {"loss": (self.crf.negative_log_likelihood(emissions, tags, words.counts).sum(), count.float())}

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """The words' tags, the right ones, and of which sentence this is a part."""
        labels = batch["labels"].cpu().numpy()
        arrays = {name: value.detach().float().cpu().numpy() for name, value in outputs.items()}
        tags, gold = [], []
        for number, row in enumerate(labels):
            places = np.flatnonzero(row != IGNORED)
            tags.append(decided({name: values[number] for name, values in arrays.items()}, places, self._allowed))
            gold.append(row[places])
        examples = batch["example_ids"] if "example_ids" in batch else batch["sample_ids"]
        firsts = batch["first_words"] if "first_words" in batch else torch.zeros_like(examples)
        found = {"tags": tags, "gold": gold, "example_ids": examples, "first_words": firsts}
        return found | ({"sentence_words": batch["sentence_words"]} if "sentence_words" in batch else {})

    def score(self, found: Found) -> dict[str, float]:
        """In a scheme ``f1``, ``precision`` and ``recall`` of spans, of all and of each kind; ``accuracy`` of words.

        Nothing where no sentence was read as a whole.
        """
        found = _whole(found)
        if not len(found["tags"]):
            return {}
        tags, gold = (self._sentences(found, name) for name in ("tags", "gold"))
        accuracy = {"accuracy": tag_accuracy(gold, tags)}
        spans = self.count_spans(gold, tags)
        if spans is None:
            return accuracy
        scores = spans.scores()
        return {"f1": scores["f1"], **scores, **accuracy}

    def analyse(self, found: Found) -> Analysis:
        """Each kind of span, each tag, confusions, and the sentences with the most wrong tags."""
        found = _whole(found)
        tags, gold = (self._sentences(found, name) for name in ("tags", "gold"))
        return of_tags(gold, tags, self.labels, self.count_spans(gold, tags), samples_of(found))

    def count_spans(self, gold: Sequence[Sequence[str]], tags: Sequence[Sequence[str]]) -> SpanCounts | None:
        """What is counted of the spans that tags mark; None where they mark none.

        Args:
            gold: the right tags of each sentence.
            tags: those that were given.
        """
        return None if self.scheme == "none" else tag_counts(gold, tags, self.scheme)

    def save_pretrained(self, folder: str) -> None:
        """Writes network, head, names of the tags and tokenizer, as ``transformers`` opens them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the task, its CRF for example; or the folder holds other
                files.
        """
        publish(self, folder, settings=tag_settings(self.labels, self.facts(), self.head.dropout.p))

    def _sentences(self, found: Found, name: str) -> list[list[str]]:
        """The names of tags by sentence, out of those of its rows."""
        sentences: dict[int, list[tuple[int, NDArray[np.int64]]]] = {}
        for row, example, first in zip(found[name], found["example_ids"], found["first_words"], strict=True):
            sentences.setdefault(int(example), []).append((int(first), row))
        return [
            [self.labels[int(number)] for number in stitched(rows, self._allowed)[0]] for rows in sentences.values()
        ]


def _whole(found: Found) -> Found:
    """Leaves out sentences some of whose rows were not read, as where an evaluation is cut short."""
    if "sentence_words" not in found:
        return found
    read: dict[int, int] = {}  # how many words of each sentence, from its first
    for example, first, row in sorted(
        (int(example), int(first), len(row))
        for example, first, row in zip(found["example_ids"], found["first_words"], found["tags"], strict=True)
    ):
        if first <= read.get(example, 0):
            read[example] = first + row
    words = zip(found["example_ids"], found["sentence_words"], strict=True)
    kept = [read.get(int(example), 0) == int(count) for example, count in words]
    return {name: [value for value, keep in zip(values, kept, strict=True) if keep] for name, values in found.items()}
