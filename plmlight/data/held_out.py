"""Which examples are held out of those to train on, to validate on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Mapping, Sequence

import numpy as np

from plmlight.data.sampling import Indices, Permutation


def held_out(
    groups: Sequence[Hashable | None],
    strata: Sequence[Hashable | None],
    classes: Sequence[Collection[str]],
    fraction: float,
    folds: int | None = None,
    fold: int = 0,
) -> list[bool]:
    """Chooses examples at random, the same ones each time, and of each stratum as much as of all.

    What is alone in its stratum stays in training, and so does the last example of a class: what training has not, no
    model knows.

    Args:
        groups: of each example: what is equal for those that must not be parted; None for nothing.
        strata: of each example: what each fold has its part of; None for nothing.
        classes: of each example.
        fraction: how much of all.
        folds: cut all into so many parts, of which one is held out; in place of ``fraction``.
        fold: which one, from 0.

    Returns:
        Whether each example is held out.

    Raises:
        ValueError: where there are too few examples.
    """
    keys = [("alone", place) if group is None else group for place, group in enumerate(groups)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    member = [numbers[key] for key in keys]
    if folds is not None and len(numbers) < folds:
        rest = " that may be parted" if len(numbers) < len(groups) else ""
        raise ValueError(f"folds {folds} needs at least {folds} examples, and there are {len(numbers)}{rest}")
    order = Permutation(len(numbers), 0, 0)[np.arange(len(numbers))]
    stratum = dict(zip(reversed(member), reversed(strata), strict=True))  # of a group that of its first
    sizes = Counter(stratum.values())
    if len(sizes) > 1:
        ranks = {stratum: rank for rank, stratum in enumerate(sizes)}
        ordered = sorted(order.tolist(), key=lambda number: ranks[stratum[number]])  # stable: at random within each
        order = np.array([number for number in ordered if sizes[stratum[number]] > 1], dtype=np.int64)
    has: dict[int, set[str]] = {number: set() for number in numbers.values()}
    for number, names in zip(member, classes, strict=True):
        has[number].update(names)
    taken = _without_the_last(_part(order, len(sizes) > 1, fraction, folds, fold).tolist(), has)
    if not 0 < len(taken) < len(numbers):
        way = "set validation_fraction 0" if folds is None else "leave folds out"
        raise ValueError(
            f"{len(numbers)} examples are too few to hold some out for validation, and to keep some of each class to "
            f"train on; {way}, or name validation_files"
        )
    return [number in taken for number in member]


def _part(order: Indices, stratified: bool, fraction: float, folds: int | None, fold: int) -> Indices:
    """A part of all; of what is in order of strata, as much of each."""
    if folds is not None:
        every = np.arange(len(order)) % folds == fold
        part: Indices = order[every] if stratified else np.array_split(order, folds)[fold]
    elif stratified:
        part = order[np.diff(np.floor(np.arange(len(order) + 1) * fraction + 0.5)) > 0]
    else:
        part = order[: max(1, round(len(order) * fraction))]
    return part


def _without_the_last(chosen: Sequence[int], classes: Mapping[int, Collection[str]]) -> set[int]:
    """Leaves out of what was chosen what has a class that nothing else has then."""
    left = Counter(name for names in classes.values() for name in names)
    taken = set()
    for number in chosen:
        if all(left[name] > 1 for name in classes[number]):
            left.subtract(classes[number])
            taken.add(number)
    return taken
