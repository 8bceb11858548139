"""What ``infer`` answers, one class a kind of model: JSON lines, or what a person reads at once."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plmlight.cli.decoding_options import DECODING
from plmlight.cli.infer_models import Answering
from plmlight.decoding import (
    Hypothesis,
    MaskFiller,
    Neighbour,
    SequenceGenerator,
    TextAnalyser,
    TextEmbedder,
    TextGenerator,
    WordSpace,
)

Record = dict[str, Any]


class Continuing:
    """Texts are continued.

    Args:
        model: the model.
        given: the options that were given, those of `options`.
    """

    does = "continues texts"
    options = (*DECODING, "echo", "raw")
    batch_size = 8

    def __init__(self, model: TextGenerator, given: Mapping[str, Any]) -> None:
        self.model, self.echo, self.raw = model, bool(given.get("echo")), bool(given.get("raw"))
        changes = {name: value for name, value in given.items() if name in DECODING}
        self.decoding = dataclasses.replace(model.options, **changes)

    def shows(self, texts: Sequence[str]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return len(texts) == self.decoding.num_return_sequences == 1

    def show(self, texts: Sequence[str], batch_size: int) -> None:
        """Prints one answer while it is generated, unless a beam search has to end first."""
        if self.echo:
            print(texts[0], end="", flush=True)
        if self.decoding.num_beams > 1:
            print(self.model.generate(texts, self.decoding, raw=self.raw)[0][0].text, end="")
        else:
            for piece in self.model.stream(texts[0], self.decoding, raw=self.raw):
                print(piece.text, end="", flush=True)
        print()

    def records(self, texts: Sequence[str], batch_size: int) -> Iterator[Record]:
        """One an answer, in the order of the texts."""
        answers = self.model.generate(texts, self.decoding, batch_size=batch_size, raw=self.raw)
        for text, found in zip(texts, answers, strict=True):
            yield from _records("prompt", text, found)


class Translating:
    """Texts are answered with other texts: translations, summaries, replies.

    Args:
        model: the model.
        given: the options that were given, those of `options`.
    """

    does = "turns texts into other texts"
    options = (*DECODING, "prefix")
    batch_size = 32

    def __init__(self, model: SequenceGenerator, given: Mapping[str, Any]) -> None:
        self.model, self.prefix = model, given.get("prefix")
        model.text_form.source("", self.prefix)  # an unknown one is an error before anything is read
        changes = {name: value for name, value in given.items() if name in DECODING}
        self.decoding = dataclasses.replace(model.options, **changes)

    def shows(self, texts: Sequence[str]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return self.decoding.num_return_sequences == 1 and (len(texts) == 1 or sys.stdout.isatty())

    def show(self, texts: Sequence[str], batch_size: int) -> None:
        """Prints a line a text; that of a single one while it is written, unless a beam search has to end first."""
        if len(texts) == 1 and self.decoding.num_beams == 1:
            for piece in self.model.stream(texts[0], self.decoding, prefix=self.prefix):
                print(piece.text, end="", flush=True)
            print()
            return
        for (answer,) in self.model.generate(texts, self.decoding, batch_size=batch_size, prefix=self.prefix):
            print(answer.text)

    def records(self, texts: Sequence[str], batch_size: int) -> Iterator[Record]:
        """One an answer, in the order of the texts."""
        answers = self.model.generate(texts, self.decoding, batch_size=batch_size, prefix=self.prefix)
        for text, found in zip(texts, answers, strict=True):
            yield from _records("source", text, found)


def _records(asked: str, text: str, found: Sequence[Hypothesis]) -> Iterator[Record]:
    """The answers to a text, best first."""
    for rank, answer in enumerate(found):
        score = {} if answer.score is None else {"score": answer.score}
        yield {
            asked: text,
            "answer": rank,
            "text": answer.text,
            "finish_reason": answer.finish_reason,
            "token_ids": answer.token_ids,
            **score,
        }


class Filling:
    """Masks are filled.

    Args:
        model: the model.
        given: the options that were given, those of `options`.
    """

    does = "fills masks"
    options = ("top_k", "token_type_id")
    batch_size = 32

    def __init__(self, model: MaskFiller, given: Mapping[str, Any]) -> None:
        self.model, self.given = model, dict(given)

    def shows(self, texts: Sequence[str]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return len(texts) == 1

    def show(self, texts: Sequence[str], batch_size: int) -> None:
        """Prints a line a token: its probability, the token, and the text with it."""
        (masks,) = self.model.fill(texts, batch_size=batch_size, **self.given)
        width = max(len(each.token) for mask in masks for each in mask)
        for number, mask in enumerate(masks, 1):
            if len(masks) > 1:
                print(f"mask {number}")
            for each in mask:
                print(f"{each.score:.4f}  {each.token:<{width}}  {each.text}")

    def records(self, texts: Sequence[str], batch_size: int) -> Iterator[Record]:
        """One a text."""
        answers = self.model.fill(texts, batch_size=batch_size, **self.given)
        for text, masks in zip(texts, answers, strict=True):
            yield {"text": text, "masks": [[dataclasses.asdict(each) for each in mask] for mask in masks]}


class Embedding:
    """Texts become vectors.

    Args:
        model: the model.
        given: the options that were given, those of `options`.
    """

    does = "embeds texts"
    options = ("token_type_id",)
    batch_size = 32

    def __init__(self, model: TextEmbedder, given: Mapping[str, Any]) -> None:
        self.model, self.given = model, dict(given)

    def shows(self, texts: Sequence[str]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return sys.stdout.isatty()

    def show(self, texts: Sequence[str], batch_size: int) -> None:
        """Prints a line a text: how long the vector is, and its first numbers."""
        for text, vector in zip(texts, self.model.embed(texts, batch_size, **self.given), strict=True):
            first = " ".join(f"{value:8.4f}" for value in vector[:4])
            print(f"{len(vector)} numbers: {first}{' ...' if len(vector) > 4 else ''}  {text[:60]}")

    def records(self, texts: Sequence[str], batch_size: int) -> Iterator[Record]:
        """One a text; its numbers have the digits that float32 has."""
        for text, vector in zip(texts, self.model.embed(texts, batch_size, **self.given), strict=True):
            yield {"text": text, "embedding": [float(f"{value:.8g}") for value in vector]}


class Finding:
    """Words get the words near them: one word its neighbours, three words ``a b c`` what is to c as b is to a.

    Two words get their similarity, the cosine.

    Args:
        model: the words.
        given: the options that were given, those of `options`.
    """

    does = "finds words near a word, compares two, or completes an analogy of three"
    options = ("top_k",)
    batch_size = 32

    def __init__(self, model: WordSpace, given: Mapping[str, Any]) -> None:
        self.model, self.top_k = model, int(given.get("top_k", 10))

    def shows(self, texts: Sequence[str]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return len(texts) == 1

    def show(self, texts: Sequence[str], batch_size: int) -> None:
        """Prints a line a word: its cosine, and the word; of two words their cosine alone."""
        for record in self.records(texts, batch_size):
            if "similarity" in record:
                print(f"{record['similarity']:.4f}")
            for found in record.get("words", []):
                print(f"{found['score']:.4f}  {found['word']}")

    def records(self, texts: Sequence[str], batch_size: int) -> Iterator[Record]:
        """One a text."""
        for text in texts:
            words = text.split()
            if len(words) == 2:
                yield {"text": text, "similarity": self.model.similarity(*words)}
            else:
                yield {"text": text, "words": [dataclasses.asdict(found) for found in self._found(text, words)]}

    def _found(self, text: str, words: list[str]) -> list[Neighbour]:
        if len(words) == 3:
            return self.model.analogy(words[0], words[1], words[2], self.top_k)
        if len(words) != 1:
            raise ValueError(
                f"{text!r}: expected a word (what is near it), two (how similar they are) or three (an analogy), "
                f"got {len(words)}"
            )
        return self.model.nearest(words[0], self.top_k)


class Analysing:
    """Requests are answered by a task with labels: texts get classes or tags, questions their answers.

    Args:
        model: the model.
        given: the options that were given, those of `options`: there are none.
    """

    does = "answers as its labels taught it"
    options = ()
    batch_size = 32

    def __init__(self, model: TextAnalyser, given: Mapping[str, Any]) -> None:
        self.model = model

    def shows(self, requests: Sequence[Record]) -> bool:
        """Whether the answers are shown to a person, where they do not go to a file."""
        return len(requests) == 1

    def show(self, requests: Sequence[Record], batch_size: int) -> None:
        """Prints what a person reads."""
        for request, answer in zip(requests, self.model.answers(requests, batch_size), strict=True):
            print(self.model.show(request, answer))

    def records(self, requests: Sequence[Record], batch_size: int) -> Iterator[Record]:
        """One a request: the request with its answer, which wins where both have a key (a label)."""
        for request, answer in zip(requests, self.model.answers(requests, batch_size), strict=True):
            yield {**request, **answer}


Answers = Continuing | Translating | Filling | Embedding | Finding | Analysing


def answers_of(name: str, model: Answering, given: Mapping[str, Any]) -> Answers:
    """What a model answers.

    Args:
        name: of the model, for messages.
        model: the model.
        given: options and their values.

    Returns:
        The answers of its kind.

    Raises:
        ValueError: for an option that its kind has not.
    """
    kinds: tuple[tuple[type, Any], ...] = (
        (MaskFiller, Filling),
        (TextEmbedder, Embedding),
        (SequenceGenerator, Translating),
        (TextGenerator, Continuing),
        (WordSpace, Finding),
        (TextAnalyser, Analysing),
    )
    (kind,) = (answers for generator, answers in kinds if isinstance(model, generator))
    foreign = [option for option in given if option not in kind.options]
    if foreign:
        own = ", ".join(f"--{option}" for option in kind.options)
        does = model.does if isinstance(model, TextAnalyser) else kind.does
        raise ValueError(f"--{foreign[0]} is not for {name}, which {does}: its own options are {own or 'none'}")
    made: Answers = kind(model, given)
    return made
