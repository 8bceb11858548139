"""Questions about texts, whose answers are parts of them: SQuAD 1.1 and 2.0, CMRC 2018."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from lightning.pytorch.utilities import rank_zero_info

from plmlight.data.base import Files, Stage
from plmlight.data.examples import Row
from plmlight.data.labelled import LabelledData, check_some
from plmlight.data.lines import lines
from plmlight.data.records import from_json, objects
from plmlight.data.sources import Source, open_dataset, resolve
from plmlight.decoding.spans import QuestionWindow, question_windows, tokens_of
from plmlight.text import TokenizerKind, nearest

OnWrongAnswer = Literal["error", "skip", "search"]
STRIDE = 128


@dataclass(frozen=True)
class Question:
    """A question about a context.

    Attributes:
        where: where it stands.
        id: its name in the data.
        question: the question.
        context: what it is about.
        answers: the true answers, each with where it begins in the context; none where there is no answer; None where
            it is not known.
    """

    where: str
    id: str
    question: str
    context: str
    answers: tuple[tuple[int, str], ...] | None

    def request(self) -> dict[str, Any]:
        """What a model is asked."""
        return {"id": self.id, "question": self.question, "context": self.context}

    @property
    def gold(self) -> list[str]:
        """The true answers."""
        return [text for _, text in self.answers or ()]


def read_questions(
    files: Files, on_error: OnWrongAnswer = "error", encoding: str = "utf-8", placed: bool = True
) -> tuple[list[Question], list[tuple[str, str]]]:
    """Reads questions.

    Args:
        files: ``.json`` as SQuAD and CMRC 2018 have it, {"data": [{"paragraphs": [{"context", "qas": [{"id",
            "question", "answers": [{"text", "answer_start"}]}]}]}]}; ``.jsonl`` or ``dataset:`` with {"id", "question",
            "context", "answers"} a line.
        on_error: what to do where an answer does not stand at its offset: ``search`` takes the nearest place where it
            does stand. ``skip`` leaves the answer out, and the question if it has no other; so does ``search`` where
            it stands nowhere.
        encoding: of files.
        placed: whether answers need a place; else one without an offset is taken as it is, with -1 as its place,
            enough to score by.

    Returns:
        The questions, and of each that was left out where it stands, and why.

    Raises:
        ValueError: naming file and question.
    """
    found: list[Question] = []
    skipped: list[tuple[str, str]] = []
    for source in _sources(files):
        for where, entry, context in _entries(replace(source, encoding=encoding)):
            question = _question(where, entry, context, on_error, placed)
            if isinstance(question, Question):
                found.append(question)
            else:
                skipped.append((where, question))
    return found, skipped


def _sources(files: Files) -> list[Source]:
    names = [files] if isinstance(files, str) else list(files)
    found = []
    for name in names:
        whole = any(name.lower().endswith(f".json{packed}") for packed in ("", ".gz", ".bz2", ".xz", ".zst"))
        found += resolve(name, "jsonl" if whole else None)
    return found or resolve(names)


def _entries(source: Source) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Each question of a file: where it stands, its object, its context."""
    if source.kind == "dataset":
        for number, entry in enumerate(open_dataset(source.name), 1):
            yield f"{source.name}: row {number}", entry, entry.get("context")
        return
    if ".jsonl" in source.name.lower() or ".ndjson" in source.name.lower():
        for where, entry in objects(source, "question"):
            yield where, entry, entry.get("context")
        return
    if source.kind != "jsonl":
        raise ValueError(f"{source.name}: expected questions as .json (SQuAD's form) or .jsonl")
    yield from _nested(source)


def _nested(source: Source) -> Iterator[tuple[str, dict[str, Any], Any]]:
    """Those of SQuAD's form, and of CMRC's, a list of paragraphs."""
    content = from_json("\n".join(lines(source)), source.name)
    articles = _listed(content, "data", source.name) if isinstance(content, dict) else content
    if not isinstance(articles, list):
        raise ValueError(f"{source.name}: expected SQuAD's form, an object with the key 'data'")
    for a, article in enumerate(articles):
        at = f"{source.name}: data[{a}]"
        paragraphs = _listed(article, "paragraphs", at) if "paragraphs" in _object(article, at) else [article]
        for p, paragraph in enumerate(paragraphs):
            below = f"{at}.paragraphs[{p}]"
            for q, entry in enumerate(_listed(_object(paragraph, below), "qas", below)):
                name = entry.get("id", entry.get("query_id")) if isinstance(entry, dict) else None
                where = f"{source.name}: question {name!r}" if name is not None else f"{below}.qas[{q}]"
                context = paragraph.get("context", paragraph.get("context_text"))
                yield where, _object(entry, where), context


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected an object, got {type(value).__name__}")
    return value


