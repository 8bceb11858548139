"""Replaying the requests whose answers were recorded when the bundle was made."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from plmlight.decoding import DecodingOptions
from plmlight.runtime.analysis import AnalysisModel
from plmlight.runtime.bundle_model import BundleModel
from plmlight.runtime.encoding import EmbeddingModel, FillingModel
from plmlight.runtime.generation import GenerationModel
from plmlight.runtime.translation import TranslationModel
from plmlight.runtime.words import WordModel

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Replay:
    """A golden request and what came of it here.

    Attributes:
        prompt: the request's text.
        difference: what differs from the record, in one line; empty when nothing does.
    """

    prompt: str
    difference: str


def replay(model: BundleModel) -> Iterator[Replay]:
    """Runs a bundle's golden requests again.

    Args:
        model: the bundle.

    Yields:
        One result a request.

    Raises:
        ValueError: when the bundle has no golden requests or they can not be read.
    """
    path = model.bundle.folder / "golden.jsonl"
    if not path.is_file():
        raise ValueError(f"{path}: missing, so there is nothing to replay")
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
    if not lines:
        raise ValueError(f"{path}: holds no request")
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            asked, again = _request(model, record)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: not a golden request: {error}") from error
        yield Replay(asked, again())


def _request(model: BundleModel, record: Record) -> tuple[str, Callable[[], str]]:
    """The text of a record, and what answers it again and says what differs; reading the record fails here."""
    if isinstance(model, FillingModel):
        return record["text"], _filling(model, record)
    if isinstance(model, AnalysisModel):
        return " | ".join(map(str, record["request"].values())), _analysis(model, record)
    if isinstance(model, EmbeddingModel | WordModel):
        return record["text"], _embedding(model, record)
    assert isinstance(model, GenerationModel | TranslationModel), type(model)
    return record[_asked(model)], _generation(model, record)


def _asked(model: GenerationModel | TranslationModel) -> str:
    """What a request's text is called."""
    return "source" if isinstance(model, TranslationModel) else "prompt"


def _generation(model: GenerationModel | TranslationModel, record: Record) -> Callable[[], str]:
    key = _asked(model)
    prompt, ids, wanted, text = (record[name] for name in (key, f"{key}_ids", "token_ids", "text"))
    options = DecodingOptions(**record["options"])

    def again() -> str:
        if difference := _tokens(model.encode(prompt), ids):
            return difference
        answer = model.generate([prompt], options)[0][0]
        if answer.token_ids != wanted:
            place = next(
                (i for i, (a, b) in enumerate(zip(answer.token_ids, wanted, strict=False)) if a != b),
                min(len(answer.token_ids), len(wanted)),
            )
            return f"token {place} differs: {answer.token_ids[place:][:1]} instead of {wanted[place:][:1]}"
        return "" if answer.text == text else f"the text is {answer.text!r}, the record says {text!r}"

    return again


def _filling(model: FillingModel, record: Record) -> Callable[[], str]:
    text, ids, tolerance = record["text"], record["token_ids"], float(record["tolerance"])
    wanted = [[(int(each["token_id"]), float(each["score"])) for each in mask] for mask in record["masks"]]

    def again() -> str:
        if difference := _tokens(model.tokenizer.encode(text).ids, ids):
            return difference
        found = model.fill([text], top_k=max(map(len, wanted)))[0]
        for place, (mask, expected) in enumerate(zip(found, wanted, strict=True)):
            scores = {each.token_id: each.score for each in mask}
            for rank, (token, score) in enumerate(expected):
                # a token that dropped out of the list scores at most as much as the last one of it
                here = scores.get(token, min(mask[-1].score, score))
                if not abs(here - score) <= tolerance:
                    return f"mask {place}: token {token} scores {here:.4g} instead of {score:.4g}"
                if not abs(mask[rank].score - score) <= tolerance:
                    return f"mask {place}: number {rank} scores {mask[rank].score:.4g} instead of {score:.4g}"
        return ""

    return again


def _embedding(model: EmbeddingModel | WordModel, record: Record) -> Callable[[], str]:
    text, ids, tolerance = record["text"], record["token_ids"], float(record["tolerance"])
    wanted = np.asarray(record["embedding"], dtype=np.float32)

    def again() -> str:
        cut = [model.tokenizer.token_to_id(text)] if isinstance(model, WordModel) else model.tokenizer.encode(text).ids
        if difference := _tokens(cut, ids):
            return difference
        found = model.embed([text])[0]
        if found.shape != wanted.shape:
            return f"{len(found)} numbers instead of {len(wanted)}"
        error = float(np.linalg.norm(found - wanted) / max(float(np.linalg.norm(wanted)), 1e-12))
        return "" if error <= tolerance else f"the vector is {error:.2g} of its length away from the recorded one"

    return again


def _analysis(model: AnalysisModel, record: Record) -> Callable[[], str]:
    request, wanted, tolerance = dict(record["request"]), dict(record["answer"]), float(record["tolerance"])
    return lambda: model.difference(model.answers([request])[0], wanted, tolerance)


def _tokens(found: Sequence[int | None], wanted: list[int]) -> str:
    return "" if list(found) == wanted else f"the tokenizer gives {found}, the record says {wanted}"
