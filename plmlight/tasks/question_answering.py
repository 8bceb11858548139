from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from plmlight.adapters import Adapter
from plmlight.decoding.spans import best_spans
from plmlight.heads.cross_entropy import IGNORED
from plmlight.heads.span import SpanHead
from plmlight.metrics.answers import AnswerMetric, best_threshold, score_answers
from plmlight.nn import Network
from plmlight.objectives import Batch
from plmlight.objectives.base import Parts
from plmlight.optim import OptimizerFactory, Schedule
from plmlight.tasks.analyses import of_answers
from plmlight.tasks.labelled import Found, LabelledTask
from plmlight.tasks.publishing import publish
from plmlight.tasks.reading import check_reads, freeze_writers, hidden_states, hidden_width
from plmlight.text.tables import Analysis


class QuestionAnswering(LabelledTask):
    """The answer to a question as a part of a text, its context (Devlin et al. 2019, arXiv:1810.04805, section 4.2).

    A row is a question with a window of its context. Where the answer is not in it, the row's first token is the right
    one: its logits are the score that there is no answer (section 4.3 there).

    Args:
        network: an encoder; a decoder, which reads from left to right; or both, of which the encoder reads.
        max_length: tokens of a window at most; what the network reads by default. The command line takes it from the
            data, as the next one.
        stride: how many tokens of the context two windows share.
        max_answer_tokens: the longest answer.
        null_threshold: there is no answer where the score of none exceeds that of the best span by more than this
            (SQuAD 2); None for data whose questions all have one, and then there always is.
        metric: ``squad`` scores by words, ``cmrc`` by characters, for Chinese.
        optimizer: makes the optimiser; `AdamW` by default.
        schedule: the learning rate over the run; `WarmupCosine` by default.
        seed: of random choices.
        adapter: what is trained in the place of the network's weights, beside the head; nothing by default.

    Raises:
        ValueError: for a network that cannot read, or a length that is not possible.
    """

    def __init__(
        self,
        network: Network,
        max_length: int | None = None,
        stride: int = 128,
        max_answer_tokens: int = 30,
        null_threshold: float | None = None,
        metric: AnswerMetric = "squad",
        optimizer: OptimizerFactory | None = None,
        schedule: Schedule | None = None,
        seed: int = 0,
        adapter: Adapter | None = None,
    ) -> None:
        super().__init__(network, optimizer, schedule, seed, adapter)
        check_reads(network, "QuestionAnswering")
        freeze_writers(network, adapter)
        if max_answer_tokens < 1:
            raise ValueError(f"max_answer_tokens must be at least 1, not {max_answer_tokens}")
        if stride < 0:
            raise ValueError(f"stride must be at least 0, not {stride}")
        self.max_length, self.stride, self.max_answer_tokens = max_length, stride, max_answer_tokens
        self.null_threshold, self.metric = null_threshold, metric
        self.head = SpanHead(hidden_width(network))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Scores the tokens of questions with their contexts.

        Args:
            input_ids: [B, T].
            attention_mask: [B, T], 0 is padding; None where nothing is.
            token_type_ids: [B, T], the segments; 0 by default.
            position_ids: [B, T], where they are not the reference's.

        Returns:
            ``start_logits`` and ``end_logits``, each [B, T].
        """
        hidden = hidden_states(self.network, input_ids, attention_mask, token_type_ids, position_ids)
        start, end = self.head(hidden)
        return {"start_logits": start, "end_logits": end}

    @property
    def graph_outputs(self) -> dict[str, tuple[str | int, ...]]:
        """``start_logits`` and ``end_logits``."""
        return {"start_logits": ("batch", "sequence"), "end_logits": ("batch", "sequence")}

    def facts(self) -> dict[str, Any]:
        """How windows are cut, how long an answer is, when there is none, and how answers are scored."""
        return {
            "max_length": self.max_length,
            "stride": self.stride,
            "max_answer_tokens": self.max_answer_tokens,
            "null_threshold": self.null_threshold,
            "metric": self.metric,
        }

    def loss(self, outputs: dict[str, Tensor], batch: Batch) -> Parts:
        """The mean cross entropy of first and last token, among those of the context and the row's first one."""
        outside = batch["context_mask"] == 0
        total, labels = torch.zeros((), device=outside.device), batch["labels_start"]
        for side in ("start", "end"):
            logits = outputs[f"{side}_logits"].float()
            logits = logits.masked_fill(outside, torch.finfo(logits.dtype).min)
            total = total + F.cross_entropy(logits, batch[f"labels_{side}"], ignore_index=IGNORED, reduction="sum") / 2
        return {"loss": (total, (labels != IGNORED).sum().float())}

    def find(self, outputs: dict[str, Tensor], batch: Batch) -> Mapping[str, Tensor | Sequence[Any]]:
        """The best answer in each window, its score and that of no answer, and the true answers."""
        return {
            **self._answers(outputs, batch),
            "example_ids": batch["example_ids"].tolist(),
            "references": batch["references"],
        }

    def _answers(self, outputs: dict[str, Tensor], batch: Batch) -> dict[str, list[Any]]:
        start, end = (outputs[f"{side}_logits"].detach().float().cpu().numpy() for side in ("start", "end"))
        starts, ends = (batch[name].cpu().numpy() for name in ("starts", "ends"))
        found: dict[str, list[Any]] = {"answers": [], "scores": [], "null_scores": (start[:, 0] + end[:, 0]).tolist()}
        for row, context in enumerate(batch["contexts"]):
            spans = best_spans(start[row], end[row], starts[row], ends[row], self.max_answer_tokens, 1)
            found["answers"].append(context[spans[0].start : spans[0].end] if spans else "")
            found["scores"].append(spans[0].score if spans else -np.inf)
        return found

    def score(self, found: Found) -> dict[str, float]:
        """``exact_match`` and ``f1`` of whole contexts.

        With a ``null_threshold`` also ``answerable_f1``, and the ``best_threshold`` with the ``best_f1`` it gives.
        """
        rows, differences = self._best(found)
        answers, references = ([found[name][row] for row in rows] for name in ("answers", "references"))
        if self.null_threshold is None:
            return _plain(score_answers(answers, references, self.metric).means())
        scores = score_answers(self._chosen(answers, differences), references, self.metric)
        measures = _plain(scores.means())
        answerable = np.array([bool(each) for each in references])
        if answerable.any():
            measures["answerable_f1"] = 100 * float(scores.f1[answerable].mean())
        always = score_answers(answers, references, self.metric).f1
        never = score_answers([""] * len(answers), references, self.metric).f1
        measures["best_threshold"], worth = best_threshold(differences, always, never)
        return measures | {"best_f1": 100 * worth}

    def analyse(self, found: Found) -> Analysis:
        """Questions with an answer and without one, and the worst answers."""
        rows, differences = self._best(found)
        answers, references = ([found[name][row] for row in rows] for name in ("answers", "references"))
        chosen = self._chosen(answers, differences)
        scores = score_answers(chosen, references, self.metric)
        certainty = np.abs(differences - (self.null_threshold or 0.0))
        return of_answers(chosen, references, scores, certainty, np.asarray(found["sample_ids"])[rows])

    def _best(self, found: Found) -> tuple[list[int], NDArray[np.float64]]:
        """Of each question the window with the best answer, and by how much the score of none exceeds that answer's."""
        best: dict[int, int] = {}
        nulls: dict[int, float] = {}
        for row, number in enumerate(found["example_ids"]):
            if number not in best or found["scores"][row] > found["scores"][best[number]]:
                best[number] = row
            nulls[number] = min(nulls.get(number, np.inf), found["null_scores"][row])
        rows = list(best.values())
        return rows, np.array([nulls[number] - found["scores"][row] for number, row in best.items()])

    def _chosen(self, answers: Sequence[str], differences: NDArray[np.float64]) -> list[str]:
        """The answers, without those whose score the score of none exceeds by more than the threshold."""
        if self.null_threshold is None:
            return list(answers)
        both = zip(differences > self.null_threshold, answers, strict=True)
        return ["" if above else answer for above, answer in both]

    def save_pretrained(self, folder: str) -> None:
        """Writes network, head and tokenizer, as ``transformers`` opens them.

        Args:
            folder: made, or replaced if it holds nothing but such files.

        Raises:
            ValueError: when no Hugging Face family can express the task, or the folder holds other files.
        """
        publish(self, folder)


def _plain(means: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(values[0]) for name, values in means.items()}
