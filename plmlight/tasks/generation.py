from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plmlight.nn import Cache
from plmlight.tasks.causal_lm import CausalLM


class TorchLanguageModel:
    """A `CausalLM` as `plmlight.decoding` wants it: prompts padded on the left, the cache kept between steps.

    Args:
        task: put into evaluation mode; it runs where its weights are.
    """

    def __init__(self, task: CausalLM) -> None:
        self.task = task.eval()
        self.max_length: int | None = task.network.max_length
        self._cache: Cache = ()
        self._mask: Tensor | None = None

    @torch.inference_mode()
    def start(self, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Reads prompts and gives the logits [B, V] of the next tokens.

        Raises:
            ValueError: for an empty prompt.
        """
        if not prompts or not all(len(prompt) for prompt in prompts):
            raise ValueError("a prompt has no tokens: a decoder needs at least one to start from")
        network, weight = self.task.network, self.task.head.weight
        longest = max(map(len, prompts))
        padded = [[network.pad_token_id] * (longest - len(prompt)) + list(prompt) for prompt in prompts]
        ids = torch.tensor(padded, device=weight.device)  # [B, T]
        self._mask = None
        if any(len(prompt) < longest for prompt in prompts):
            lengths = torch.tensor([[len(prompt)] for prompt in prompts], device=weight.device)
            self._mask = (torch.arange(longest, 0, -1, device=weight.device) <= lengths).long()  # [B, T]
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

    def _read(self, ids: Tensor) -> Tensor:
        hidden, cache = self.task.network(ids, self._mask, self._cache)
        assert cache is not None
        self._cache = cache
        logits: Tensor = self.task.head(hidden[:, -1])  # [B, V]
        return logits
