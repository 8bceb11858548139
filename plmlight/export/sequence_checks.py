"""The checks of the graphs of an encoder and its decoder: torch against both."""

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

from plmlight.decoding import DecodingOptions, SequenceModel, generate
from plmlight.export.causal_checks import NEAR_TIE, Forced
from plmlight.export.recipe import Limits
from plmlight.export.sequence import COVERAGE
from plmlight.export.sequence_driver import SequenceDriver, WritingDriver
from plmlight.export.verdict import Check, count, judge
from plmlight.tasks import Seq2Seq, TorchSequenceModel

BATCHES, SOURCES, LENGTHS, PASTS = (1, 2, 5), (1, 7, 33), (1, 7), (0, 1, 17)
BEAMS = 4
Row = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Case:
    """One batch to compare.

    Attributes:
        past: P.
        length: T.
        padded: whether the sources differ in length.
        sources: B rows of up to S tokens.
        targets: B rows of P+T tokens, of which P are read before.
        expected: of each row, computed by torch alone, without padding or cache: ``memory`` [S, D], ``logits`` [V]
            after the last token, ``hidden`` [T, D] and ``coverage`` [S].
    """

    past: int
    length: int
    padded: bool
    sources: list[list[int]]
    targets: list[list[int]]
    expected: list[Row]


class SequenceReference:
    """What torch answers, computed once and compared with the graphs.

    Args:
        task: in evaluation mode, float32.
        sources: token ids of texts, at least one, within the network's lengths.
        ends: the tokens that end a target.
    """

    def __init__(self, task: Seq2Seq, sources: Sequence[Sequence[int]], ends: Sequence[int]) -> None:
        self.task, self.network = task, task.network
        self.sources, self.ends = [list(source) for source in sources], tuple(ends)
        self.covers = COVERAGE in self.network.cache_names()
        most = self.network.target_max_length
        self.room = 32 if most is None else max(1, min(32, most - 1))

    @functools.cached_property
    def cases(self) -> list[Case]:
        """Batches 1, 2, 5 times sources 1, 7, 33 times lengths 1, 7 times pasts 0, 1, 17, as far as the network goes.

        Each with even sources and, where there are several, with padded ones.
        """
        rng = np.random.default_rng(0)
        most = self.network.target_max_length or max(LENGTHS) + max(PASTS)
        sizes = {
            (batch, min(source, self.network.max_length or source), min(length, most), min(past, most - length))
            for batch, source, length, past in itertools.product(BATCHES, SOURCES, LENGTHS, PASTS)
            if length <= most
        }
        return [
            self._case(rng, *size, padded)
            for size, padded in itertools.product(sorted(sizes), (False, True))
            if not padded or min(size[:2]) > 1
        ]

    def _case(self, rng: np.random.Generator, batch: int, source: int, length: int, past: int, padded: bool) -> Case:
        network = self.network
        lengths = [source, *(rng.integers(1, source, batch - 1) if padded else [source] * (batch - 1))]
        sources = [rng.integers(0, network.vocab_size, size).tolist() for size in lengths]
        targets = rng.integers(0, network.target_vocab_size, (batch, past + length)).tolist()
        expected = [self._row(each, target, past) for each, target in zip(sources, targets, strict=True)]
        return Case(past, length, padded, sources, targets, expected)

    @torch.inference_mode()
    def _row(self, source: list[int], target: list[int], past: int) -> Row:
        ids, written = self._tensor(source), self._tensor(target)
        memory = self.network.encode(ids)
        hidden, _ = self.network.decode(written, memory)
        found = {"memory": memory[0], "logits": self.task.head(hidden[0, -1]), "hidden": hidden[0, past:]}
        if self.covers:
            _, cache = self.network.decode(written, None, None, self.network.empty_cache(memory))
            assert cache is not None
            found["coverage"] = dict(zip(self.network.cache_names(), cache, strict=True))[COVERAGE][0]
        return {name: tensor.float().cpu().numpy() for name, tensor in found.items()}

    def _tensor(self, tokens: Sequence[int]) -> torch.Tensor:
        return torch.tensor([list(tokens)], device=self.task.head.weight.device)

    @functools.cached_property
    def torch_model(self) -> SequenceModel:
        """The task as decoding runs it."""
        return TorchSequenceModel(self.task)

    @functools.cached_property
    def greedy(self) -> list[list[int]]:
        """The greedy answers of torch."""
        return self.answers(self.torch_model, 1)

    @functools.cached_property
    def beams(self) -> list[list[int]]:
        """The answers of torch's beam search."""
        return self.answers(self.torch_model, BEAMS)

    def answers(self, model: SequenceModel, num_beams: int) -> list[list[int]]:
        """Answers of a model to the texts: all in one batch, and the first one alone. Beams give all that they have."""
        options = DecodingOptions(
            max_new_tokens=self.room,
            temperature=0,
            num_beams=num_beams,
            num_return_sequences=num_beams,
            eos_token_id=self.ends if num_beams > 1 else (),
        )
        found = [*self.write(model, self.sources, options), *self.write(model, self.sources[:1], options)]
        return [list(answer.token_ids) for answers in found for answer in answers]

    def write(self, model: SequenceModel, sources: Sequence[Sequence[int]], options: DecodingOptions) -> list[Any]:
        """What a model writes to sources."""
        return generate(model.read(sources), [[model.decoder_start_token_id]] * len(sources), options)

    @functools.cached_property
    def texts(self) -> list[list[int]]:
        """Targets drawn from the model: each of as many tokens."""
        options = DecodingOptions(max_new_tokens=self.room, temperature=1.0, eos_token_id=())
        return [list(found[0].token_ids) for found in self.write(self.torch_model, self.sources, options)]

    @functools.cached_property
    @torch.inference_mode()
    def text_logits(self) -> NDArray[np.float32]:
        """The logits [N, V] of torch at every token of the drawn targets, row after row."""
        start, rows = self.network.decoder_start_token_id, []
        for source, text in zip(self.sources, self.texts, strict=True):
            read, written = self._tensor(source), self._tensor([start, *text[:-1]])
            rows.append(self.task(read, written)["logits"][0].float().cpu().numpy())
        return np.concatenate(rows)

    def forced(self, model: SequenceModel) -> Forced:
        """A model along the drawn targets: token by token, all in one batch."""
        writing = model.read(self.sources)
        steps = [writing.start([[self.network.decoder_start_token_id]] * len(self.sources))]
        steps += [writing.step(tokens) for tokens in list(zip(*self.texts, strict=True))[:-1]]
        found = np.concatenate(list(np.stack(steps, 1)))  # [B, T, V] to [N, V], row after row
        return Forced(found, self.text_logits, np.concatenate([np.array(text) for text in self.texts]))

    def spread(self, name: str) -> float:
        """The spread of an output's numbers over all cases, which relative errors are relative to."""
        return float(np.concatenate([row[name].ravel() for case in self.cases for row in case.expected]).std())


