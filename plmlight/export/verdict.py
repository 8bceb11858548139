"""What was measured of a bundle, and whether it may be used."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Bound = Literal["at most", "at least"]


@dataclass(frozen=True)
class Check:
    """One thing that was measured and judged.

    Attributes:
        name: what.
        graph: of which graph; empty for the bundle.
        measured: the value; None when it could not be measured, which is a failure.
        limit: what it is judged by.
        bound: whether the limit is the most or the least.
        passed: whether it holds.
        detail: how it was measured, or why it could not be.
    """

    name: str
    graph: str
    measured: float | None
    limit: float
    bound: Bound
    passed: bool
    detail: str


@dataclass
class Verdict:
    """The judgement of a bundle.

    Attributes:
        recipe: the recipe's name.
        provider: what the recipe is for.
        computed_on: where the checks ran, which is not always the provider.
        weights_sha256: of the trained weights.
        checks: every one must hold.
        measurements: the error of each tested shape: graph, batch, length, padded, error, and a decoder's past.
        timings: seconds of exporting, milliseconds of a prompt and of a token, or of a text, by graph; for orientation.
        versions: of what the graphs were made with.
        files: name to ``sha256`` and ``bytes`` of every file but the verdict's own.
    """

    recipe: str
    provider: str
    computed_on: str
    weights_sha256: str
    checks: list[Check] = field(default_factory=list)
    measurements: list[dict[str, Any]] = field(default_factory=list)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether the bundle may be used: something was checked, and everything holds."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """The content of verdict.json."""
        return {"passed": self.passed, **asdict(self)}

    def summary(self) -> str:
        """A few lines for the terminal: the judgement, and each check."""
        lines = [f"{'PASSED' if self.passed else 'FAILED'}: recipe {self.recipe}, checked on {self.computed_on}"]
        width = max((len(f"{check.graph} {check.name}") for check in self.checks), default=0)
        for check in self.checks:
            label = f"{check.graph} {check.name}".strip()
            mark = "ok  " if check.passed else "FAIL"
            lines.append(f"  {mark} {label:<{width}}  {shown(check.measured)}  ({check.bound} {shown(check.limit)})")
            if not check.passed:
                lines.append(f"       {check.detail}")
        return "\n".join(lines)


def judge(
    name: str, graph: str, limit: float, bound: Bound, detail: str, measure: Callable[[], float | tuple[float, str]]
) -> Check:
    """Measures and judges.

    Args:
        name: of the check.
        graph: of the graph.
        limit: the most or the least.
        bound: which of the two.
        detail: how it is measured.
        measure: gives the value, and perhaps a remark to add to the detail.

    Returns:
        The check. Whatever keeps the value from being measured, and a value that is not a number, fails it.
    """
    try:
        value = measure()
        measured, remark = value if isinstance(value, tuple) else (value, "")
        measured = float(measured)
    except Exception as error:  # a check that cannot be evaluated is a failure, whatever the reason
        reason = " ".join(str(error).split()) or type(error).__name__
        return Check(name, graph, None, limit, bound, False, f"could not be evaluated: {reason}")
    passed = measured <= limit if bound == "at most" else measured >= limit
    return Check(name, graph, measured if math.isfinite(measured) else None, limit, bound, passed, detail + remark)


def count(values: Iterable[bool]) -> float:
    """The share of true ones.

    Raises:
        ValueError: when there are none at all.
    """
    found = list(values)
    if not found:
        raise ValueError("nothing was compared")
    return sum(found) / len(found)


def shown(value: float | None) -> str:
    """A measured value as a person reads it."""
    if value is None:
        return "not measured"
    return f"{value:.3g}" if 0 < abs(value) < 0.01 else f"{value:.4g}"
