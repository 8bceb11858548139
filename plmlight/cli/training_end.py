"""What ``fit`` says when it has ended: where its checkpoints are, and what can be typed next."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from pydoc import locate

import lightning.pytorch as pl
from jsonargparse import Namespace

from plmlight.callbacks import Checkpoints
from plmlight.cli.question import question
from plmlight.cli.seeds import split_seeds
from plmlight.data import LabelledPairs
from plmlight.tasks import Task


def what_next(trainer: pl.Trainer, task: Task, config: Namespace) -> str:
    """Where the checkpoint is, and the commands that export it and ask its bundle; nothing where none was written.

    Args:
        trainer: has trained.
        task: what was trained.
        config: of the command.
    """
    path = _last_checkpoint(trainer)
    if path is None:
        return ""
    bundle = Path("bundles") / Path(trainer.default_root_dir).name
    files = config.data.get("init_args.files")  # of a user's own data there may be no arguments at all
    python = files in ("python-stdlib", ["python-stdlib"])
    pairs = isinstance(cls := locate(config.data.class_path), type) and issubclass(cls, LabelledPairs)
    return (
        f"\nThe checkpoint is {path}{_better(trainer)}. Next:\n"
        f"  python -m plmlight export --checkpoint {path} --output {bundle}\n"
        f"  python -m plmlight infer {bundle} {question(task, python, pairs)}"
    )


def words_to_go_on(argv: Sequence[str], config: Namespace, seed: int | None, checkpoint: Path) -> str:
    """The words after ``plmlight``, for a shell, that go on with a run.

    Args:
        argv: the words of this process after its name, which need not be those of ``fit``.
        config: of the run.
        seed: which one of several it had.
        checkpoint: to go on from.
    """
    if argv[:1] != ["fit"]:
        return shlex.join(["fit", "...", "--ckpt_path", str(checkpoint)])
    words = split_seeds(argv)[1]
    if seed is not None:
        words += ["--trainer.default_root_dir", config.trainer.default_root_dir, "--seed_everything", str(seed)]
        for part in ("model", "data"):
            if "seed" in (config[part].get("init_args") or ()):
                words += [f"--{part}.seed", str(seed)]
    return shlex.join([*words, "--ckpt_path", str(checkpoint)])


def _last_checkpoint(trainer: pl.Trainer) -> Path | None:
    for callback in trainer.checkpoint_callbacks:
        path = getattr(callback, "last_model_path", "") or getattr(callback, "best_model_path", "")
        if path:
            return Path(os.path.relpath(path))
    return None


def _better(trainer: pl.Trainer) -> str:
    """Where a checkpoint is that validation liked more than the last, in words."""
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, Checkpoints) and callback.monitor and callback.best_model_path:
            best, last = callback.best_model_score, trainer.callback_metrics.get(callback.monitor)
            if best is not None and last is not None and best < last:
                path = os.path.relpath(callback.best_model_path)
                return f"; {path} has a {callback.monitor} of {best:.4g} instead of {last:.4g}"
    return ""