def sequence_checks(
    reference: SequenceReference,
    graph: str,
    model: SequenceDriver,
    limits: Limits,
    measurements: list[dict[str, Any]],
) -> Iterator[Check]:
    """Compares both graphs with torch.

    Args:
        reference: torch's answers.
        graph: the name that the two graphs go by.
        model: the graphs.
        limits: what to judge by.
        measurements: gets the error of each shape.

    Yields:
        The checks, each as soon as it is done.
    """

    @functools.cache
    def outputs() -> list[list[Row]]:
        return [run(model, case) for case in reference.cases]

    decoder = ("logits", "hidden", *(["coverage"] if reference.covers else []))
    hidden_limit = limits.relative_hidden_error or limits.relative_logit_error
    for name, names, relative, limit, what in (
        ("encoder error", ("memory",), False, limits.logit_error, "largest difference of last_hidden_state"),
        ("decoder error", decoder, False, limits.logit_error, f"largest difference of {' and '.join(decoder)}"),
        ("relative encoder error", ("memory",), True, hidden_limit, "relative error of last_hidden_state"),
        ("relative hidden error", ("hidden",), True, hidden_limit, "relative error of the decoder's last_hidden_state"),
        ("relative logit error", ("logits",), True, limits.relative_logit_error, "relative error of the logits"),
    ):
        if limit is not None:
            detail = f"{what} from torch over all tested shapes, padded and not"
            more = ": root mean square difference over the spread" if relative else ""
            measure = functools.partial(_worst, reference, graph, outputs, names, measurements, relative=relative)
            yield judge(name, graph, limit, "at most", detail + more, measure)
    if limits.greedy_agreement is not None:
        for name, beams in (("greedy agreement", 1), ("beam agreement", BEAMS)):
            detail = f"share of {'greedy' if beams == 1 else f'{beams}-beam'} answers equal to torch's token for token"
            measure = functools.partial(_agreement, reference, model, beams)
            yield judge(name, graph, limits.greedy_agreement, "at least", f"{detail}, in a batch and alone", measure)
    forced = functools.cache(functools.partial(reference.forced, model))
    where = f"along targets of {len(reference.sources)} texts, sampled from the model at temperature 1"
    if limits.top1_agreement is not None:
        detail = f"share of positions whose likeliest token is torch's or within {NEAR_TIE} nats of it, {where}"
        yield judge("top-1 agreement", graph, limits.top1_agreement, "at least", detail, lambda: forced().agreement())
    if limits.loss_increase is not None:
        detail = f"cross entropy less torch's, nats a token, {where}"
        yield judge("loss increase", graph, limits.loss_increase, "at most", detail, lambda: forced().loss_increase())


