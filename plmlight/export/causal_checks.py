"""The checks of a decoder's graphs: torch against each graph."""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from plmlight.decoding import DecodingOptions, LanguageModel, generate
from plmlight.export.causal_lm import tested_length
from plmlight.export.drivers import GraphDecoder
from plmlight.export.recipe import Limits
from plmlight.export.verdict import Check, count, judge
from plmlight.tasks import CausalLM
from plmlight.tasks.generation import TorchLanguageModel

BATCHES, LENGTHS, PASTS = (1, 2, 5), (1, 7, 33), (0, 1, 17)
NEAR_TIE = 0.05
"""Nats by which torch may prefer its likeliest token to the graph's: those of an untrained network hardly differ."""
TEXTS = ("The", "def main(argv):\n    ", "1 + 1 =", "In the beginning")
"""Prompts of the golden requests; ones that a tokenizer or a length cannot take are replaced."""


@dataclass(frozen=True)
class Case:
    """One call to compare: tokens to read before it, and the tokens of the call.

    Attributes:
        length: T.
        past: P.
        padded: whether the rows differ in length.
        before: B rows of up to P tokens.
        rows: B rows of up to T tokens; of T where there is a past, as padding comes first.
        expected: torch's logits [B, V] after each row, computed row by row without padding or cache.
    """

    length: int
    past: int
    padded: bool
    before: list[list[int]]
    rows: list[list[int]]
    expected: NDArray[np.float32]


