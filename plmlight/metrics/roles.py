"""Precision, recall and F1 of the arguments of predicates, as the shared task of CoNLL-2005 counts them."""

from __future__ import annotations

from collections.abc import Sequence

from plmlight.metrics.spans import KindSpan, SpanCounts
from plmlight.text.tagging import spans_of

PREDICATE = "V"
"""The role of the predicate itself, which is given and not scored."""
CONTINUED = "C-"
"""Before the role of a part of an argument that is not its first."""


def arguments_of(tags: Sequence[str]) -> list[KindSpan]:
    """The arguments that tags mark (Carreras and Màrquez 2005, aclanthology.org/W05-0620, section 2).

    An argument with a part ``C-A1`` is right where all of its parts are: such a part belongs to the last ``A1`` before
    it, and where there is none, it is an argument ``A1`` by itself.

    Args:
        tags: BIO, of the words of a sentence.

    Returns:
        For each its role, the first word of each part, and the one behind each part's last.
    """
    found: list[tuple[str, tuple[int, ...], tuple[int, ...]]] = []
    for kind, start, end in spans_of(tags, "BIO"):
        role = kind.removeprefix(CONTINUED)
        before = [place for place, (name, _, _) in enumerate(found) if name == role] if role != kind else []
        if before:
            _, starts, ends = found[before[-1]]
            found[before[-1]] = role, (*starts, start), (*ends, end)
        else:
            found.append((role, (start,), (end,)))
    return [argument for argument in found if argument[0] != PREDICATE]


def role_counts(gold: Sequence[Sequence[str]], found: Sequence[Sequence[str]]) -> SpanCounts:
    """Counts the arguments of predicates.

    Args:
        gold: the tags of each predicate's sentence.
        found: those that a model gave.

    Returns:
        The counts, whose kinds are the roles.
    """
    return SpanCounts.of([arguments_of(tags) for tags in gold], [arguments_of(tags) for tags in found])
