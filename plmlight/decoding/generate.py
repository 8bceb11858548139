"""The decoding loop: it serves every model, batch and mixture of options."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from array_api_compat import array_namespace
from tokenizers import Tokenizer

from plmlight.decoding.logits import ban, column, draw, log_softmax, penalise_repetition, to_list, truncate
from plmlight.decoding.model import Array, LanguageModel
from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.row import Hypothesis, Row
from plmlight.decoding.search import Beam, Search, Single
from plmlight.decoding.text import Piece, TextStream


def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    options: DecodingOptions | Sequence[DecodingOptions] | None = None,
    tokenizer: Tokenizer | None = None,
    numbers: Sequence[int] | None = None,
) -> list[list[Hypothesis]]:
    """Continues prompts, all in one batch, which a row leaves when it is finished.

    Args:
        model: the language model.
        prompts: token ids, at least one each.
        options: for all, or one for each prompt.
        tokenizer: gives the answers their text, and finds stop strings.
        numbers: what stands for each prompt's place in the seeding of its samples; 0, 1, ... by default. Whoever
            splits or reorders prompts passes the original places and gets the same samples.

    Returns:
        For each prompt its answers, best first.

    Raises:
        ValueError: for options, prompts and a model that do not fit together.
    """
    if not prompts:
        return []
    batch = _Batch.of(model, prompts, options, tokenizer, numbers)
    while not batch.advance():
        pass
    return [[answer for search in searches for answer in search.answers()] for searches in batch.prompts]


def stream(
    model: LanguageModel,
    prompt: Sequence[int],
    options: DecodingOptions | None = None,
    tokenizer: Tokenizer | None = None,
) -> Iterator[Piece]:
    """Continues one prompt and gives the answer while it grows.

    Args:
        model: the language model.
        prompt: token ids, at least one.
        options: of an answer without beams.
        tokenizer: gives the pieces their text.

    Returns:
        One piece a token; their texts together are the text that `generate` gives.

    Raises:
        ValueError: as `generate`, and for options that make several answers.
    """
    options = options or DecodingOptions()
    if options.num_beams > 1 or options.num_return_sequences > 1:
        raise ValueError(
            f"one answer can be streamed, but num_beams is {options.num_beams} "
            f"and num_return_sequences {options.num_return_sequences}"
        )
    batch = _Batch.of(model, [prompt], options, tokenizer, None)
    return _pieces(batch, tokenizer)


def _pieces(batch: _Batch, tokenizer: Tokenizer | None) -> Iterator[Piece]:
    search = batch.live[0]
    assert isinstance(search, Single), "beams are not streamed"
    row = search.row
    text = TextStream(tokenizer, row.prompt, row.options.stop) if tokenizer else None
    while True:
        over = batch.advance()
        token = row.tokens[-1]
        fresh = text.push(token) if text and search.reason != "eos" else ""
        if over:
            yield Piece(fresh + (text.finish() if text else ""), (token,), search.reason)
            return
        yield Piece(fresh, (token,))


@dataclass
class _Batch:
    """What runs together.

    Attributes:
        model: the language model.
        prompts: the searches of each prompt.
        live: the searches that are not over, in the order of their rows in the model's batch.
        logits: of the rows of ``live``, [B, V].
    """

    model: LanguageModel
    prompts: list[list[Search]]
    live: list[Search]
    logits: Array = None

    @classmethod
    def of(
        cls,
        model: LanguageModel,
        prompts: Sequence[Sequence[int]],
        options: DecodingOptions | Sequence[DecodingOptions] | None,
        tokenizer: Tokenizer | None,
        numbers: Sequence[int] | None,
    ) -> _Batch:
        """Checks what was asked for and makes a row for each answer."""
        if options is None or isinstance(options, DecodingOptions):
            options = [options or DecodingOptions()] * len(prompts)
        numbers = range(len(prompts)) if numbers is None else numbers
        for name, given in (("options", options), ("numbers", numbers)):
            if len(given) != len(prompts):
                raise ValueError(f"{len(prompts)} prompts came with {len(given)} {name}")
        batch = cls(model, [], [])
        for index, (prompt, option, number) in enumerate(zip(prompts, options, numbers, strict=True)):
            fitted, limit = _fit(index, prompt, option, model.max_length)
            if option.stop and tokenizer is None:
                raise ValueError("stop strings need a tokenizer")
            searches: list[Search] = []
            for sample in range(1 if option.num_beams > 1 else option.num_return_sequences):
                row = Row(fitted, option, limit, tokenizer)
                searches.append(Beam(row) if option.num_beams > 1 else Single(row, (option.seed, number, sample)))
            batch.prompts.append(searches)
            batch.live += searches
        return batch

    def advance(self) -> bool:
        """Gives each row its next token; returns whether all searches are over."""
        if self.logits is None:
            self._start()
        scores = process(self.logits, [(search, row) for search in self.live for row in search.rows])
        choices = self._choose(scores)
        keep: list[int] = []
        tokens: list[int] = []
        first = 0
        for search in self.live:
            count = len(search.rows)
            rows, taken = search.advance(scores[first : first + count, ...], choices[first : first + count])
            keep += [first + row for row in rows]
            tokens += taken
            first += count
        self.live = [search for search in self.live if search.rows]
        if not self.live:
            return True
        if keep != list(range(first)):
            self.model.select(keep)
        self.logits = self.model.step(tokens)
        return False

    def _start(self) -> None:
        repeats = [index for index, searches in enumerate(self.prompts) for _ in searches]
        self.logits = self.model.start([searches[0].rows[0].prompt for searches in self.prompts])
        if len(repeats) > len(self.prompts):
            self.model.select(repeats)
            xp = array_namespace(self.logits)
            self.logits = xp.stack([self.logits[index, ...] for index in repeats])

    def _choose(self, scores: Array) -> list[int]:
        """The token that each row takes when its search does not choose by itself."""
        xp = array_namespace(scores)
        choices = to_list(xp.argmax(scores, axis=-1))
        samples = [row.options.samples for search in self.live for row in search.rows]
        if any(samples):
            drawn = to_list(draw(scores, [search.uniform() for search in self.live for _ in search.rows]))
            choices = [new if sample else old for old, new, sample in zip(choices, drawn, samples, strict=True)]
        return choices


def process(logits: Array, rows: Sequence[tuple[Search, Row]]) -> Array:
    """Applies each row's options to its logits, in the order of Hugging Face ``generate``.

    Args:
        logits: [B, V].
        rows: the search and the row behind each of them.

    Returns:
        Scores [B, V]: logits, or log-probabilities for rows of a beam search; a new array where anything is changed.
    """
    xp = array_namespace(logits)
    options = [row.options for _, row in rows]
    if logits.dtype not in (xp.float32, xp.float64):
        logits = xp.astype(logits, xp.float32)
    beams = [isinstance(search, Beam) for search, _ in rows]
    if any(beams):
        logits = xp.where(column(beams, logits) > 0, log_softmax(logits), logits)
    penalties = [option.repetition_penalty for option in options]
    if any(penalty != 1 for penalty in penalties):
        seen = np.stack([row.seen(int(logits.shape[-1])) for _, row in rows])
        logits = penalise_repetition(logits, seen, penalties)
    banned = [row.banned() for _, row in rows]
    if any(banned):
        logits = ban(logits, banned)
    if any(option.samples for option in options):
        temperatures = [(option.temperature or 1.0) if option.samples else 1.0 for option in options]
        if any(temperature != 1 for temperature in temperatures):
            logits = logits / column(temperatures, logits)
        logits = truncate(
            logits,
            [option.top_k if option.samples else 0 for option in options],
            [option.top_p if option.samples else 1.0 for option in options],
            [option.min_p if option.samples else 0.0 for option in options],
        )
    return logits


def _fit(
    index: int, prompt: Sequence[int], options: DecodingOptions, max_length: int | None
) -> tuple[Sequence[int], int]:
    """The prompt as the model can take it, and the most tokens that may follow."""
    if not len(prompt):
        raise ValueError(f"prompt {index} has no token: a model needs at least one to go on from")
    if max_length is None:
        return prompt, options.max_new_tokens
    if options.truncate_prompt:
        prompt = prompt[-max(1, max_length - options.max_new_tokens) :]
    if len(prompt) >= max_length:
        raise ValueError(
            f"prompt {index} has {len(prompt)} tokens, but the model's length is {max_length} and a new token needs "
            "room: shorten it, or set truncate_prompt to drop tokens on its left"
        )
    return prompt, min(options.max_new_tokens, max_length - len(prompt))
