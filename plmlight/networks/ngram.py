from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from plmlight.heads.backoff import BackoffHead
from plmlight.nn import Cache, Decoder, TokensFirst
from plmlight.nn.backoff import BackoffTables
from plmlight.nn.counting import Counted, Counts, Estimates, count_ngrams, kneser_ney
from plmlight.text.arpa import END, NEVER, START, Arpa, Ngrams, read_arpa


class NGram(Counted, Decoder):
    """The n-gram language model with interpolated Kneser-Ney smoothing (Kneser and Ney 1995; Chen and Goodman 1999).

    The formulas, with three discounts, are those that Heafield et al. 2013 (ACL, section 3) write out; where they
    cannot be estimated, as of very little text, see `plmlight.nn.counting.kneser_ney`. Every id of the vocabulary gets
    a probability, so that nothing is unknown. A document begins with ``<s>``, for which any token stands that separates
    documents, and what is before it is not looked at; a row that begins within a document has a shorter context first.

    There is nothing to differentiate: ``fit`` counts in one pass, from data that comes in order. The hidden states are
    numbers, of the n-gram of each length up to n-1 that ends at a place, and the scores are logarithms of
    probabilities. The cache is the window of the last n-1 tokens.

    Args:
        vocab_size: V.
        order: n: a token is predicted from the n-1 before it.
        modified: three discounts, for counts of 1, of 2, and of 3 or more, instead of one.
        max_length: tokens of a row that the data gives; there is no limit.
        pad_token_id: the id that fills up batches; it has no influence where the mask is 0.

    Raises:
        ValueError: for an order below 1.
    """

    def __init__(
        self, vocab_size: int, order: int = 5, modified: bool = True, max_length: int = 512, pad_token_id: int = 0
    ) -> None:
        if order < 1:
            raise ValueError(f"order {order}: expected at least 1, tokens by themselves")
        super().__init__(vocab_size, max(1, order - 1), max_length, pad_token_id)
        self.order, self.modified = order, modified
        self.tables = BackoffTables(vocab_size, order)
        self.numbers: Tensor  # of a word of the window: of none, and of each id, its own or that of <s>
        self.register_buffer("numbers", torch.cat([torch.tensor([vocab_size + 1]), torch.arange(vocab_size)]))
        self.discounts: Tensor  # [n, 3]
        self.register_buffer("discounts", torch.zeros(order, 3))
        self._tokens: list[np.ndarray] = []
        self._begins: list[np.ndarray] = []
        self._next = 0  # the number of the row that is to come
        self._last = -1  # the label of the last token, and whether another row begins with it

    @property
    def token_embedding(self) -> nn.Embedding:
        """There is none.

        Raises:
            ValueError: always.
        """
        raise ValueError("NGram has no token embedding: it knows tokens by their numbers")

    @property
    def context_length(self) -> None:
        """There is no limit."""

    @property
    def output_dim(self) -> int:
        """The number of context lengths."""
        return self.d_model

    def head(self) -> BackoffHead:
        """What looks scores up."""
        return BackoffHead(self.tables)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Reads tokens; see `Decoder.forward`. The hidden states are int64."""
        (window,) = cache if cache is not None else self.empty_cache(input_ids.shape[0], device=input_ids.device)
        length, width, words = input_ids.shape[1], self.d_model, input_ids + 1
        if attention_mask is None:
            row = torch.cat([window, words], 1)  # [B, n-1+T]
            hidden = self.tables.contexts(self.numbers[row], torch.ones_like(row, dtype=torch.bool))[:, width:]
            return hidden, None if cache is None else (row[:, length:],)
        mask = attention_mask[:, -length:]
        tokens = TokensFirst(mask)
        row = torch.cat([window, words.gather(1, tokens.order)], 1)
        number = mask.gather(1, tokens.order)  # of the document; what the window holds belongs to the row's first
        number = torch.cat([number[:, :1].expand(-1, width), number], 1)
        follows = number == torch.cat([number[:, :1], number], 1)[:, :-1]
        found = self.tables.contexts(self.numbers[row], follows)[:, width:]  # [B, T, n-1]
        place = (tokens.place - 1).clamp(min=0)[..., None].expand(-1, -1, width)
        after = row.gather(1, tokens.counts[:, None] + torch.arange(width, device=row.device))
        return found.gather(1, place), None if cache is None else (after,)

    def empty_cache(
        self,
        batch_size: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
        memory: Tensor | None = None,
    ) -> Cache:
        """The window before the first token [B, max(1, n-1)], int64: ids plus one, and 0 where there is none."""
        return (torch.zeros(batch_size, self.d_model, dtype=torch.int64, device=device),)

    def cache_names(self) -> list[str]:
        """``state.window``."""
        return ["state.window"]

    def count(self, batch: Mapping[str, Tensor]) -> None:
        """Takes note of a batch; see `Counted.count`."""
        ids, labels = (batch[name].cpu().numpy() for name in ("input_ids", "labels"))
        mask = batch["attention_mask"].cpu().numpy() if "attention_mask" in batch else np.ones_like(ids)
        sample_ids = batch["sample_ids"].cpu().numpy() if "sample_ids" in batch else self._next + np.arange(len(ids))
        ends = np.append(self._last, labels[:, -1])
        touches = (ends[:-1] < 0) | (ends[:-1] == ids[:, 0])
        if not (touches.all() and np.array_equal(sample_ids, self._next + np.arange(len(ids)))):
            raise ValueError(
                "an n-gram model counts rows that go on where the one before stopped: "
                "give data in order, TextCorpus(order='sequential') with overlap 1"
            )
        begins = np.empty(ids.shape, dtype=np.bool_)
        begins[:, 0] = ends[:-1] < 0  # the row before ended with its document, or there was none
        begins[:, 1:] = mask[:, 1:] != mask[:, :-1]
        self._tokens.append(ids[mask != 0].astype(np.int32))
        self._begins.append(begins[mask != 0])
        self._next, self._last = self._next + len(ids), int(ends[-1])

    def estimate(self, boundaries: Sequence[int]) -> None:
        """Makes the model of all that was counted; see `Counted.estimate`."""
        if not self._next:
            raise ValueError("nothing was counted, so that there is nothing to estimate from")
        tail = [self._last] if self._last >= 0 else []
        tokens = np.concatenate([*self._tokens, np.array(tail, dtype=np.int32)])
        begins = np.concatenate([*self._begins, np.zeros(len(tail), dtype=np.bool_)])
        self._tokens, self._begins, self._next, self._last = [], [], 0, -1
        begins[1:] |= np.isin(tokens[:-1], boundaries)
        levels = count_ngrams(np.insert(tokens, np.flatnonzero(begins), self.vocab_size), self.vocab_size, self.order)
        estimates = kneser_ney(levels, self.modified)
        self.tables.fill(levels, estimates)
        self.use_boundaries(boundaries)
        self.discounts.copy_(torch.tensor([found.discounts for found in estimates]))

    def to_arpa(self, names: Sequence[str]) -> Arpa:
        """The model as a file in the ARPA format holds it.

        Args:
            names: of the ids, as `plmlight.text.arpa.token_names` makes them.

        Returns:
            The model; its words are the names, and ``<s>`` the last one, or the token of that name.
        """
        words = list(names)
        start = words.index(START) if START in words else self.vocab_size
        if start == self.vocab_size:
            words.append(START)
        levels = []
        for k in range(1, self.order + 1):
            ids, scores, shares = (part.cpu().double().numpy() for part in self.tables.ngrams(k))
            if k == 1 and start < self.vocab_size:  # one line has the token's probability and the back-off of <s>
                shares[start] = shares[-1]
                ids, scores, shares = ids[:-1], scores[:-1], shares[:-1]
            scores = np.maximum(scores / np.log(10), NEVER)
            ids[ids == self.vocab_size] = start
            levels.append(Ngrams(ids.astype(np.int32), scores, shares / np.log(10)))
        return Arpa(words, levels)

    @classmethod
    def from_arpa(cls, source: str | Arpa, names: Sequence[str] | None = None) -> NGram:
        """Builds the model of a file in the ARPA format.

        Args:
            source: the file, or what was read of it.
            names: of the ids, as `plmlight.text.arpa.token_names` makes them; the words of the file in its order, but
                for ``<s>``, by default.

        Returns:
            The model; ``</s>`` is what stands between documents.

        Raises:
            ValueError: as `read_arpa`, for a word that is none of the names, and for a name that is not in the file.
        """
        arpa = source if isinstance(source, Arpa) else read_arpa(source)
        ids = {name: id_ for id_, name in enumerate(names or [word for word in arpa.words if word != START])}
        network = cls(len(ids), len(arpa.levels))
        unknown = [word for word in arpa.words if word not in ids and word != START]
        missing = [name for name in ids if name not in set(arpa.words)]
        if unknown or missing:
            what = f"the word {unknown[0]!r} is no token" if unknown else f"the token {missing[0]!r} has no 1-gram"
            raise ValueError(f"{arpa.source}: {what} of the tokenizer that is to read text for it")
        start, rows = network.vocab_size, network.vocab_size + 1
        # what a word is called where it begins an n-gram, and elsewhere, as some token may be called <s> too
        begins = np.array([start if word == START else ids[word] for word in arpa.words])
        others = np.array([ids.get(word, start) for word in arpa.words])
        one, log10 = arpa.levels[0], np.log(10)
        scores, shares = np.full(rows, -np.inf), np.zeros(rows)
        scores[others[one.ids[:, 0]]] = one.log_probabilities * log10
        scores[start] = -np.inf  # nothing predicts <s>
        shares[begins[one.ids[:, 0]]] = one.log_backoffs * log10
        levels = [Counts(np.array([0, rows]), np.arange(rows), np.zeros(rows, np.int64), np.zeros(rows, np.int32))]
        estimates = [Estimates(scores, shares, (0.0, 0.0, 0.0))]
        keys: list[np.ndarray] = []  # of each length from 2, sorted
        for level in arpa.levels[1:]:
            number, words = begins[level.ids[:, 0]], others[level.ids[:, 1:]]
            for known, word in zip(keys, words.T[:-1], strict=True):
                number = np.searchsorted(known, number * rows + word)
            key = number * rows + words[:, -1]
            order = np.argsort(key)
            keys.append(key[order])
            held = np.bincount(number, minlength=len(levels[-1].words))
            starts, none = np.concatenate([[0], np.cumsum(held)]), np.zeros(len(key), np.int64)
            levels.append(Counts(starts, words[order, -1], none, none))
            scores, shares = (part[order] * log10 for part in (level.log_probabilities, level.log_backoffs))
            estimates.append(Estimates(scores, shares, (0.0, 0.0, 0.0)))
        network.tables.fill(levels, estimates)
        network.use_boundaries([ids[name] for name in (START, END) if name in ids])
        return network

    def use_boundaries(self, boundaries: Sequence[int]) -> None:
        """Reads ids as ``<s>`` where they stand before a token.

        Args:
            boundaries: the ids.
        """
        self.numbers[torch.tensor(list(boundaries), dtype=torch.int64) + 1] = self.vocab_size
