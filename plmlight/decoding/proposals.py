"""From a model's logits to what may come next in each row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from array_api_compat import array_namespace

from plmlight.decoding.logits import (
    ban,
    column,
    draw,
    likeliest,
    log_softmax,
    normaliser,
    penalise_repetition,
    to_list,
    truncate,
)
from plmlight.decoding.model import Array
from plmlight.decoding.row import Row
from plmlight.decoding.search import Beam, DiverseBeams, Proposal, Search

Rows = Sequence[tuple[Search, Row]]
"""The search and the row behind each row of a batch."""


def propose(logits: Array, rows: Rows) -> Proposal:
    """What may come next in each row.

    Where no row draws at random or penalises repetition, the vocabulary is read as few times as can be: forbidden
    tokens are then left out of the best ones, and only these become logarithms of probabilities.

    Args:
        logits: [B, V].
        rows: the search and the row behind each of them.

    Returns:
        The scores and tokens of all rows, as many as the widest search wants.
    """
    width = max(search.width for search, _ in rows)
    banned = [set(row.banned()) for _, row in rows]
    whole = any(_needs_whole(search, row, ban) for (search, row), ban in zip(rows, banned, strict=True))
    logits = process(logits, rows) if whole else single_precision(logits)
    scores, tokens = likeliest(logits, width if whole else width + max(map(len, banned)))
    highest = scores[:, :1].copy()
    if not whole:
        for place, each in enumerate(banned):
            if each and len(each) < logits.shape[-1]:
                scores[place, np.isin(tokens[place], list(each))] = -np.inf
    places = [place for place, (search, _) in enumerate(rows) if search.normalised and not (whole and _is_beam(search))]
    if places:
        rest = normaliser(logits, highest)
        scores[places] = (scores[places] - highest[places]) - rest[places]
    _settle(scores, tokens, _taken(logits, rows))
    return Proposal(scores, tokens)


def _taken(logits: Array, rows: Rows) -> dict[int, int]:
    """The tokens of rows that leave no choice, as they were drawn at random or have to come."""
    taken: dict[int, int] = {}
    if any(row.options.samples for _, row in rows):
        drawn = to_list(draw(logits, [search.uniform() for search, _ in rows]))
        taken = {place: drawn[place] for place, (_, row) in enumerate(rows) if row.options.samples}
    forced = {place: row.forced() for place, (_, row) in enumerate(rows)}
    return taken | {place: token for place, token in forced.items() if token is not None}


def _settle(scores: np.ndarray, tokens: np.ndarray, taken: dict[int, int]) -> None:
    """Leaves rows one token each, which is certain."""
    for place, token in taken.items():
        scores[place] = -np.inf
        scores[place, 0], tokens[place, 0] = 0.0, token


def process(logits: Array, rows: Rows) -> Array:
    """Applies each row's options to its logits, in the order of Hugging Face ``generate``.

    Args:
        logits: [B, V].
        rows: the search and the row behind each of them.

    Returns:
        Scores [B, V]: logits, or log-probabilities for rows of a beam search; a new array where anything is changed.
    """
    xp = array_namespace(logits)
    options = [row.options for _, row in rows]
    logits = single_precision(logits)
    beams = [_is_beam(search) for search, _ in rows]
    if any(beams):
        logits = xp.where(column(beams, logits) > 0, log_softmax(logits), logits)
    penalties = [option.repetition_penalty for option in options]
    if any(penalty != 1 for penalty in penalties):
        seen = np.stack([row.seen(int(logits.shape[-1])) for _, row in rows])
        logits = penalise_repetition(logits, seen, penalties)
    banned = [row.banned() for _, row in rows]
    if any(banned):
        logits = ban(logits, banned)
    if any(option.samples for option in options):
        temperatures = [(option.temperature or 1.0) if option.samples else 1.0 for option in options]
        if any(temperature != 1 for temperature in temperatures):
            logits = logits / column(temperatures, logits)
        logits = truncate(
            logits,
            [option.top_k if option.samples else 0 for option in options],
            [option.top_p if option.samples else 1.0 for option in options],
            [option.min_p if option.samples else 0.0 for option in options],
        )
    return logits


def single_precision(logits: Array) -> Array:
    """Logits as float32, unless they are float64."""
    xp = array_namespace(logits)
    return logits if logits.dtype in (xp.float32, xp.float64) else xp.astype(logits, xp.float32)


def _needs_whole(search: Search, row: Row, banned: set[int]) -> bool:
    """Whether a row's options change its whole distribution; what is forbidden changes it, unless beams search."""
    options = row.options
    contrasts = search.normalised and not _is_beam(search)
    return options.samples or options.repetition_penalty != 1 or (contrasts and bool(banned))


def _is_beam(search: Search) -> bool:
    return isinstance(search, Beam | DiverseBeams)