def _listed(value: Any, key: str, where: str) -> list[Any]:
    found = _object(value, where).get(key)
    if not isinstance(found, list):
        has = "there is no key" if key not in value else f"{type(found).__name__}, expected a list, under"
        raise ValueError(f"{where}: {has} {key!r}{nearest(key, map(str, value)) if key not in value else ''}")
    return found


def _question(where: str, entry: dict[str, Any], context: Any, on_error: OnWrongAnswer, placed: bool) -> Question | str:
    """A question, or why it is left out."""
    text = _text(entry.get("question", entry.get("query_text")), "question", where)
    context = _text(context, "context", where)
    name = str(entry.get("id", entry.get("query_id", where)))
    if "answers" not in entry and not entry.get("is_impossible"):
        return Question(where, name, text, context, None)
    given = [] if entry.get("is_impossible") else _answers(entry["answers"], where)
    answers, wrong = [], ""
    for start, answer in given:
        place = _place(context, answer, start, on_error == "search") if placed or start is not None else -1
        if place is not None:
            answers.append((place, answer))
            continue
        there = context[start : start + len(answer)] if start is not None and start >= 0 else ""
        wrong = f"the answer {answer!r} does not stand at {start} of its context, where {there!r} is"
        if on_error == "error":
            raise ValueError(f"{where}: {wrong}; on_error search looks for it, skip leaves it out")
    if given and not answers:
        return wrong
    return Question(where, name, text, context, tuple(answers))


def _text(value: Any, name: str, where: str) -> str:
    if not isinstance(value, str) or not value.strip():
        has = "is empty" if isinstance(value, str) else "is missing" if value is None else "is no text"
        raise ValueError(f"{where}: the {name} {has}")
    return value


def _answers(given: Any, where: str) -> list[tuple[int | None, str]]:
    """Answers as SQuAD lists them, as Hugging Face's data sets have them, in two lists, or as bare texts (CMRC)."""
    if isinstance(given, dict) and isinstance(given.get("text"), list):
        texts, starts = given["text"], given.get("answer_start")
        if not isinstance(starts, list) or len(texts) != len(starts):
            raise ValueError(f"{where}: expected as many numbers under 'answer_start' as texts, got {given!r:.60}")
        given = [{"text": text, "answer_start": start} for text, start in zip(texts, starts, strict=True)]
    found = []
    for entry in given if isinstance(given, list) else [given]:
        entry = {"text": entry} if isinstance(entry, str) else entry
        text = entry.get("text") if isinstance(entry, dict) else None
        start = entry.get("answer_start") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not isinstance(start, int | None) or isinstance(start, bool):
            raise ValueError(f"{where}: expected answers as {{'text': ..., 'answer_start': ...}}, got {entry!r:.60}")
        if text.strip():
            found.append((start, text))
    return found


def _place(context: str, answer: str, start: int | None, search: bool) -> int | None:
    """Where an answer stands; None where it does not."""
    if start is not None and start >= 0 and context.startswith(answer, start):
        return start
    if not search:
        return None
    aim = max(0, start or 0)
    before, after = context.rfind(answer, 0, aim + len(answer)), context.find(answer, aim)
    places = [place for place in (before, after) if place >= 0]
    return min(places, key=lambda place: (abs(place - aim), place), default=None)


