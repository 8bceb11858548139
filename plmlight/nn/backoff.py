"""A back-off language model as tables: plain lookups that are the same in torch and in an exported graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from plmlight.nn.counting import Counts, Estimates


class BackoffTables(nn.Module):
    """The n-grams of a model as a trie of sorted tables, which are buffers: their sizes are those of what was counted.

    The number of an n-gram is its place among those of its length; the number one beyond the last is *none*. A token's
    number is its id, V is ``<s>``, and V+1 none. What continues an n-gram stands beside each other, sorted by token, so
    that a lookup halves that stretch until it is found: as many steps as the widest stretch of the length needs, each
    a few plain operators.

    Args:
        vocab_size: V.
        order: n, the length of the longest n-grams; before `fill` all tokens are equally likely.
    """

    def __init__(self, vocab_size: int, order: int) -> None:
        super().__init__()
        self.scores_1: Tensor
        self.vocab_size, self.order = vocab_size, order
        rows = vocab_size + 1
        self._put(1, np.full(rows, -np.log(vocab_size)), np.zeros(rows))
        for k in range(2, order + 1):
            none = np.zeros(0)
            self._put(k, none, none, none, np.zeros(rows + 1 if k == 2 else 1))
        self._measure()

    def fill(self, levels: Sequence[Counts], estimates: Sequence[Estimates]) -> None:
        """Takes what was counted.

        Args:
            levels: the n-grams of each length from 1 to n; their counts are not looked at.
            estimates: their probabilities and back-off weights.
        """
        for k, (level, found) in enumerate(zip(levels, estimates, strict=True), 1):
            trie = (level.words, level.starts) if k > 1 else (None, None)
            self._put(k, found.log_probabilities, found.log_backoffs, *trie)
        self._measure()

    def _put(self, k: int, scores: Any, backoffs: Any, words: Any = None, starts: Any = None) -> None:
        """Stores the tables of one length, each with an entry for *none*."""
        device = self.scores_1.device if "scores_1" in self._buffers else None
        tables = {"scores": np.append(scores, 0.0).astype(np.float32)}
        if k < self.order:
            tables["backoffs"] = np.append(backoffs, 0.0).astype(np.float32)
        if words is not None:
            tables["words"] = np.append(words, self.vocab_size).astype(np.int32)
            tables["starts"] = np.append(starts, starts[-1]).astype(np.int64)
        for name, table in tables.items():
            self.register_buffer(f"{name}_{k}", torch.tensor(table, device=device))

    def _measure(self) -> None:
        """Notes how many halvings the widest stretch of each length needs."""
        self._halvings = [0, 0]
        for k in range(2, self.order + 1):
            starts: Tensor = getattr(self, f"starts_{k}")
            widest = 0 if starts.is_meta else int(starts.diff().max())
            self._halvings.append(widest.bit_length())

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Makes the tables as long as those that come, whatever was here before."""
        for name, table in list(self._buffers.items()):
            stored = state_dict.get(prefix + name)
            if table is not None and isinstance(stored, Tensor) and stored.ndim == 1:
                self._buffers[name] = torch.empty(len(stored), dtype=table.dtype, device=table.device)
        super()._load_from_state_dict(state_dict, prefix, *args)
        self._measure()

    def sizes(self) -> list[int]:
        """How many n-grams of each length there are, ``<s>`` not counted."""
        lengths = (len(getattr(self, f"scores_{k}")) - 1 for k in range(1, self.order + 1))
        return [size - (k == 1) for k, size in enumerate(lengths, 1)]

    def ngrams(self, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """What is stored of one length.

        Args:
            k: from 1 to n.

        Returns:
            In the order of their numbers: ids [N, k], V for ``<s>``, the logarithms of the probabilities [N], and those
            of the back-off weights [N], zeros for k = n.
        """
        scores: Tensor = getattr(self, f"scores_{k}")[:-1]
        shares = getattr(self, f"backoffs_{k}")[:-1] if k < self.order else torch.zeros_like(scores)
        if k == 1:
            return torch.arange(self.vocab_size + 1)[:, None], scores, shares
        starts: Tensor = getattr(self, f"starts_{k}")[:-1]
        parents = torch.repeat_interleave(torch.arange(len(starts) - 1), starts.diff())
        words: Tensor = getattr(self, f"words_{k}")[:-1]
        return torch.cat([self.ngrams(k - 1)[0][parents], words[:, None].long()], 1), scores, shares

    def find(self, k: int, contexts: Tensor, words: Tensor) -> Tensor:
        """Looks n-grams of length k up.

        Args:
            k: from 2.
            contexts: [...], the numbers of the n-grams without their last token.
            words: [...], that token: an id, or one that is never last: V and beyond.

        Returns:
            Their numbers [...].
        """
        starts, sorted_words = getattr(self, f"starts_{k}"), getattr(self, f"words_{k}")
        none = len(sorted_words) - 1
        place, end = starts[contexts], starts[contexts + 1]
        for bit in reversed(range(self._halvings[k])):
            probe = place + (1 << bit)
            before = sorted_words[(probe - 1).clamp(max=none)]
            place = torch.where((probe <= end) & (before < words), probe, place)
        found = (place < end) & (sorted_words[place] == words)
        return torch.where(found, place, none)

    def contexts(self, ids: Tensor, follows: Tensor) -> Tensor:
        """Looks up what each place has before the token after it.

        Args:
            ids: [B, T], token ids, V for ``<s>``, V+1 for none.
            follows: [B, T], whether a token goes on with the text of the one before; false in the first column.

        Returns:
            [B, T, max(1, n-1)]: the number of the n-gram of each length from 1 that ends at each place.
        """
        found = [ids]
        for k in range(2, self.order):
            none = len(getattr(self, f"scores_{k - 1}")) - 1
            before = torch.cat([torch.full_like(ids[:, :1], none), found[-1]], 1)[:, :-1]
            found.append(self.find(k, torch.where(follows, before, none), ids))
        return torch.stack(found, -1)

    def scores(self, contexts: Tensor) -> Tensor:
        """The logarithms [N, V] of the probabilities of all tokens after contexts [N, max(1, n-1)]."""
        size = contexts.shape[0]
        out = self.scores_1[:-2].expand(size, -1)  # [N, V]
        for k in range(2, self.order + 1):
            starts, words, known = (getattr(self, f"{name}_{k}") for name in ("starts", "words", "scores"))
            context = contexts[:, k - 2]
            first = starts[context]  # [N]
            count = starts[context + 1] - first
            widest = count.max().item()
            torch._check(widest >= 0)
            offset = torch.arange(widest, device=contexts.device)
            row, step = torch.nonzero(offset < count[:, None]).unbind(1)  # [M], all that continues a context
            place = first[row] + step
            out = out + getattr(self, f"backoffs_{k - 1}")[context, None]
            flat = out.flatten().scatter(0, row * self.vocab_size + words[place], known[place])
            out = flat.view(size, self.vocab_size)
        return out

    def score(self, contexts: Tensor, words: Tensor) -> Tensor:
        """The logarithms [N] of the probabilities of single tokens [N], which are those of `scores`."""
        out = self.scores_1[words]
        for k in range(2, self.order + 1):
            context = contexts[:, k - 2]
            place, known = self.find(k, context, words), getattr(self, f"scores_{k}")
            out = torch.where(place < len(known) - 1, known[place], out + getattr(self, f"backoffs_{k - 1}")[context])
        return out
