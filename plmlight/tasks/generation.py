from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from plmlight.decoding.model import memories
from plmlight.nn import Cache, is_remembered

if TYPE_CHECKING:  # a task may decode in validation, and so import this
    from plmlight.tasks.causal_lm import CausalLM
    from plmlight.tasks.seq2seq import Seq2Seq


class TorchLanguageModel:
    """A `CausalLM` as `plmlight.decoding` wants it: prompts padded on the left, the cache kept between steps.

    Args:
        task: put into evaluation mode; it runs where its weights are.
    """

    def __init__(self, task: CausalLM) -> None:
        self.task = task.eval()
        self.max_length: int | None = task.network.context_length
        self._cache: Cache = ()
        self._mask: Tensor | None = None
        self._hidden: Tensor | None = None

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads prompts and gives the logits [B, V] of the next tokens.

        Raises:
            ValueError: for an empty prompt.
        """
        network, weight = self.task.network, self.task.head.weight
        ids, self._mask = _pad_left(prompts, network.pad_token_id, weight.device)
        self._cache = network.empty_cache(len(prompts), weight.dtype, weight.device)
        return self._read(ids)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Appends one token a row and gives the logits [B, V] of the next."""
        ids = torch.tensor(tokens, device=self.task.head.weight.device)[:, None]  # [B, 1]
        if self._mask is not None:
            self._mask = torch.cat([self._mask, torch.ones_like(ids)], 1)  # [B, P+1]
        return self._read(ids)

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Makes the batch consist of these rows of the present one."""
        index = torch.tensor(rows, dtype=torch.int64, device=self.task.head.weight.device)
        self._cache = tuple(tensor.index_select(0, index) for tensor in self._cache)
        if self._mask is not None:
            self._mask = self._mask.index_select(0, index)

    def hidden(self) -> Tensor:
        """The hidden states of the last call; see `plmlight.decoding.Revealing`."""
        assert self._hidden is not None, "nothing was read"
        return self._hidden

    def _read(self, ids: Tensor) -> Tensor:
        self._hidden, cache = self.task.network(ids, self._mask, self._cache)
        assert cache is not None
        self._cache = cache
        logits: Tensor = self.task.head(self._hidden[:, -1])  # [B, V]
        return logits


class TorchSequenceModel:
    """A `Seq2Seq` as `plmlight.decoding` wants it.

    Args:
        task: put into evaluation mode; it runs where its weights are.
    """

    def __init__(self, task: Seq2Seq) -> None:
        self.task = task.eval()
        network = task.network
        self.max_length: int | None = network.target_max_length
        self.max_source_length: int | None = network.max_length
        self.decoder_start_token_id = network.decoder_start_token_id

    @torch.inference_mode()
    def read(self, sources: Sequence[Sequence[int]]) -> TorchWriter:
        """Encodes sources, padded on the right; see `plmlight.decoding.SequenceModel`.

        Raises:
            ValueError: for an empty source.
        """
        if not sources or not all(len(source) for source in sources):
            raise ValueError("a source has no tokens: an encoder needs at least one to read")
        network, device = self.task.network, self.task.head.weight.device
        longest = max(map(len, sources))
        padded = [list(source) + [network.pad_token_id] * (longest - len(source)) for source in sources]
        lengths = torch.tensor([[len(source)] for source in sources], device=device)
        mask = (torch.arange(longest, device=device) < lengths).long()  # [B, S]
        full = all(len(source) == longest for source in sources)
        memory = network.encode(torch.tensor(padded, device=device), None if full else mask)
        return TorchWriter(self.task, memory, None if full else mask)


class TorchWriter:
    """The decoder of a `Seq2Seq` over sources that were read: a `plmlight.decoding.LanguageModel`.

    Args:
        task: in evaluation mode.
        memory: [B, S, D], what the encoder gave.
        mask: [B, S], 0 is padding; None where nothing is.
    """

    def __init__(self, task: Seq2Seq, memory: Tensor, mask: Tensor | None) -> None:
        self.task = task
        self.max_length: int | None = task.network.target_max_length
        self._memory, self._source_mask = memory, mask
        self._remembered = [is_remembered(name) for name in task.network.cache_names()]
        self._begun: Cache = ()  # the cache before anything was written
        self._cache: Cache = ()
        self._mask: Tensor | None = None
        self._memory_mask = mask
        self._sources: list[int] = []  # the source of each row
        self._memories: list[int] = []  # the sources that the cache remembers, which rows may share
        self._hidden: Tensor | None = None

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads what the answers begin with, one a source, and gives the logits [B, V] of the next tokens.

        Raises:
            ValueError: for an empty prompt, or a number of them that is not the sources'.
        """
        if len(prompts) != len(self._memory):
            raise ValueError(f"{len(self._memory)} sources came with {len(prompts)} prompts")
        ids, self._mask = _pad_left(prompts, self.task.network.pad_token_id, self._memory.device)
        self._begun = self._cache = self.task.network.empty_cache(self._memory)
        self._memory_mask = self._source_mask
        self._sources = self._memories = list(range(len(prompts)))
        return self._write(ids)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Tensor:
        """Appends one token a row and gives the logits [B, V] of the next."""
        ids = torch.tensor(tokens, device=self._memory.device)[:, None]  # [B, 1]
        if self._mask is not None:
            self._mask = torch.cat([self._mask, torch.ones_like(ids)], 1)  # [B, P+1]
        return self._write(ids)

    @torch.inference_mode()
    def select(self, rows: Sequence[int]) -> None:
        """Makes the batch consist of these rows; what is remembered of a source lies there once for all its beams."""
        index = torch.tensor(rows, dtype=torch.int64, device=self._memory.device)
        self._sources = [self._sources[row] for row in rows]
        before, self._memories = self._memories, memories(self._sources)
        cache = list(self._cache)
        if self._memories != before:
            asked = torch.tensor(self._memories, dtype=torch.int64, device=self._memory.device)
            cache = [tensor.index_select(0, asked) for tensor in self._begun]
            self._memory_mask = None if self._source_mask is None else self._source_mask.index_select(0, asked)
        self._cache = tuple(
            stays if remembered else tensor.index_select(0, index)
            for tensor, stays, remembered in zip(self._cache, cache, self._remembered, strict=True)
        )
        if self._mask is not None:
            self._mask = self._mask.index_select(0, index)

    def hidden(self) -> Tensor:
        """The hidden states of the last call; see `plmlight.decoding.Revealing`."""
        assert self._hidden is not None, "nothing was read"
        return self._hidden

    def coverage(self) -> Tensor:
        """How much attention each token of the source has had; see `plmlight.decoding.Covering`.

        Raises:
            ValueError: when the network does not sum it.
        """
        names = self.task.network.cache_names()
        if _COVERAGE not in names:
            raise ValueError(f"{type(self.task.network).__name__} does not sum its attention to the source")
        coverage = self._cache[names.index(_COVERAGE)]
        return coverage if self._source_mask is None else coverage.masked_fill(self._source_mask[self._sources] == 0, 1)

    def _write(self, ids: Tensor) -> Tensor:
        # the memory is not read, as the cache holds what is needed of it
        self._hidden, cache = self.task.network.decode(ids, None, self._memory_mask, self._cache, self._mask)
        assert cache is not None
        self._cache = cache
        logits: Tensor = self.task.head(self._hidden[:, -1])  # [B, V]
        return logits


_COVERAGE = "state.coverage"


def _pad_left(
    prompts: Sequence[Sequence[int]], pad_token_id: int, device: torch.device
) -> tuple[Tensor, Tensor | None]:
    """Prompts of different lengths as ids [B, T], and their mask where there is padding."""
    if not prompts or not all(len(prompt) for prompt in prompts):
        raise ValueError("a prompt has no tokens: a decoder needs at least one to start from")
    longest = max(map(len, prompts))
    padded = [[pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
    mask = None
    if any(len(prompt) < longest for prompt in prompts):
        lengths = torch.tensor([[len(prompt)] for prompt in prompts], device=device)
        mask = (torch.arange(longest, 0, -1, device=device) <= lengths).long()  # [B, T]
    return torch.tensor(padded, device=device), mask
