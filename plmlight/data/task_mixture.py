"""Several tasks of text to text, learned by one model."""

from __future__ import annotations

from dataclasses import dataclass

from plmlight.data.base import Stage, TokenData
from plmlight.data.bucketing import BucketedEvaluationLoader, BucketedTrainingLoader
from plmlight.data.loader import EpochLoader, SampleLoader
from plmlight.data.mixture import MixedSamples, TextOfTasks, draws
from plmlight.data.parallel_corpus import ParallelCorpus, read_pairs
from plmlight.data.sequences import OneSide, SequenceSamples, TooLong
from plmlight.text import TextForm, TokenizerKind


@dataclass
class MixedTask:
    """One task of a `TaskMixture`.

    Args:
        files: as in `ParallelCorpus`.
        prefix: text before each source, which tells the model what to do: "translate English to German: ".
        source_field: as in `ParallelCorpus`.
        target_field: as in `ParallelCorpus`.
        reverse: as in `ParallelCorpus`.
        validation_files: as in `ParallelCorpus`.
        test_files: as in `ParallelCorpus`.
        predict_files: as in `ParallelCorpus`.
        rate: how often it comes, relative to the others', in the place of the number of its samples.
    """

    files: str | list[str]
    prefix: str = ""
    source_field: str | None = None
    target_field: str | None = None
    reverse: bool = False
    validation_files: str | list[str] | None = None
    test_files: str | list[str] | None = None
    predict_files: str | list[str] | None = None
    rate: float | None = None


class TaskMixture(TokenData):
    """Several tasks as text to text, told apart by a prefix (Raffel et al. 2020, arXiv:1910.10683, section 2.4).

    A task comes as often as its rate says: ``min(samples, limit) ** (1 / temperature)``, relative to the others'
    (section 3.5.2: examples-proportional mixing, with an artificial limit and a temperature). An epoch has as many
    samples as all tasks together; of a task all samples come before one comes again, however many epochs that takes.
    Batches are as `ParallelCorpus` gives them apart, and mix tasks. Validation goes through all tasks.

    Args:
        tasks: by name, which is also how to ask for a task's prefix later.
        limit: K, the samples that a task counts at most; None for no limit. It does not go with rates.
        temperature: T; 1 for proportional, the larger the more alike.
        tokenizer: a tokenizer.json or a folder with one. None trains one on all tasks.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_fraction: the part of the tasks without ``validation_files`` that is held out; 0 for none.
        max_length: tokens of a source at most, special ones included; None for no limit. From the command line it is
            the network's.
        max_target_length: tokens of a target at most, likewise.
        too_long: as in `ParallelCorpus`.
        batch_size: samples in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, of sources and targets together, padding included.
        seed: of the order.
        num_workers: processes that read ahead. Reading is one indexing of a memory map, so 0 is usually best.
        cache_folder: where tokenizers and shards are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: when there is no task, a rate is not positive or stands beside a limit, or for what `ParallelCorpus`
            refuses.
    """

    def __init__(
        self,
        tasks: dict[str, MixedTask],
        limit: int | None = None,
        temperature: float = 1.0,
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "t5",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        validation_fraction: float = 0.005,
        max_length: int | None = None,
        max_target_length: int | None = None,
        too_long: TooLong = "truncate",
        batch_size: int = 8,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        super().__init__(validation_fraction, seed, num_workers, cache_folder)
        if not tasks:
            raise ValueError("tasks: a mixture needs at least one task")
        for name, task in tasks.items():
            if task.rate is not None and not task.rate > 0:
                raise ValueError(f"tasks.{name}: rate {task.rate:g} must be more than 0")
        without = [name for name, task in tasks.items() if task.rate is None]
        if 0 < len(without) < len(tasks):
            raise ValueError(f"tasks.{without[0]}: has no rate, but others have; give one to each task, or to none")
        if limit is not None and not without:
            raise ValueError(f"limit {limit} is of the tasks' samples, but the tasks have rates: leave out one of both")
        if not temperature > 0:
            raise ValueError(f"temperature {temperature:g} must be more than 0")
        if limit is not None and limit < 1:
            raise ValueError(f"limit {limit} must be at least 1")
        self.tasks, self.limit, self.temperature = tasks, limit, temperature
        files = [[task.files] if isinstance(task.files, str) else task.files for task in tasks.values()]
        self._names = {"fit": [name for each in files for name in each]}
        self.batch_size, self.max_tokens = batch_size, max_tokens
        if tokenizer is None:
            texts = [
                read_pairs(task.files, (task.source_field, task.target_field), task.reverse, task.prefix)
                for task in tasks.values()
            ]
            text = OneSide(TextOfTasks(texts), None)
            tokenizer = str(
                self._cache.tokenizer_folder(text, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)
            )
        self._corpora = {
            name: ParallelCorpus(
                task.files,
                form="apart",
                source_field=task.source_field,
                target_field=task.target_field,
                reverse=task.reverse,
                prefix=task.prefix,
                tokenizer=tokenizer,
                validation_files=task.validation_files,
                validation_fraction=validation_fraction,
                test_files=task.test_files,
                predict_files=task.predict_files,
                max_length=max_length,
                max_target_length=max_target_length,
                too_long=too_long,
                cache_folder=cache_folder,
            )
            for name, task in tasks.items()
        }
        self.tokenizer = next(iter(self._corpora.values())).tokenizer

    @property
    def text_form(self) -> TextForm:
        """The prefixes, by the names of the tasks."""
        return TextForm({name: task.prefix for name, task in self.tasks.items()})

    @property
    def _validates(self) -> bool:
        return any(corpus._validates for corpus in self._corpora.values())

    def samples(self, stage: Stage) -> MixedSamples:
        """The samples of a stage: drawn by rate for ``fit``, else each once.

        Args:
            stage: which.

        Returns:
            The samples, at least one.

        Raises:
            ValueError: when there is no text, or a sample is too long that must not be.
        """
        parts = [samples for corpus in self._corpora.values() if (samples := _samples(corpus, stage)) is not None]
        if not parts:
            raise self._no_text(stage, " of a task")
        counts = None
        if stage == "fit":
            sizes = [len(part) for part in parts]
            limited = [size if self.limit is None else min(size, self.limit) for size in sizes]
            rates = [task.rate or size for task, size in zip(self.tasks.values(), limited, strict=True)]
            counts = draws(rates, sum(sizes), self.temperature)
        return MixedSamples(parts, counts, self.seed, self.pad_token_id)

    def _training(self, **share: int) -> EpochLoader:
        return BucketedTrainingLoader(
            self.samples("fit"), self.batch_size, self.max_tokens, self.seed, self.num_workers, **share
        )

    def _evaluation(self, stage: Stage, **share: int) -> SampleLoader:
        return BucketedEvaluationLoader(
            self.samples(stage), self.batch_size, self.max_tokens, self.num_workers, **share
        )


def _samples(corpus: ParallelCorpus, stage: Stage) -> SequenceSamples | None:
    """The samples of a task, None where it has no text for the stage."""
    if not corpus.has_text(stage):
        return None
    found = corpus.samples(stage)
    assert isinstance(found, SequenceSamples)
    return found
