"""Tables of plain values: what tasks and data tell of themselves, for a page to show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

Value = str | int | float | None
"""A cell: a text, a count, a number with a fraction, or nothing."""


@dataclass(frozen=True)
class Table:
    """A table with a title.

    Attributes:
        title: what it shows.
        heads: of the columns.
        rows: a cell a column each.
        text: what a reader should know about it.
        confusion: whether it is a confusion matrix: after the first cell of a row as many counts as there are rows.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Value]]
    text: str = ""
    confusion: bool = False


@dataclass(frozen=True)
class Mistake:
    """What a model said wrongly.

    Attributes:
        sample: the number of the sample in its data set.
        label: what is right: a text, or for words of a sentence the number of each with what is right for it.
        said: what the model said, in the same way.
        weight: how bad it is: how sure the model was, or how far off.
    """

    sample: int
    label: str | tuple[tuple[int, str], ...]
    said: str | tuple[tuple[int, str], ...]
    weight: float


@dataclass(frozen=True)
class Analysis:
    """What was found on a data set beside its measures.

    Attributes:
        tables: such as the scores of each class.
        mistakes: the worst first.
        weight: what the mistakes' weights are.
    """

    tables: Sequence[Table] = ()
    mistakes: Sequence[Mistake] = ()
    weight: str = "probability"
