"""The decoding loop: it serves every model, batch and mixture of options."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from array_api_compat import array_namespace
from tokenizers import Tokenizer

from plmlight.decoding.logits import to_numpy
from plmlight.decoding.model import Array, Covering, LanguageModel, Revealing
from plmlight.decoding.options import DecodingOptions
from plmlight.decoding.proposals import propose, single_precision
from plmlight.decoding.row import Hypothesis, Row
from plmlight.decoding.search import Beam, Contrastive, DiverseBeams, Proposal, Search, Single
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
    assert isinstance(search, Single | Contrastive), "beams are not streamed"
    text = TextStream(tokenizer, search.row.prompt, search.row.options.stop) if tokenizer else None
    done = 0
    while True:
        over = batch.advance()
        if len(search.row.tokens) == done:
            continue  # the first candidates of contrastive search are not compared yet
        done = len(search.row.tokens)
        token = search.row.tokens[-1]
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
    _repeats: list[int] | None = None  # the prompt of each row, before the model has rows of their own for them

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
                search = _search(Row(fitted, option, limit, tokenizer), (option.seed, number, sample))
                _check_model(model, search)
                searches.append(search)
            batch.prompts.append(searches)
            batch.live += searches
        return batch

    def advance(self) -> bool:
        """Gives each row its next token; returns whether all searches are over."""
        if self.logits is None:
            self._start()
        proposal = self._propose()
        keep: list[int] = []
        tokens: list[int] = []
        first = 0
        for search in self.live:
            count = len(search.rows)
            rows, taken = search.advance(proposal.rows(slice(first, first + count)))
            keep += [first + row for row in rows]
            tokens += taken
            first += count
        self.live = [search for search in self.live if search.rows]
        if not self.live:
            return True
        if keep != list(range(first)):
            self.model.select(keep)
        self.logits = self.model.step(tokens)
        self._repeats = None
        return False

    def _start(self) -> None:
        self.logits = self.model.start([searches[0].rows[0].prompt for searches in self.prompts])
        for search in self.live:  # as soon as the vocabulary is known
            search.rows[0].options.check_vocabulary(int(self.logits.shape[-1]))
        repeats = [index for index, searches in enumerate(self.prompts) for _ in searches]
        if len(repeats) > len(self.prompts):
            self._repeats = repeats
            self.logits = self._repeated(self.logits)

    def _propose(self) -> Proposal:
        """What may come next in each row, and what else their searches need to know."""
        rows = [(search, row) for search in self.live for row in search.rows]
        coverage = hidden = None
        if any(search.covers for search in self.live):
            assert isinstance(self.model, Covering)
            coverage = to_numpy(self._repeated(self.model.coverage()))
        if any(search.compares for search in self.live):
            assert isinstance(self.model, Revealing)
            hidden = to_numpy(single_precision(self._repeated(self.model.hidden())))
        proposal = dataclasses.replace(propose(self.logits, rows), coverage=coverage, hidden=hidden)
        if self._repeats is not None:  # only now, as what the model gave is valid until its next call
            self.model.select(self._repeats)
        return proposal

    def _repeated(self, values: Array) -> Array:
        """What the model gave for each prompt, for each of their searches; later on, what it gave."""
        if self._repeats is None:
            return values
        return array_namespace(values).stack([values[index, ...] for index in self._repeats])


def _search(row: Row, key: tuple[int, int, int]) -> Search:
    """What the row's options ask for."""
    if row.options.num_beam_groups > 1:
        return DiverseBeams(row)
    if row.options.num_beams > 1:
        return Beam(row)
    return Contrastive(row) if row.options.penalty_alpha else Single(row, key)


def _check_model(model: LanguageModel, search: Search) -> None:
    if search.covers and not isinstance(model, Covering):
        raise ValueError("coverage_penalty needs a model that reads a source and sums its attention to it")
    if search.compares and not isinstance(model, Revealing):
        raise ValueError("contrastive search (penalty_alpha) needs a model that gives its hidden states")


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