class SquadData(LabelledData[Question]):
    """Questions about texts, in windows: each row is a whole question with a part of its context.

    All questions about a context are held out together, or none.

    Args:
        files: to train on, where that is done: ``.json`` as SQuAD 1.1 and 2.0 and CMRC 2018 have it, or ``.jsonl`` or
            ``dataset:`` names with {"id", "question", "context", "answers": [{"text", "answer_start"}]} a line. No
            answers, or "is_impossible": true, is a question without an answer.
        on_error: what to do where an answer does not stand at its offset: ``error``; ``search`` takes the nearest place
            where it does stand; ``skip`` leaves the answer out, and the question if it has no other; so does ``search``
            where it stands nowhere. Both leave out a question that leaves no room for its context too. What was left
            out is ``skipped``.
        tokenizer: a tokenizer.json or a folder with one; that of a network that was trained before, where it is named.
            None trains one on ``files``.
        tokenizer_kind: what to train.
        tokenizer_vocab_size: its size at most.
        tokenizer_lowercase: lower the case of all text in the tokenizer that is trained.
        validation_files: to validate on. None takes a part of ``files``.
        validation_fraction: how large a part of the contexts, at random, the same one for every seed; 0 for none.
        folds: cut the contexts into so many parts, of which ``fold`` is held out, in place of ``validation_fraction``.
        fold: which one, from 0.
        test_files: to test on.
        predict_files: to predict on; answers may be missing.
        max_length: tokens of a window at most, question and special tokens included; how many answers are whole in no
            window, and so have no place to learn, is told. From the command line it is the checkpoint's, or the
            network's.
        stride: how many tokens of the context two windows share, at most half of what they have of it; 128 by default.
            From the command line it is the model's.
        batch_size: windows in a batch on each device, where ``max_tokens`` is None.
        max_tokens: tokens in a batch on each device at most, padding included.
        seed: of the order.
        num_workers: processes that read ahead.
        cache_folder: where tokenizers are kept; by default $PLMLIGHT_CACHE or ~/.cache/plmlight.

    Raises:
        ValueError: for files that cannot be used, naming file and question.
    """

    per_token = ("context_mask", "starts", "ends")

    def __init__(
        self,
        files: str | list[str] | None = None,
        on_error: OnWrongAnswer = "error",
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
        stride: int | None = None,
        batch_size: int = 32,
        max_tokens: int | None = None,
        seed: int = 0,
        num_workers: int = 0,
        cache_folder: str | None = None,
    ) -> None:
        names = {"fit": files, "validate": validation_files, "test": test_files, "predict": predict_files}
        super().__init__(
            names, validation_fraction, folds, fold, max_length, batch_size, max_tokens, seed, num_workers, cache_folder
        )
        if stride is not None and stride < 0:
            raise ValueError(f"stride must be at least 0, not {stride}")
        self.stride = STRIDE if stride is None else stride
        self._on_error: OnWrongAnswer = on_error
        self._load(tokenizer, tokenizer_kind, tokenizer_vocab_size, tokenizer_lowercase)

    def _examples(self, files: Files) -> list[Question]:
        found, skipped = read_questions(files, self._on_error)
        self.skipped += skipped
        check_some(found, files, skipped)
        return found

    def _texts(self, example: Question) -> Iterable[str]:
        return (example.question, example.context)

    def _classes(self, example: Question) -> Sequence[str]:
        return ("answer" if example.answers else "no answer",)

    def _group(self, example: Question) -> Hashable:
        return example.context

    def _settle(self) -> None:
        for stage, examples in self.examples.items():
            for example in examples if stage != "predict" else ():
                if example.answers is None:
                    raise ValueError(f"{example.where}: has no 'answers' ([] where the question has none)")

    def _rows(self, examples: Sequence[Question], stage: Stage) -> list[Row]:
        rows: list[Row] = []
        answers = lost = 0
        for number, (example, windows) in enumerate(zip(examples, self._windows(examples), strict=True)):
            if windows is None:
                continue
            places = _places(windows, example)
            answers += bool(example.answers)
            lost += bool(example.answers) and not any(places)
            for window, place in zip(windows, places, strict=True):
                row = _row(window, place)
                if stage != "fit":
                    row |= {"starts": window.starts, "ends": window.ends, "example_ids": number}
                    row |= {"ids": example.id, "contexts": example.context, "references": example.gold}
                rows.append(row)
        if lost:
            rank_zero_info(
                f"{self._named(stage)}: {lost:,} of {answers:,} answers to {stage} on are whole in no window "
                f"(max_length {self.max_length}, stride {self.stride}): in the loss their questions have none"
            )
        return rows

    def _asked(self, examples: Sequence[Question]) -> list[Row]:
        """Without what is to be left out, as it leaves no room for its context."""
        if self._on_error != "error":
            both = zip(examples, self._windows(examples), strict=True)
            examples = [example for example, windows in both if windows is not None]
        return super()._asked(examples)

    def _windows(self, examples: Sequence[Question]) -> Iterator[list[QuestionWindow] | None]:
        """Those of each question; None where it is left out, as it leaves no room for its context."""
        pairs = [(example.question, example.context) for example in examples]
        found = question_windows(self.plain_tokenizer(), pairs, self.max_length, self.stride)
        for example, windows in zip(examples, found, strict=True):
            if not isinstance(windows, str):
                yield windows
                continue
            if self._on_error == "error":
                raise ValueError(f"{example.where}: {windows}; on_error skip leaves the question out")
            self.skipped.append((example.where, windows))
            yield None


def _places(windows: Sequence[QuestionWindow], example: Question) -> list[tuple[int, int] | None]:
    """Where the first answer stands in each window, by its first and its last token."""
    if not example.answers:
        return [None] * len(windows)
    start, answer = example.answers[0]
    return tokens_of(windows, start, start + len(answer))


def _row(window: QuestionWindow, place: tuple[int, int] | None) -> dict[str, Any]:
    inside = (window.ends > window.starts).astype(np.int8)
    inside[0] = 1
    first, last = place or (0, 0)
    return {
        "input_ids": np.array(window.ids, np.int32),
        "token_type_ids": np.array(window.type_ids, np.int8),
        "context_mask": inside,
        "labels_start": first,
        "labels_end": last,
    }
