"""``fit --seeds 0,1,2``: the same run with several seeds, and how far its metrics lie apart."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from plmlight.text import replace_file

CONFIDENCE = 0.95


def split_seeds(argv: Sequence[str]) -> tuple[list[int], list[str]]:
    """Takes ``--seeds 0,1,2`` out of a command's words.

    Args:
        argv: the words.

    Returns:
        The seeds, none where the option is not there, and the other words.

    Raises:
        ValueError: for a value that is not a list of different seeds, or beside ``--ckpt_path`` or
            ``--seed_everything``.
    """
    words, given = list(argv), None
    for place, word in enumerate(words):
        if word == "--seeds" or word.startswith("--seeds="):
            taken = 1 if "=" in word else 2
            given = word.partition("=")[2] if taken == 1 else "".join(words[place + 1 : place + 2])
            words = words[:place] + words[place + taken :]
            break
    if given is None:
        return [], words
    parts = [part.strip() for part in given.strip("[]").split(",")]
    if not all(part.isdecimal() for part in parts) or len(set(map(int, parts))) < len(parts):
        raise ValueError(f"seeds {given!r}: expected different whole numbers with commas between them, such as 0,1,2")
    for other in ("--ckpt_path", "--seed_everything"):
        if any(word == other or word.startswith(f"{other}=") for word in words):
            raise ValueError(f"--seeds makes a run of its own for each seed: {other} does not go with it")
    return [int(part) for part in parts], words


def summary(metrics: Mapping[int, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """What several seeds say together.

    Args:
        metrics: of each seed its last metrics by name.

    Returns:
        Of each metric that all have: ``values`` in the order of the seeds, ``mean``, ``deviation`` (of a sample), and
        the ends of a 95 % interval of the mean (Student's t), ``low`` and ``high``; None where there is one seed.
    """
    from scipy import stats  # which takes a second to import, and is for those who ask for several seeds

    runs = list(metrics.values())
    found: dict[str, dict[str, Any]] = {}
    for name in (each for each in runs[0] if all(each in run for run in runs)):
        values = [run[name] for run in runs]
        mean, deviation, low, high = statistics.fmean(values), None, None, None
        if len(values) > 1:
            deviation = statistics.stdev(values)
            reach = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1)) * deviation / math.sqrt(len(values))
            low, high = mean - reach, mean + reach
        found[name] = {"values": values, "mean": mean, "deviation": deviation, "low": low, "high": high}
    return found


def report(folder: Path, metrics: Mapping[int, Mapping[str, float]]) -> None:
    """Prints the summary, and writes it to ``seeds.json``.

    Args:
        folder: where the runs lie.
        metrics: of each seed its last metrics by name.
    """
    found = summary(metrics)
    path = folder / "seeds.json"
    with replace_file(path, "w") as handle:
        handle.write(json.dumps({"seeds": list(metrics), "metrics": found}, indent=2) + "\n")
    width = max((len(name) for name in found), default=0)
    print(f"\n{len(metrics)} seeds: {', '.join(map(str, metrics))}")
    if not found:
        print("  nothing was validated: there is nothing to compare")
    for name, each in found.items():
        line = f"  {name:<{width}}  {each['mean']:.4f}"
        if each["deviation"] is not None:
            line += f"  deviation {each['deviation']:.4f}, 95 % interval {each['low']:.4f} to {each['high']:.4f}"
        print(line)
    print(f"wrote {path}")
