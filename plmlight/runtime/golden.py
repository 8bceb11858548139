"""Replaying the requests whose answers were recorded when the bundle was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from plmlight.decoding import DecodingOptions
from plmlight.runtime.generation import GenerationModel


@dataclass(frozen=True)
class Replay:
    """A golden request and what came of it here.

    Attributes:
        prompt: the request's text.
        difference: what differs from the record, in one line; empty when nothing does.
    """

    prompt: str
    difference: str


def replay(model: GenerationModel) -> Iterator[Replay]:
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
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"{path}: holds no request")
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
            prompt, ids, wanted, text = (record[key] for key in ("prompt", "prompt_ids", "token_ids", "text"))
            options = DecodingOptions(**record["options"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}:{number}: not a golden request: {error}") from error
        yield Replay(prompt, _difference(model, prompt, ids, options, wanted, text))


def _difference(
    model: GenerationModel, prompt: str, ids: list[int], options: DecodingOptions, wanted: list[int], text: str
) -> str:
    found = model.encode(prompt)
    if found != ids:
        return f"the tokenizer gives {found}, the record says {ids}"
    answer = model.generate([prompt], options)[0][0]
    if answer.token_ids != wanted:
        place = next(
            (i for i, (a, b) in enumerate(zip(answer.token_ids, wanted, strict=False)) if a != b),
            min(len(answer.token_ids), len(wanted)),
        )
        return f"token {place} differs: {answer.token_ids[place:][:1]} instead of {wanted[place:][:1]}"
    return "" if answer.text == text else f"the text is {answer.text!r}, the record says {text!r}"
