"""`TrainingCLI`: the parser, the checks, the trainer and the run of one of the four commands."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("JSONARGPARSE_DEPRECATION_WARNINGS", "off")  # Lightning's own calls

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.callbacks import ProgressBar as LightningProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger
from rich import reconfigure

from plmlight.callbacks import (
    AtomicCheckpointIO,
    Checkpoints,
    NoProfiler,
    ProgressBar,
    Report,
    StopsCleanly,
    Throughput,
)
from plmlight.cli.training_end import what_next, words_to_go_on
from plmlight.cli.training_links import check_links, check_tokenizer, link_data, use_text_of, with_data
from plmlight.cli.training_parser import TrainingParser, classes_first
from plmlight.interop import read_checkpoint
from plmlight.loading import load
from plmlight.nn.counting import Counted, cannot_go_on
from plmlight.tasks import Distillation, ScoredTask, Task, task_from_checkpoint
from plmlight.text import replace_file

DESCRIPTIONS = {
    "fit": "Trains a task on a corpus.",
    "validate": "Runs the validation set through a checkpoint.",
    "test": "Runs the test set through a checkpoint.",
    "predict": "Scores, answers or continues the predict set with a checkpoint, and writes predictions.jsonl.",
}

LITERAL = {"markup": False, "emoji": False}
"""How a console prints measures: names of classes may look like its markup."""


class TrainingCLI(LightningCLI):
    """One command with its own parser; any `Task` and any `LightningDataModule` by class name or path.

    Args:
        command: which one.
        argv: the words after it.
        seed: of everything, in the place of the configuration's; the run is in its folder ``seed-<seed>``.
    """

    def __init__(self, command: str, argv: list[str], seed: int | None = None) -> None:
        self.command, self.seed = command, seed
        TrainingParser.called = f"plmlight {command}"
        super().__init__(
            Task,
            pl.LightningDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            args=classes_first(argv if command == "fit" else with_data(argv)),
            run=False,
            parser_class=TrainingParser,
            parser_kwargs={"description": DESCRIPTIONS[command], "allow_abbrev": False},
            save_config_callback=SaveConfigCallback if command == "fit" else None,
            save_config_kwargs={"overwrite": True},
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
        )

    def add_core_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """``--trainer``, ``--model`` (only ``fit`` must have it) and ``--data``."""
        fit = self.command == "fit"
        parser.add_lightning_class_args(self.trainer_class, "trainer")
        parser.add_lightning_class_args(self._model_class, "model", subclass_mode=True, required=fit)
        parser.add_lightning_class_args(self._datamodule_class, "data", subclass_mode=True, required=True)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """``--ckpt_path``, and what the network takes from the data."""
        text = {
            "fit": "go on with this checkpoint's run: weights, optimiser, position in the data; last is the run's own",
            "predict": "the checkpoint; its task is rebuilt from it unless --model says otherwise",
        }
        parser.add_argument("--ckpt_path", type=str | None, default=None, help=text.get(self.command, text["predict"]))
        if self.command == "fit":
            parser.add_argument(
                "--seeds",
                type=str | None,
                default=None,
                help="several runs: 0,1,2 makes one in seed-0, seed-1 and seed-2, and says how far they lie apart",
            )
        if self.command == "predict":
            parser.add_argument(
                "--output", type=str | None, default=None, help="the file; predictions.jsonl by default"
            )
        network = "model.init_args.network.init_args"
        for name in ("vocab_size", "pad_token_id"):
            parser.link_arguments(f"data.{name}", f"{network}.{name}", apply_on="instantiate")
        model = "model.init_args"
        targets = {"target_vocab_size": network, "labels": model, "max_length": model, "markers": model, "unit": model}
        for name, owner in targets.items():  # of data that has them; a class without such an argument is left alone
            parser.link_arguments("data", f"{owner}.{name}", compute_fn=_attribute(name), apply_on="instantiate")

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses ``args``; the process's own words are not looked at."""
        self.config = parser.parse_args(args)
        if self.config.pop("seeds", None) is not None:  # words on the command line do not come here
            raise ValueError("seeds: belongs on the command line, fit ... --seeds 0,1,2, not into a configuration")
        if self.seed is not None:
            if self.config.ckpt_path is not None:
                raise ValueError("--seeds makes a run of its own for each seed: ckpt_path does not go with it")
            self.config.seed_everything = self.seed
            for part in ("model", "data"):
                given = self.config[part].get("init_args")
                if given is not None and "seed" in given:
                    given.seed = self.seed

    def before_instantiate_classes(self) -> None:
        """Checks and fills in what depends on more than one class."""
        config = self.config
        self.rebuilt: Task | None = None
        rebuilds = config.get("model") is None
        files = [str(path) for path in config.get("config") or []]
        if config.trainer.default_root_dir is None and (files or not rebuilds):
            config.trainer.default_root_dir = str(Path("runs") / (Path(files[0]).stem if files else "run"))
        if self.seed is not None:
            config.trainer.default_root_dir = str(Path(config.trainer.default_root_dir) / f"seed-{self.seed}")
        if config.ckpt_path in ("last", "best"):
            config.ckpt_path = _of_run(config.trainer.default_root_dir, config.ckpt_path)
        if rebuilds:
            if config.ckpt_path is None:
                raise ValueError(f"{self.command} needs --ckpt_path CHECKPOINT, or --model with --config")
            self.rebuilt = task_from_checkpoint(config.ckpt_path)
            use_text_of(self.rebuilt, config)
        check_links(config)
        link_data(config, self.rebuilt)
        if config.trainer.default_root_dir is None:
            config.trainer.default_root_dir = str(Path("runs") / type(self.rebuilt).__name__)

    def instantiate_classes(self) -> None:
        """Builds data, task and trainer; the task gets the data's tokenizers, token counts and form of text."""
        super().instantiate_classes()
        if self.rebuilt is not None:
            self.model = self.rebuilt
        found = {name: getattr(self.datamodule, name, None) for name in ("tokenizer", "target_tokenizer", "text_form")}
        for name, value in found.items():
            if self.rebuilt is None and value is not None:
                setattr(self.model, name, value)
        counts = getattr(self.datamodule, "token_counts", None) if hasattr(self.model, "use_token_counts") else None
        if self.rebuilt is None and counts is not None:
            self.model.use_token_counts(counts)
        counts = getattr(self.datamodule, "label_counts", None) if hasattr(self.model, "use_label_counts") else None
        if self.rebuilt is None and counts is not None:
            labelled = sum(example.label is not None for example in self.datamodule.examples["fit"])
            self.model.use_label_counts(counts, labelled)
        if self.rebuilt is not None:
            self._check_facts()
        if found["tokenizer"] is not None:
            check_tokenizer(found["tokenizer"], found["target_tokenizer"], self.model, self.config)
        self.model.check_ready()

    def _check_facts(self) -> None:
        """Lets the data mark texts as the checkpoint's were, and refuses labels and markers that are not its."""
        arguments = self.config.data.get("init_args") or {}
        if getattr(self.model, "markers", None) and arguments.get("markers", ()) is None:
            self.datamodule.markers = self.model.markers
        for name in ("labels", "markers"):
            given = getattr(self.datamodule, name, None)
            if given is not None and given != (own := getattr(self.model, name, given)):
                raise ValueError(f"the data's {name} are {given}, the checkpoint's {own}: leave them out")

    def instantiate_trainer(self, **kwargs: Any) -> pl.Trainer:
        """Adds the callbacks and the logger that a run has unless the configuration brings its own."""
        settings = self.config_init["trainer"]
        given = settings.get("callbacks") or []
        callbacks = list(given) if isinstance(given, list | tuple) else [given]
        extra: list[tuple[type[pl.Callback], pl.Callback]] = []
        if self.command == "fit":
            extra += [(Throughput, Throughput()), (StopsCleanly, StopsCleanly())]
            if settings.get("enable_checkpointing") is not False and not settings.get("fast_dev_run"):
                extra.append((ModelCheckpoint, Checkpoints()))
        task = self.rebuilt or self.model
        if self.command != "predict" and isinstance(task, ScoredTask) and not settings.get("fast_dev_run"):
            extra.append((Report, Report()))
        console = {} if self.command == "fit" else LITERAL
        reconfigure(**console)
        if settings.get("enable_progress_bar") is not False:
            extra.append((LightningProgressBar, ProgressBar(console_kwargs=console)))
        callbacks += [made for kind, made in extra if not any(isinstance(c, kind) for c in callbacks)]
        if settings.get("logger") in (None, True):
            folder = settings["default_root_dir"]
            kwargs["logger"] = CSVLogger(folder, name="logs") if self.command == "fit" else False
        if settings.get("profiler") is None:
            kwargs["profiler"] = NoProfiler()
        plugins = settings.get("plugins") or []
        plugins = list(plugins) if isinstance(plugins, list | tuple) else [plugins]
        if not _is_sharded(settings.get("strategy")):
            plugins.append(AtomicCheckpointIO())
        self.callbacks = callbacks
        trainer: pl.Trainer = super().instantiate_trainer(callbacks=callbacks, plugins=plugins, **kwargs)
        return trainer

    def run(self) -> int:
        """Runs the command.

        Returns:
            The exit status: 130 where the user stopped it, 143 where SIGTERM did, as shells count signals.
        """
        path = self.config.ckpt_path
        if self.rebuilt is not None:
            path = None
        elif path is not None:
            self._check_fits(path)
        self._open_teachers()
        new = self._new_folders()
        try:
            method = getattr(self.trainer, self.command)
            result = method(self.model, datamodule=self.datamodule, ckpt_path=path, weights_only=True)
        except ValueError:
            if self.trainer.global_step == 0 and self.trainer.is_global_zero:
                _remove(new)
            raise
        except (SystemExit, KeyboardInterrupt):
            if not self.trainer.interrupted:
                raise
            return self._say_interrupted()
        if self.trainer.is_global_zero:
            if self.command == "fit" and (told := what_next(self.trainer, self.model, self.config)):
                print(told)
            elif self.command == "predict":
                self._write_predictions(result or [])
        return 0

    def _open_teachers(self) -> None:
        """Opens the models that are learned from, of whatever kind they are."""
        for part in getattr(self.model, "auxiliaries", ()) if self.command == "fit" else ():
            if isinstance(part, Distillation):
                part.use_teacher(load(part.teacher))

    def _new_folders(self) -> list[Path]:
        """The folders that logs will make, the innermost first: a run that cannot begin leaves none of them."""
        logger = self.trainer.logger
        if self.command != "fit" or not isinstance(logger, CSVLogger | None):
            return []
        folder = Path(self.trainer.default_root_dir if logger is None else logger.log_dir)
        return [path for path in (folder, *folder.parents) if not path.exists()]

    def _check_fits(self, path: str) -> None:
        """Says in one line what Lightning would say in a traceback, much later."""
        if isinstance(self.model.network, Counted):  # what was counted decides on the sizes
            if self.command == "fit":
                raise ValueError(cannot_go_on(self.model.network, path))
            return
        checkpoint = read_checkpoint(path)
        mine = {name: tuple(tensor.shape) for name, tensor in self.model.state_dict().items()}
        theirs = {name: tuple(tensor.shape) for name, tensor in checkpoint["state_dict"].items()}
        for name in sorted(mine.keys() | theirs.keys()):
            if mine.get(name) != theirs.get(name):
                raise ValueError(
                    f"{path}: does not fit this configuration: {name} is {theirs.get(name, 'missing')} there and "
                    f"{mine.get(name, 'missing')} here"
                )
        tokenizer = self.model.tokenizer
        if tokenizer is not None and checkpoint.get("tokenizer") not in (None, tokenizer.to_str()):
            raise ValueError(f"{path}: was trained with another tokenizer than the data has now")

    def _say_interrupted(self) -> int:
        """Says how to go on, and gives the exit status."""
        stops = next((callback for callback in self.callbacks if isinstance(callback, StopsCleanly)), None)
        number = stops.signal if stops is not None and stops.signal is not None else signal.SIGINT
        told = "stopped by SIGTERM" if number == signal.SIGTERM else "interrupted"
        if stops is not None and stops.saved is not None and self.trainer.is_global_zero:
            words = words_to_go_on(sys.argv[1:], self.config, self.seed, stops.saved)
            print(f"plmlight fit: {told}; go on with:\n  python -m plmlight {words}", file=sys.stderr)
        elif self.trainer.is_global_zero:
            print(f"plmlight {self.command}: {told}; there was nothing to keep", file=sys.stderr)
        return 128 + number

    def _write_predictions(self, batches: list[dict[str, Any] | list[dict[str, Any]]]) -> None:
        path = Path(self.config.output or Path(self.trainer.default_root_dir) / "predictions.jsonl")
        rows: list[dict[str, Any]] = []
        for batch in batches:
            if isinstance(batch, list):
                rows += batch
                continue
            columns = {name: v.tolist() if isinstance(v, torch.Tensor) else v for name, v in batch.items()}
            rows += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        rows.sort(key=lambda row: row.get("sample_ids", 0))  # batches are of similar length
        with replace_file(path, "w") as handle:
            handle.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        print(f"wrote {path}")


def _attribute(name: str) -> Callable[[Any], Any]:
    """Gives an object's attribute, None where it has none."""
    return lambda owner: getattr(owner, name, None)


def _of_run(folder: str | None, which: str) -> str:
    """The last or the best checkpoint in a run's folder."""
    path = Path(folder or ".") / f"{which}.ckpt"
    if not path.exists():  # shards are a folder
        raise ValueError(f"ckpt_path {which!r}: there is no {path}; trainer.default_root_dir is the folder of the run")
    return str(path)


def _remove(folders: list[Path]) -> None:
    """Removes a folder, and those around it that are empty then."""
    for path in folders[:1]:
        shutil.rmtree(path, ignore_errors=True)
    for path in folders[1:]:
        if path.exists() and not any(path.iterdir()):
            path.rmdir()


def _is_sharded(strategy: Any) -> bool:
    return "ModelParallel" in type(strategy).__name__ or "model_parallel" in str(strategy)
