"""What tasks with labels answer, the same for torch and for ONNX Runtime.

A task's answers are one subclass of `TextAnalyser` in a file of its own, and one line in
`plmlight.decoding.analysers`. There ``infer``, bundles, golden requests, ``selftest`` and ``evaluate`` find it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from plmlight.decoding.encoder import EncoderModel, Inputs, TextReader, Tokens, by_length
from plmlight.decoding.examples import TEXTS

Record = dict[str, Any]
"""A request or an answer: what JSON can say."""

_REQUEST = re.compile(r"request (\d+)")


class OutputModel(EncoderModel, Protocol):
    """A model that answers with all outputs of its graph."""

    def __call__(self, inputs: Inputs) -> dict[str, NDArray[Any]]:
        """The outputs of a batch by name: float32, or int64 where the graph has decided itself (tags)."""


class TextAnalyser(ABC):
    """Answers the requests of one kind of task.

    A subclass names its outputs and says what they mean, in `answers`: it takes what a request needs with `field`,
    cuts texts with ``self.cutting`` (one or two texts, or words with ``is_pretokenized``), runs `outputs`, and gives
    records of plain values. Its methods for Python (``classify``, ``tag``) are about the same thing in better types.

    Args:
        model: runs the network.
        tokenizer: turns text to tokens.
        facts: what the task says of itself (`plmlight.tasks.LabelledTask.facts`): the names of labels, thresholds.

    Attributes:
        length: the most tokens of a row: the task's ``max_length``, where its facts have one, or what the model reads.
        cutting: a copy of the tokenizer that shortens what is longer; special tokens stay, and of two texts the longer
            one loses first. What is to be cut otherwise (windows) sets its own truncation.

    Raises:
        ValueError: for a model that reads fewer tokens than the tokenizer adds to each text.
    """

    does: ClassVar[str]
    """What it does to texts, in the third person: ``classifies texts``."""

    def __init__(self, model: OutputModel, tokenizer: Tokenizer, facts: Mapping[str, Any]) -> None:
        self.model, self.tokenizer, self.facts = model, tokenizer, facts
        special = max(map(tokenizer.num_special_tokens_to_add, (False, True)))
        if model.max_length <= special:
            raise ValueError(f"the model reads {model.max_length} tokens, and {special} of them are special ones")
        self.length = min(facts.get("max_length") or model.max_length, model.max_length)
        self.cutting = Tokenizer.from_str(tokenizer.to_str())
        self.cutting.no_padding()
        self.cutting.enable_truncation(self.length)

    @classmethod
    def examples(cls) -> list[Record]:
        """Requests that suit the task, in English and Chinese: bundles are proven on them, and ``selftest`` asks them.

        Of each the graph's numbers are compared with torch's, so there should be a dozen.
        """
        return [{"text": text} for text in TEXTS]

    def request(self, text: str) -> Record:
        """What a text alone is as a request.

        Raises:
            ValueError: where it is not enough, saying what is missing and how to give it.
        """
        return {"text": text}

    @abstractmethod
    def answers(self, requests: Sequence[Record], batch_size: int = 32) -> list[Record]:
        """Answers requests.

        Args:
            requests: records; keys that the task does not know are left alone.
            batch_size: how many rows run together.

        Returns:
            An answer each, in order, of keys that no request has (``label``, not ``text``).

        Raises:
            ValueError: for a request that cannot be answered, naming its number from 0.
        """

    def refusals(self, requests: Sequence[Record]) -> list[str | None]:
        """Why requests have no tokens that the model can read, for those who leave such out; None where they have.

        Raises:
            ValueError: as `answers`, for a request that is wrong in another way.
        """
        return [None] * len(requests)

    @abstractmethod
    def show(self, request: Record, answer: Record) -> str:
        """An answer for a person, in one line or some."""

    def difference(self, found: Record, wanted: Record, tolerance: float) -> str:
        """What differs between an answer and the recorded one, in one line; empty for nothing.

        Args:
            found: the answer here.
            wanted: the recorded one.
            tolerance: by how much numbers with a fraction may differ. A subclass whose answers change when two scores
                that are closer than this change places overrides this.
        """
        return difference(found, wanted, tolerance)

    def field(self, requests: Sequence[Record], name: str) -> list[str]:
        """A text of each request.

        Raises:
            ValueError: where it is missing or no text, naming the request.
        """
        return [text_field(request, name, number) for number, request in enumerate(requests)]

    def outputs(
        self,
        encodings: Sequence[Tokens],
        batch_size: int = 32,
        marks: Sequence[Mapping[str, Sequence[int]]] | None = None,
    ) -> list[dict[str, NDArray[Any]]]:
        """Runs the model, rows of similar length together.

        Args:
            encodings: not longer than the model reads.
            batch_size: rows in a batch.
            marks: for each, what the graph asks of its tokens beside their ids (`LabelledTask.graph_inputs`), by name.

        Returns:
            For each its row of every output, by name. One with numbers for each token goes on after the text's last:
            ``len(encoding.ids)`` of them count.

        Raises:
            ValueError: for one without any token, or a batch size below 1.
        """
        for number, encoding in enumerate(encodings):
            if not encoding.ids:
                raise ValueError(f"request {number} has no tokens")
        reader = TextReader(self.cutting, self.model)
        rows: list[dict[str, NDArray[Any]]] = [{} for _ in encodings]
        for numbers in by_length(encodings, batch_size):
            inputs = reader.batch([encodings[number] for number in numbers])
            for name in marks[numbers[0]] if marks is not None else ():
                assert marks is not None
                inputs[name] = np.zeros_like(inputs["input_ids"])
                for place, number in enumerate(numbers):
                    inputs[name][place, : len(marks[number][name])] = marks[number][name]
            found = self.model(inputs)
            for place, number in enumerate(numbers):
                rows[number] = {name: values[place] for name, values in found.items()}
        return rows


def text_field(request: Any, name: str, number: int) -> str:
    """A text of a request.

    Args:
        request: a record.
        name: of the text.
        number: of the request, for messages.

    Raises:
        ValueError: where it is missing or no text, naming the request.
    """
    if not isinstance(request, Mapping) or not isinstance(value := request.get(name), str):
        has = ", ".join(map(repr, request)) if isinstance(request, Mapping) else type(request).__name__
        raise ValueError(f"request {number}: expected a text under {name!r}, and it has {has or 'nothing'}")
    return value


def located(error: ValueError, places: Sequence[str]) -> ValueError:
    """An error about a request, with where that stands in the place of its number.

    Args:
        error: which `TextAnalyser.answers` has raised.
        places: of the requests.
    """
    told = _REQUEST.match(str(error))
    return error if told is None else ValueError(f"{places[int(told[1])]}{str(error)[told.end() :]}")


def difference(found: Any, wanted: Any, tolerance: float, where: str = "") -> str:
    """What differs between two plain values, in one line; empty for nothing.

    Args:
        found: what there is.
        wanted: what was expected.
        tolerance: by how much numbers with a fraction may differ.
        where: the place in a larger value.
    """
    at = f"{where}: " if where else ""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        if found.keys() != wanted.keys():
            return f"{at}has {', '.join(map(str, found))} instead of {', '.join(map(str, wanted))}"
        parts = ((f"{where}.{name}".strip("."), found[name], value) for name, value in wanted.items())
    elif isinstance(wanted, list) and isinstance(found, list):
        if len(found) != len(wanted):
            return f"{at}{len(found)} instead of {len(wanted)}"
        parts = ((f"{where}[{index}]", mine, its) for index, (mine, its) in enumerate(zip(found, wanted, strict=True)))
    elif isinstance(wanted, float) and isinstance(found, int | float):
        return "" if abs(found - wanted) <= tolerance else f"{at}{found:.4g} instead of {wanted:.4g}"
    else:
        return "" if found == wanted else f"{at}{found!r} instead of {wanted!r}"
    return next((line for line in (difference(mine, its, tolerance, place) for place, mine, its in parts) if line), "")


def softmax(scores: NDArray[Any]) -> NDArray[np.float64]:
    """Probabilities over the last axis."""
    wide = scores.astype(np.float64)
    exponents = np.exp(wide - wide.max(-1, keepdims=True))
    found: NDArray[np.float64] = exponents / exponents.sum(-1, keepdims=True)
    return found