class CausalLMReference:
    """What torch answers, computed once and compared with every graph.

    Args:
        task: in evaluation mode, float32.
        prompts: token ids, at least one, at least one token each; they leave room in ``max_length``.
    """

    def __init__(self, task: CausalLM, prompts: Sequence[Sequence[int]]) -> None:
        self.task = task
        self.prompts = [list(prompt) for prompt in prompts]
        self.max_length = tested_length(task.network)
        self.room = max(1, self.max_length - max(map(len, self.prompts), default=0))

    @functools.cached_property
    def cases(self) -> list[Case]:
        """Batches 1, 2, 5 times lengths 1, 7, 33 times pasts 0, 1, 17, cut to ``max_length``; even and padded rows."""
        rng = np.random.default_rng(0)
        sizes = {
            (batch, min(length, self.max_length), min(past, self.max_length - min(length, self.max_length)))
            for batch, length, past in itertools.product(BATCHES, LENGTHS, PASTS)
        }
        cases = []
        for (batch, length, past), padded in itertools.product(sorted(sizes), (False, True)):
            if not padded or (batch > 2 and max(past or length, 1) > 1):
                before = self._rows(rng, batch, past, padded)
                rows = self._rows(rng, batch, length, padded and past == 0)
                expected = np.stack([self.last(old + new) for old, new in zip(before, rows, strict=True)])
                cases.append(Case(length, past, padded, before, rows, expected))
        return cases

    def _rows(self, rng: np.random.Generator, batch: int, length: int, padded: bool) -> list[list[int]]:
        """Random tokens; the first row is whole, of padded ones the others are shorter by chance."""
        shortest = min(1, length) if padded else length
        lengths = [length, *rng.integers(shortest, length + 1, batch - 1)]
        return [rng.integers(0, self.task.network.vocab_size, size).tolist() for size in lengths]

    @torch.inference_mode()
    def logits(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits [T, V] of torch along a text."""
        outputs = self.task(torch.tensor([list(tokens)], device=self.task.head.weight.device))
        scores: NDArray[np.float32] = outputs["logits"][0].float().cpu().numpy()
        return scores

    @torch.inference_mode()
    def last(self, tokens: Sequence[int]) -> NDArray[np.float32]:
        """The logits [V] of torch after a text."""
        hidden, _ = self.task.network(torch.tensor([list(tokens)], device=self.task.head.weight.device))
        scores: NDArray[np.float32] = self.task.head(hidden[0, -1]).float().cpu().numpy()
        return scores

    @functools.cached_property
    def greedy(self) -> list[list[int]]:
        """The greedy answers of torch to the prompts."""
        return self.answers(TorchLanguageModel(self.task))

    def answers(self, model: LanguageModel) -> list[list[int]]:
        """Greedy answers of a model to the prompts: all in one batch, and the first one alone."""
        options = DecodingOptions(max_new_tokens=min(32, self.room), temperature=0, eos_token_id=())
        together = generate(model, self.prompts, options)
        alone = generate(model, self.prompts[:1], options)
        return [list(found[0].token_ids) for found in (*together, *alone)]

    @functools.cached_property
    def texts(self) -> list[list[int]]:
        """Texts drawn from the model: each prompt with a sampled answer."""
        options = DecodingOptions(max_new_tokens=min(48, self.room), temperature=1.0, eos_token_id=())
        found = generate(TorchLanguageModel(self.task), self.prompts, options)
        return [prompt + list(answer[0].token_ids) for prompt, answer in zip(self.prompts, found, strict=True)]

    @functools.cached_property
    def text_logits(self) -> NDArray[np.float32]:
        """The logits [N, V] of torch at every token of the texts' answers."""
        return np.concatenate(
            [self.logits(text[:-1])[len(prompt) - 1 :] for prompt, text in zip(self.prompts, self.texts, strict=True)]
        )

    @functools.cached_property
    def text_targets(self) -> NDArray[np.int64]:
        """[N]: the tokens that these logits score."""
        return np.concatenate(
            [np.array(text[len(prompt) :]) for prompt, text in zip(self.prompts, self.texts, strict=True)]
        )


@dataclass(frozen=True)
class Forced:
    """A graph along the reference's texts.

    Attributes:
        logits: [N, V].
        reference: torch's, [N, V].
        targets: [N].
    """

    logits: NDArray[np.float32]
    reference: NDArray[np.float32]
    targets: NDArray[np.int64]

    @classmethod
    def run(cls, reference: CausalLMReference, model: GraphDecoder) -> Forced:
        """Feeds the texts token by token, all in one batch."""
        answers = [text[len(prompt) :] for prompt, text in zip(reference.prompts, reference.texts, strict=True)]
        steps = [model.start(reference.prompts)]
        steps += [model.step(tokens) for tokens in list(zip(*answers, strict=True))[:-1]]
        found = np.concatenate(list(np.stack(steps, 1)))  # [B, T, V] to [N, V], row after row
        return cls(found, reference.text_logits, reference.text_targets)

    def relative_error(self) -> float:
        """The root mean square difference over the spread of torch's logits."""
        return relative_error(self.logits, self.reference)

    def agreement(self) -> tuple[float, str]:
        """The share of positions at which the likeliest token is torch's or as good; as a remark, the exact share."""
        every = np.arange(len(self.logits))
        best, chosen = self.reference.argmax(-1), self.logits.argmax(-1)
        behind = self.reference[every, best] - self.reference[every, chosen]
        return count(behind <= NEAR_TIE), f"; without near ties {count(best == chosen):.4f}"

    def loss_increase(self) -> float:
        """The cross entropy of the texts by the graph less that by torch, in nats a token."""
        return _cross_entropy(self.logits, self.targets) - _cross_entropy(self.reference, self.targets)


def relative_error(found: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The root mean square difference over the spread; a shift of all logits of a position changes nothing.

    Args:
        found: [N, V].
        expected: [N, V].

    Returns:
        0 for equal ones.
    """
    difference = found - expected
    error = np.sqrt(np.mean((difference - difference.mean(-1, keepdims=True)) ** 2))
    spread = np.sqrt(np.mean((expected - expected.mean(-1, keepdims=True)) ** 2))
    return float(error / spread) if spread > 0 else (0.0 if error == 0 else float("inf"))


def _cross_entropy(logits: NDArray[np.float32], targets: NDArray[np.int64]) -> float:
    scores = logits.astype(np.float64)
    scores -= scores.max(-1, keepdims=True)
    normalisers = np.log(np.exp(scores).sum(-1))
    return float(np.mean(normalisers - scores[np.arange(len(targets)), targets]))


def causal_lm_checks(
    reference: CausalLMReference, graph: str, model: GraphDecoder, limits: Limits, measurements: list[dict[str, Any]]
) -> Iterator[Check]:
    """Compares a graph with torch.

    Args:
        reference: torch's answers.
        graph: the graph's name.
        model: the graph.
        limits: what to judge by.
        measurements: gets the error of each shape.

    Yields:
        The checks, each as soon as it is done.
    """
    if limits.logit_error is not None:
        detail = "largest difference of a logit from torch over all tested shapes"
        measure = functools.partial(_shapes, reference, graph, model, measurements, relative=False)
        yield judge("logit error", graph, limits.logit_error, "at most", detail, measure)
    if limits.relative_logit_error is not None:
        detail = "largest relative error over all tested shapes: root mean square difference over the logits' spread"
        measure = functools.partial(_shapes, reference, graph, model, measurements, relative=True)
        yield judge("relative logit error", graph, limits.relative_logit_error, "at most", detail, measure)
    if limits.greedy_agreement is not None:
        detail = "share of greedy answers equal to torch's token for token, in a batch and alone"
        measure = functools.partial(_greedy, reference, model)
        yield judge("greedy agreement", graph, limits.greedy_agreement, "at least", detail, measure)
    forced = functools.cache(functools.partial(Forced.run, reference, model))
    where = f"along {len(reference.prompts)} texts sampled from the model at temperature 1"
    if limits.top1_agreement is not None:
        detail = f"share of positions whose likeliest token is torch's or within {NEAR_TIE} nats of it, {where}"
        yield judge("top-1 agreement", graph, limits.top1_agreement, "at least", detail, lambda: forced().agreement())
    if limits.loss_increase is not None:
        detail = f"cross entropy less torch's, nats a token, {where}"
        yield judge("loss increase", graph, limits.loss_increase, "at most", detail, lambda: forced().loss_increase())


def _greedy(reference: CausalLMReference, model: GraphDecoder) -> float:
    return count(mine == its for mine, its in zip(reference.answers(model), reference.greedy, strict=True))


def _shapes(
    reference: CausalLMReference,
    graph: str,
    model: GraphDecoder,
    measurements: list[dict[str, Any]],
    *,
    relative: bool,
) -> float:
    errors = []
    for case in reference.cases:
        if case.past:
            model.start(case.before)
            found = model.extend(case.rows)
        else:
            found = model.start(case.rows)
        error = relative_error(found, case.expected) if relative else float(np.abs(found - case.expected).max())
        shape = {"batch": len(case.rows), "length": case.length, "past": case.past, "padded": case.padded}
        measurements.append({"graph": graph, **shape, "error": error, "relative": relative})
        errors.append(error)
    return float(np.max(errors))  # not Python's max, which loses a value that is not a number


def timings(model: LanguageModel, max_length: int) -> dict[str, float]:
    """How long a model takes for a prompt and for each token, batch 1; for orientation, as a machine may be busy.

    Args:
        model: the model.
        max_length: of the model.

    Returns:
        ``prompt_tokens``, ``prompt_ms``, ``token_ms`` (the median of a few).
    """
    length = max(1, min(128, max_length // 2))
    model.start([[0] * length])
    start = time.perf_counter()
    model.start([[0] * length])
    prompt = time.perf_counter() - start
    steps = []
    for _ in range(min(16, max_length - length)):
        start = time.perf_counter()
        model.step([0])
        steps.append(time.perf_counter() - start)
    token = float(np.median(steps)) if steps else float("nan")
    return {"prompt_tokens": length, "prompt_ms": round(prompt * 1e3, 3), "token_ms": round(token * 1e3, 3)}
