from __future__ import annotations

from itertools import count, takewhile

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.objectives.base import Batch
from plmlight.objectives.keyed_random import KeyedRandom
from plmlight.objectives.raw_text import RawText, Side, least
from plmlight.text import Frame

NOISE, KEPT = range(2)
"""Streams of random numbers: where the hidden tokens are parted into spans, and where the others are."""


class SpanCorruption(RawText):
    """Takes spans out of a text, and asks for them (T5, Raffel et al. 2020, arXiv:1910.10683, section 3.1.4).

    A sentinel stands for each span, the next one for the next: ``Thank you <extra_id_0> me to <extra_id_1> week.</s>``,
    and the target has the spans behind their sentinels: ``<extra_id_0> for inviting <extra_id_1> your party last</s>``.
    As in the paper's code hidden and other tokens are each parted at random into as many spans, of which the first is
    not hidden, and the numbers of both follow from the length of the row. So rows of `source_length` tokens give
    sources of one length and targets of one length, and nothing is padded: with the defaults 568 tokens become 512 and
    114. Ends of documents within a row are tokens as others.

    Args:
        noise_density: the share of the tokens that is hidden.
        mean_span_length: the mean number of tokens in a span.

    Raises:
        ValueError: for a share that is none, or spans so short that there are more of them than other tokens.
    """

    def __init__(self, noise_density: float = 0.15, mean_span_length: float = 3.0) -> None:
        super().__init__()
        if not 0 < noise_density < 1:
            raise ValueError(f"noise_density {noise_density}: expected more than 0 and less than 1")
        shortest = max(1.0, noise_density / (1 - noise_density))
        if mean_span_length < shortest:
            raise ValueError(
                f"mean_span_length {mean_span_length}: expected at least {shortest:.4g} at noise_density "
                f"{noise_density}, as spans need other tokens between them"
            )
        self.noise_density, self.mean_span_length = noise_density, mean_span_length
        self._sentinels = torch.empty(0, dtype=torch.int64)

    def use_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Finds the end of a text and the sentinels, ``<extra_id_0>`` and so on."""
        super().use_tokenizer(tokenizer)
        ids = (tokenizer.token_to_id(f"<extra_id_{number}>") for number in count())
        self._sentinels = torch.tensor(list(takewhile(lambda id_: id_ is not None, ids)), dtype=torch.int64)

    def check_ready(self) -> None:
        """Refuses to begin without sentinels.

        Raises:
            ValueError: without a tokenizer, or when it has none.
        """
        super().check_ready()
        if not len(self._sentinels):
            raise ValueError(
                "SpanCorruption needs a tokenizer with sentinels, <extra_id_0> and so on: this one has none; take one "
                "of tokenizer_kind t5"
            )

    def counts(self, length: int) -> tuple[int, int]:
        """How much of a row is hidden.

        Args:
            length: tokens of the row.

        Returns:
            The hidden tokens, and their spans; none in a row of fewer than two tokens.
        """
        if length < 2:
            return 0, 0
        noise = min(max(round(length * self.noise_density), 1), length - 1)
        return noise, min(max(round(noise / self.mean_span_length), 1), noise, length - noise)

    def source_length(self, max_length: int) -> int:
        """The most tokens that, with sentinels for the hidden ones and the end, become ``max_length``.

        Raises:
            ValueError: when that is too short for a sentinel beside a token.
        """
        if max_length < 3:
            raise ValueError(f"max_length {max_length}: expected at least 3, for a token, a sentinel and an end")
        length = max_length
        while self._corrupted_length(length + 1) <= max_length:
            length += 1
        while self._corrupted_length(length) > max_length:
            length -= 1
        return length

    def target_length(self, max_length: int) -> int:
        """The tokens of the target, end included, of a row of ``source_length(max_length)``."""
        return sum(self.counts(self.source_length(max_length))) + 1

    def _corrupted_length(self, length: int) -> int:
        noise, spans = self.counts(length)
        return length - noise + spans + 1

    def corrupt(self, batch: Batch, rng: KeyedRandom) -> Batch:
        """Takes spans out; ``labels`` has them.

        Raises:
            ValueError: when something is missing, rows are of several documents, or there are too few sentinels.
        """
        end = Frame((), self.frame.closing[-1:])
        text = self.text(batch)
        device, length = text.tokens.device, text.tokens.shape[1]
        most_noise, most = self.counts(length)
        if most > len(self._sentinels):
            raise ValueError(
                f"a row of {length} tokens has {most} spans, but the tokenizer only {len(self._sentinels)} sentinels: "
                "take shorter rows or a greater mean_span_length"
            )
        table = torch.tensor([self.counts(number) for number in range(length + 1)], device=device)  # [L+1, 2]
        noise, spans = table[text.counts()].unbind(1)
        if not most:
            return self.sides(batch, Side(text.tokens, text.counts()), Side(text.tokens[:, :0], noise), end)
        hidden = _parted(noise, spans, most_noise, most, rng, NOISE)  # [B, K], the tokens of each span
        kept = _parted(text.counts() - noise, spans, length - most_noise, most, rng, KEPT)  # [B, K], those before it
        starts = (kept + hidden).cumsum(1) - kept - hidden
        whole = text.lengths is None
        source = Side(
            self._beside_sentinels(text.tokens, starts, kept, length - most_noise + most, first=False),
            None if whole else text.counts() - noise + spans,
        )
        target = Side(
            self._beside_sentinels(text.tokens, starts + kept, hidden, most_noise + most, first=True),
            None if whole else noise + spans,
        )
        return self.sides(batch, source, target, end)

    def _beside_sentinels(self, tokens: Tensor, starts: Tensor, lengths: Tensor, width: int, *, first: bool) -> Tensor:
        """Pieces of a text, each with its sentinel before or behind it.

        Args:
            tokens: [B, L].
            starts: [B, K], where the pieces start.
            lengths: [B, K], their tokens.
            width: N.
            first: whether the sentinels stand before the pieces.

        Returns:
            [B, N]; what is beyond the last piece means nothing.
        """
        self._sentinels = self._sentinels.to(tokens.device)
        places = torch.arange(width, device=tokens.device).repeat(len(tokens), 1)  # [B, N]
        ends = (lengths + 1).cumsum(1)
        piece = torch.searchsorted(ends, places, right=True).clamp_max(lengths.shape[1] - 1)  # [B, N]
        within = places - (ends - lengths - 1).gather(1, piece)
        sentinel = within == (0 if first else lengths.gather(1, piece))
        raw = (starts.gather(1, piece) + within - int(first)).clamp(0, tokens.shape[1] - 1)
        return torch.where(sentinel, self._sentinels[piece], tokens.gather(1, raw))


def _parted(items: Tensor, parts: Tensor, most: int, width: int, rng: KeyedRandom, stream: int) -> Tensor:
    """Parts items at random, each way as likely as any other, none of the parts empty.

    Args:
        items: [B], how many.
        parts: [B], into how many.
        most: at most so many items.
        width: K, at most so many parts.
        rng: where random choices come from.
        stream: of random numbers.

    Returns:
        [B, K], the number of items of each part; 0 where there is none.
    """
    cuts = least(rng.uniform(max(most - 1, 0), stream), max(width - 1, 0), items - 1) + 1  # [B, K-1]
    beyond = torch.arange(cuts.shape[1], device=items.device) >= (parts - 1)[:, None]
    cuts = torch.where(beyond, items[:, None], cuts).sort(1).values
    edges = torch.cat([torch.zeros_like(items)[:, None], cuts, items[:, None]], 1)  # [B, K+1]
    return edges.diff(dim=1)
