"""How to decode: one dataclass, from which the command line and the HTTP server derive their parameters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DecodingOptions:
    """How one prompt is continued. Names and meanings are those of Hugging Face ``generate`` where it has them.

    Attributes:
        max_new_tokens: stop after this many new tokens. A model's ``max_length`` may stop a row earlier.
        min_new_tokens: do not end before this many new tokens.
        temperature: divides the logits before sampling; 0 takes the likeliest token (greedy). When it is not given,
            decoding is greedy, unless top_k, top_p or min_p asks for sampling (then at temperature 1).
        top_k: sample among the k likeliest tokens (Fan et al. 2018, arXiv:1805.04833); 0 is off.
        top_p: sample among the fewest tokens that hold this probability (Holtzman et al. 2019, arXiv:1904.09751).
        min_p: drop tokens less likely than this share of the likeliest one's probability (arXiv:2407.01082).
        repetition_penalty: divides the positive logits of tokens that stand in the prompt or the answer, and
            multiplies the negative ones (CTRL, Keskar et al. 2019, arXiv:1909.05858).
        no_repeat_ngram_size: no n-gram of this size comes twice, prompt included; 0 is off.
        num_beams: the width of the beam search; 1 is none.
        length_penalty: a beam's summed log-probability is divided by its length to this power.
        coverage_penalty: ranks the answers of a beam search by what they leave of the source too: adds this number
            times the sum over the source's tokens of the logarithm of the attention that each has had, at most 1
            (GNMT, Wu et al. 2016, arXiv:1609.08144, section 7, equation 14; their beta is 0.2); 0 is off.
        num_beam_groups: diverse beam search (Vijayakumar et al. 2018, arXiv:1610.02424): the beams are divided into so
            many groups, which search one after the other.
        diversity_penalty: is subtracted from a token's log-probability for each beam of an earlier group that takes the
            token at the same step.
        penalty_alpha: contrastive search (Su et al. 2022, arXiv:2202.06417): among the top_k likeliest tokens takes the
            one with the highest (1 - penalty_alpha) * probability - penalty_alpha * the highest cosine of its hidden
            state with those before it; 0 is off.
        early_stopping: when a beam search ends: True as soon as there are num_beams finished answers, False when
            the best running beam, judged by its present length, can not beat the worst finished one, "never" when
            it could not even at the best possible length.
        num_return_sequences: how many answers a prompt gets: the n best of a beam search, or n samples.
        suppress_tokens: tokens that are never taken, such as the padding of published translation models.
        forced_bos_token_id: the token that comes right after the decoder's first one, as the language in mBART.
        forced_eos_token_id: the token that comes last where an answer grows to its greatest length.
        stop: texts at which generation ends; the answer's text ends before them.
        eos_token_id: the token or tokens that end an answer; None takes the model's, an empty tuple none at all.
        seed: with the prompt's number in the batch it fixes what is sampled, whatever else is in the batch.
        truncate_prompt: drop tokens on the left of a prompt until it fits with max_new_tokens into the model's
            length; otherwise a prompt that leaves no room is an error.
        truncate_source: where a model reads a source, cut one that is longer than it can read, and say how many were;
            otherwise it is an error.

    Raises:
        ValueError: for a value outside its range, or a combination that means nothing.
    """

    max_new_tokens: int = 128
    min_new_tokens: int = 0
    temperature: float | None = None
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    num_beams: int = 1
    length_penalty: float = 1.0
    coverage_penalty: float = 0.0
    num_beam_groups: int = 1
    diversity_penalty: float = 0.0
    penalty_alpha: float = 0.0
    early_stopping: bool | Literal["never"] = False
    num_return_sequences: int = 1
    suppress_tokens: Sequence[int] = ()
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | None = None
    stop: Sequence[str] = ()
    eos_token_id: int | Sequence[int] | None = None
    seed: int = 0
    truncate_prompt: bool = False
    truncate_source: bool = False

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
        for name in ("forced_bos_token_id", "forced_eos_token_id"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
                raise ValueError(f"{name} must be a token id, not {value!r}")
        for name in _NUMBERS:
            value = getattr(self, name)
            if not (value is None and name == "temperature") and not (type(value) is int or type(value) is float):
                raise ValueError(f"{name} must be a number, not {value!r}")
        _check(self.temperature is None or 0 <= self.temperature < float("inf"), self, "temperature", "0 or more")
        _check(0 < self.top_p <= 1, self, "top_p", "above 0 and at most 1")
        _check(0 <= self.min_p <= 1, self, "min_p", "between 0 and 1")
        _check(0 < self.repetition_penalty < float("inf"), self, "repetition_penalty", "above 0")
        _check(abs(self.length_penalty) < float("inf"), self, "length_penalty", "a finite number")
        _check(0 <= self.coverage_penalty < float("inf"), self, "coverage_penalty", "0 or more")
        _check(0 <= self.diversity_penalty < float("inf"), self, "diversity_penalty", "0 or more")
        _check(0 <= self.penalty_alpha <= 1, self, "penalty_alpha", "between 0 and 1")
        _check(self.early_stopping in (True, False, "never"), self, "early_stopping", "True, False or 'never'")
        if isinstance(self.stop, str):
            object.__setattr__(self, "stop", (self.stop,))
        object.__setattr__(self, "suppress_tokens", tuple(self.suppress_tokens))
        _check(all(type(id_) is int and id_ >= 0 for id_ in self.suppress_tokens), self, "suppress_tokens", "token ids")
        object.__setattr__(self, "stop", tuple(self.stop))  # a list, as JSON gives it, becomes comparable
        _check(all(isinstance(text, str) and text for text in self.stop), self, "stop", "texts that are not empty")
        if self.eos_token_id is not None and not isinstance(self.eos_token_id, int):
            object.__setattr__(self, "eos_token_id", tuple(self.eos_token_id))
        self._check_combination()

    def _check_combination(self) -> None:
        if self.min_new_tokens > self.max_new_tokens:
            raise ValueError(f"min_new_tokens {self.min_new_tokens} is more than max_new_tokens {self.max_new_tokens}")
        if self.num_beams > 1 and self.samples:
            raise ValueError(
                f"beam search does not sample: set num_beams to 1 (it is {self.num_beams}) or temperature to 0"
            )
        if self.num_beams > 1 and self.num_return_sequences > self.num_beams:
            raise ValueError(
                f"num_return_sequences {self.num_return_sequences} is more than num_beams {self.num_beams}: "
                "a beam search has no more answers than beams"
            )
        if self.coverage_penalty and self.num_beams == 1:
            raise ValueError(
                f"coverage_penalty {self.coverage_penalty} ranks the answers of a beam search: set num_beams above 1"
            )
        self._check_groups()
        self._check_contrast()
        if self.num_beams == 1 and self.num_return_sequences > 1 and not self.samples:
            raise ValueError(
                f"greedy decoding has one answer, but num_return_sequences is {self.num_return_sequences}: "
                "set num_beams, or a temperature above 0"
            )

    def _check_groups(self) -> None:
        if self.num_beams % self.num_beam_groups:
            raise ValueError(
                f"num_beams {self.num_beams} is not a multiple of num_beam_groups {self.num_beam_groups}: "
                "each group has as many beams"
            )
        if self.num_beam_groups > 1 and not self.diversity_penalty:
            raise ValueError(
                f"{self.num_beam_groups} beam groups without a penalty all find the same: "
                "set diversity_penalty above 0 (0.5 is usual), or num_beam_groups to 1"
            )
        if self.diversity_penalty and self.num_beam_groups == 1:
            raise ValueError(
                f"diversity_penalty {self.diversity_penalty} holds between groups of beams: set num_beam_groups above 1"
            )

    def _check_contrast(self) -> None:
        if not self.penalty_alpha:
            return
        if self.top_k < 2:
            raise ValueError(
                f"contrastive search (penalty_alpha {self.penalty_alpha}) chooses among the top_k likeliest tokens: "
                f"set top_k to at least 2 (it is {self.top_k}; 4 is usual)"
            )
        for name, off in (("num_beams", 1), ("num_return_sequences", 1), ("top_p", 1), ("min_p", 0)):
            if getattr(self, name) != off:
                raise ValueError(f"contrastive search has no {name}: leave it at {off}, or penalty_alpha at 0")
        if self.temperature:
            raise ValueError("contrastive search does not sample: leave out temperature, or penalty_alpha")

    def check_vocabulary(self, vocab_size: int) -> None:
        """Refuses what a model of this vocabulary can not do.

        Args:
            vocab_size: V, of what is written.

        Raises:
            ValueError: naming the option.
        """
        for name in ("num_beams", "forced_bos_token_id", "forced_eos_token_id"):
            value = getattr(self, name)
            if value is not None and value > vocab_size - (name != "num_beams"):
                raise ValueError(f"{name} {value} is beyond the vocabulary of {vocab_size} tokens")
        if (most := max(self.suppress_tokens, default=0)) >= vocab_size:
            raise ValueError(f"suppress_tokens {most} is beyond the vocabulary of {vocab_size} tokens")

    @cached_property
    def samples(self) -> bool:
        """Whether tokens are drawn at random."""
        if self.penalty_alpha:
            return False
        if self.temperature is None:
            return self.top_k > 0 or self.top_p < 1 or self.min_p > 0
        return self.temperature > 0

    @cached_property
    def eos_token_ids(self) -> tuple[int, ...]:
        """The tokens that end an answer, as a tuple."""
        if self.eos_token_id is None:
            return ()
        return (self.eos_token_id,) if isinstance(self.eos_token_id, int) else tuple(self.eos_token_id)


_LEAST = {
    "max_new_tokens": 1,
    "min_new_tokens": 0,
    "top_k": 0,
    "no_repeat_ngram_size": 0,
    "num_beams": 1,
    "num_beam_groups": 1,
    "num_return_sequences": 1,
    "seed": 0,
}

_NUMBERS = (
    "temperature",
    "top_p",
    "min_p",
    "repetition_penalty",
    "length_penalty",
    "coverage_penalty",
    "diversity_penalty",
    "penalty_alpha",
)


def _check(valid: bool, options: DecodingOptions, name: str, expected: str) -> None:
    if not valid:
        raise ValueError(f"{name} must be {expected}, not {getattr(options, name)!r}")