def run(model: SequenceDriver, case: Case) -> list[Row]:
    """The outputs of the graphs for a case, row by row, without what stands at padding."""
    writing: WritingDriver = model.read(case.sources)
    if case.past:
        writing.start([target[: case.past] for target in case.targets])
        logits = writing.extend([target[case.past :] for target in case.targets])
    else:
        logits = writing.start(case.targets)
    rows = []
    for index, source in enumerate(case.sources):
        row = {
            "memory": writing.memory[index, : len(source)],
            "logits": logits[index],
            "hidden": writing.hidden()[index],
        }
        if "coverage" in case.expected[index]:
            row["coverage"] = writing.coverage()[index, : len(source)]
        rows.append(row)
    return rows


def _worst(
    reference: SequenceReference,
    graph: str,
    outputs: Any,
    names: Sequence[str],
    measurements: list[dict[str, Any]],
    *,
    relative: bool,
) -> float:
    """The largest error over all cases; each case's goes into the measurements."""
    spreads = {name: reference.spread(name) if relative else None for name in names}
    part = "encoder" if names == ("memory",) else "hidden" if names == ("hidden",) else "decoder"
    errors: dict[tuple[tuple[str, Any], ...], list[float]] = {}
    for case, rows in zip(reference.cases, outputs(), strict=True):
        shape: dict[str, Any] = {"batch": len(case.sources), "source": max(map(len, case.sources))}
        shape |= {} if part == "encoder" else {"length": case.length, "past": case.past}
        shape["padded"] = case.padded
        errors.setdefault(tuple(shape.items()), []).extend(
            _error(np.concatenate([row[name].ravel() for row in rows]), expected, spreads[name])
            for name in names
            for expected in [np.concatenate([row[name].ravel() for row in case.expected])]
        )
    for key, found in errors.items():
        error = float(np.max(found))  # not Python's max, which loses a value that is not a number
        measurements.append({"graph": f"{graph} {part}", **dict(key), "error": error, "relative": relative})
    return float(np.max(list(itertools.chain(*errors.values()))))


def _error(found: NDArray[np.float32], expected: NDArray[np.float32], spread: float | None) -> float:
    """The largest difference, or the root mean square one over a spread."""
    difference = found - expected
    return float(np.abs(difference).max() if spread is None else np.sqrt(np.mean(difference**2)) / spread)


def _agreement(reference: SequenceReference, model: SequenceDriver, beams: int) -> float:
    wanted = reference.greedy if beams == 1 else reference.beams
    found = reference.answers(model, beams)
    return count(mine == its for mine, its in itertools.zip_longest(found, wanted))


def timings(model: SequenceModel) -> dict[str, float]:
    """How long a model takes to read a text and to write a token, batch 1; for orientation.

    Args:
        model: the model.

    Returns:
        ``tokens`` of the source, ``forward_ms`` (reading them), ``token_ms`` (the median of a few).
    """
    source = [[1] * min(32, model.max_source_length or 32)]
    model.read(source)
    start = time.perf_counter()
    writing = model.read(source)
    forward = time.perf_counter() - start
    writing.start([[model.decoder_start_token_id]])
    steps = []
    for _ in range(min(16, (model.max_length or 17) - 1)):
        start = time.perf_counter()
        writing.step([1])
        steps.append(time.perf_counter() - start)
    token = {"token_ms": round(float(np.median(steps)) * 1e3, 3)} if steps else {}
    return {"tokens": len(source[0]), "forward_ms": round(forward * 1e3, 3), **token}
