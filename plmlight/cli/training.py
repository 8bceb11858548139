"""``fit``, ``validate``, ``test`` and ``predict``: Lightning's command line over any task and any data."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException

import plmlight
from plmlight.cli.seeds import report, split_seeds
from plmlight.cli.training_cli import TrainingCLI


def main(command: str, argv: list[str]) -> int:
    """Runs one of the four commands.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        argv: the words after it.

    Returns:
        The exit status.

    Raises:
        ValueError: for input that does not fit, with one line for the user.
    """
    sys.path.insert(0, os.getcwd())  # a user's own classes, by class path
    for name in dir(plmlight):
        getattr(plmlight, name)  # short class names are looked up among what is imported
    _quieten(command)
    try:
        seeds, rest = split_seeds(argv) if command == "fit" else ([], argv)
        return _with_seeds(command, rest, seeds) if seeds else TrainingCLI(command, argv).run()
    except MisconfigurationException as error:
        raise ValueError(str(error)) from error
    except ValueError as error:
        first = _first(error)
        raise ValueError(str(first)) if isinstance(first, MisconfigurationException) else first from None


def _with_seeds(command: str, argv: list[str], seeds: list[int]) -> int:
    """Runs a command once a seed, each in a folder of its own, and says how far they lie apart."""
    metrics: dict[int, dict[str, float]] = {}
    for seed in seeds:
        cli = TrainingCLI(command, argv, seed)
        if status := cli.run():
            return status
        logged = cli.trainer.callback_metrics
        metrics[seed] = {name: float(value) for name, value in logged.items() if name.startswith(("val_", "test_"))}
        folder = Path(cli.trainer.default_root_dir).parent
        is_first = cli.trainer.is_global_zero
    if is_first:
        report(folder, metrics)
    return 0


def _quieten(command: str) -> None:
    """Leaves out what Lightning says about things that are meant to be so."""
    meant_outside_training = () if command == "fit" else ("Be aware that when using `ckpt_path`, callbacks",)
    logging.getLogger("lightning.pytorch.utilities.rank_zero").addFilter(
        lambda record: (
            not any(word in record.getMessage() for word in ("litlogger", "litmodels", "TPU available", "Seed set"))
        )
    )
    for message in (
        ".*exists and is not empty",
        ".*You have overridden `(transfer_batch_to_device|on_(before|after)_batch_transfer)`",
        ".*does not have many workers",
        ".*isinstance.treespec, LeafSpec",
        "Total length of `list` across ranks is zero",
        *meant_outside_training,
    ):
        warnings.filterwarnings("ignore", message)


def _first(error: BaseException) -> BaseException:
    """What went wrong first: jsonargparse wraps a constructor's error in its own, of many lines."""
    while (before := error.__cause__ or (None if error.__suppress_context__ else error.__context__)) is not None:
        error = before
    return error
