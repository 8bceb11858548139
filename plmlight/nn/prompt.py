"""Learned vectors in the place of tokens, before every text."""

from __future__ import annotations

from abc import abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plmlight.nn.roles import Cache, Decoder, Network


class PromptedEmbedding(nn.Embedding):
    """A table of tokens, and a prompt: vectors of no token (Lester et al. 2021, arXiv:2104.08691, section 2).

    Their ids are those that follow the vocabulary's, so that a network treats them as any token: positions, norms and
    scales. The table keeps its name, and shares its weight with the table that it was.

    Args:
        table: the table [V, E].
        length: L, how many vectors.

    Attributes:
        prompt: the vectors [L, E].
        remembered: what a decoder makes of the prompt, where it does not change any more (`remember_prompt`).
    """

    def __init__(self, table: nn.Embedding, length: int) -> None:
        nn.Module.__init__(self)  # not nn.Embedding's, which would draw a table
        for name in ("num_embeddings", "embedding_dim", "padding_idx", "max_norm", "norm_type", "scale_grad_by_freq"):
            setattr(self, name, getattr(table, name))
        self.sparse, self.weight, self.length = table.sparse, table.weight, length
        self.prompt = nn.Parameter(table.weight.detach().new_zeros(length, table.embedding_dim))
        self.remembered: Cache | None = None

    def forward(self, input: Tensor) -> Tensor:
        """[...] to [..., E]."""
        if self.remembered is not None:
            return F.embedding(input, self.weight, self.padding_idx)
        size = self.num_embeddings
        known = F.embedding(input.clamp(max=size - 1), self.weight, self.padding_idx)
        learned = F.embedding((input - size).clamp(min=0), self.prompt)
        return torch.where((input < size)[..., None], known, learned)

    def ids(self, rows: int, device: torch.device) -> Tensor:
        """The prompt's ids, [rows, L]."""
        first = self.num_embeddings
        return torch.arange(first, first + self.length, device=device).expand(rows, -1)


def prompt_of(network: Network) -> PromptedEmbedding | None:
    """The table with a network's prompt; None where it has none."""
    table = network.token_embedding
    return table if isinstance(table, PromptedEmbedding) else None


def prompt_length(network: Network) -> int:
    """How many vectors stand before every text; 0 without a prompt."""
    table = prompt_of(network)
    return 0 if table is None else table.length


def after_prompt(
    network: Network, input_ids: Tensor, attention_mask: Tensor | None, token_type_ids: Tensor | None = None
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Puts a network's prompt, if it has one, before what it reads at once.

    Args:
        network: the network.
        input_ids: [B, T].
        attention_mask: [B, T].
        token_type_ids: [B, T]; the prompt is of segment 0.

    Returns:
        The same with L more columns at their beginning, the hidden states of which are to be cut off.

    Raises:
        ValueError: for rows of several documents: the prompt is read together with one.
    """
    table = prompt_of(network)
    if table is None:
        return input_ids, attention_mask, token_type_ids
    rows, length = len(input_ids), table.length
    if token_type_ids is not None:
        token_type_ids = F.pad(token_type_ids, (length, 0))
    ids = torch.cat([table.ids(rows, input_ids.device), input_ids], 1)  # [B, L+T]
    return ids, _seeing(attention_mask, length), token_type_ids


class PromptableDecoder(Decoder):
    """A decoder, of keys and values, that may go on from a prompt.

    The prompt sees nothing of what follows, so that one row of it serves all. No cache holds it.
    """

    @abstractmethod
    def read(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """What `Decoder.forward` is to do, without a prompt."""

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        cache: Cache | None = None,
        memory: Tensor | None = None,
        memory_mask: Tensor | None = None,
    ) -> tuple[Tensor, Cache | None]:
        """Reads tokens; see `Decoder.forward`.

        Raises:
            ValueError: for a document of more tokens than there are positions, or for several in a row after a prompt.
        """
        table = prompt_of(self)
        if table is None:
            return self.read(input_ids, attention_mask, cache, memory, memory_mask)
        rows, length = len(input_ids), table.length
        before = table.remembered if table.remembered is not None else self.remember(table)
        past = tuple(kept.expand(rows, -1, -1, -1) for kept in before)  # [B, H, L, D/H]
        if cache is not None:
            past = tuple(torch.cat([kept.to(new.dtype), new], 2) for kept, new in zip(past, cache, strict=True))
        hidden, present = self.read(input_ids, _seeing(attention_mask, length), past)
        assert present is not None
        return hidden, None if cache is None else tuple(kept[:, :, length:] for kept in present)

    def remember(self, table: PromptedEmbedding) -> Cache:
        """What it makes of its prompt: keys and values [1, H, L, D/H]."""
        weight = table.weight
        _, cache = self.read(table.ids(1, weight.device), None, self.empty_cache(1, weight.dtype, weight.device))
        assert cache is not None
        return cache


def remember_prompts(module: nn.Module) -> None:
    """Fixes what decoders make of their prompts, so that a graph has it as numbers.

    Args:
        module: changed in place.
    """
    for part in module.modules():
        table = prompt_of(part) if isinstance(part, PromptableDecoder) else None
        if table is not None:
            assert isinstance(part, PromptableDecoder)
            with torch.no_grad():
                table.remembered = part.remember(table)


def _seeing(attention_mask: Tensor | None, length: int) -> Tensor | None:
    """A mask [B, S] with the prompt before it, [B, L+S]."""
    if attention_mask is None:
        return None
    if not torch.compiler.is_exporting() and bool((attention_mask > 1).any()):
        raise ValueError("a prompt stands before one document, and the rows have several: isolate_documents false")
    return F.pad(attention_mask, (length, 0), value=1)
