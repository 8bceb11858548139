from __future__ import annotations

from collections.abc import Sequence

from plmlight.data.classified import ClassifiedData, OnError
from plmlight.data.label_files import FileFormat
from plmlight.data.labelled_examples import LabelReader, ProblemKind
from plmlight.text import ClassName, TokenizerKind


class LabelledPairs(ClassifiedData):
    """Pairs of texts with the name of their class (does one follow from the other?), or with a score.

    Args:
        files: to train on, where that is done: ``.csv``, or ``.tsv`` (no quotes), with a header; ``.jsonl``,
            ``.parquet``; ``dataset:`` names; text files whose columns, parted by TABs, are given by number.
        first_field: the column or key of the first text; of a table without a header the number of the column, from 1.
        second_field: of the second text.
        label_field: of the label.
        labels: the names of the classes, in order, or a file with one a line; then files may have their numbers, from
            0. By default the names in ``files``, sorted, and from the command line those of a checkpoint.
        problem: what labels are: one class, any number of them, or a number (what it is called is ``label_field``).
            From the command line it is the model's.
        label_separator: between the labels of a text, where a file has them in one field.
        file_format: what files are, whatever their names say.
        encoding: of files: ``utf-8``, ``latin-1``, ``gb18030``, ...
        on_error: what is done where an example cannot be used (an empty text, an unknown label): ``stop``, or ``skip``
            it; what is left out is counted, and listed in a file in ``cache_folder``.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``.
        validation_fraction: how large a part, at random, the same one for every seed, of each class as much as of all;
            0 for none.
        folds: cut ``files`` into so many parts, each class alike, of which ``fold`` is held out, in place of
            ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on; they need no labels.
        max_length: tokens of a pair at most, special ones included; what is longer is cut. From the command line it is
            the checkpoint's, or the network's.
        batch_size: pairs in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files or labels that cannot be used, naming file and line.
    """

    def __init__(
        self,
        files: str | list[str] | None = None,
        first_field: str | int = "sentence1",
        second_field: str | int = "sentence2",
        label_field: str | int = "label",
        labels: Sequence[ClassName] | str | None = None,
        problem: ProblemKind = "single-label",
        label_separator: str = ",",
        file_format: FileFormat = "auto",
        encoding: str = "utf-8",
        on_error: OnError = "stop",
        tokenizer: str | None = None,
        tokenizer_kind: TokenizerKind = "wordpiece",
        tokenizer_vocab_size: int = 8192,
        tokenizer_lowercase: bool = False,
        validation_files: str | list[str] | None = None,
        validation_fraction: float = 0.1,
        folds: int | None = None,
        fold: int = 0,
        test_files: str | list[str] | None = None,
        predict_files: str | list[str] | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        super().__init__(
            {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files},
            LabelReader(
                (first_field, second_field),
                label_field,
                problem,
                label_separator,
                file_format,
                encoding,
                on_error == "skip",
            ),
            labels,
            None,
            validation_fraction,
            folds,
            fold,
            max_length,
            batch_size,
            max_tokens,
            seed,
            num_workers,
            cache_folder,
        )
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)
