from __future__ import annotations

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.adapters.adapter import Adapter
from plmlight.nn import Network, PostNormEncoder, PromptableDecoder, PromptedEmbedding, StackedEncoderDecoder


class PromptTuning(Adapter):
    """Learned vectors in the place of tokens before every text.

    Lester et al. 2021, arXiv:2104.08691. A network reads them as tokens: they take positions, so that a text may be so
    much shorter, and they are no part of what the network gives. We differ from the paper in that a decoder attends to
    an encoder's tokens alone, not to its prompt. A learning rate of about 0.3 (Adafactor) is the paper's; 1e-2 suits
    AdamW.

    Args:
        length: how many vectors.
        text: what they start from, cut or repeated to the length. None takes tokens of the vocabulary at random.

    Raises:
        ValueError: for a length below 1, or an empty text.
    """

    def __init__(self, length: int = 20, text: str | None = None) -> None:
        if length < 1:
            raise ValueError(f"length {length}: expected at least 1")
        if text is not None and not text.strip():
            raise ValueError("text is empty: expected one that the prompt starts from, or null")
        self.length = self.reserved = length
        self.text = text

    def insert(self, network: Network) -> None:
        """Gives the table of tokens a prompt."""
        table = network.token_embedding
        sharing = [part for part in network.modules() if isinstance(part, Network) and part.token_embedding is table]
        places = (PostNormEncoder, StackedEncoderDecoder, PromptableDecoder)
        attends = isinstance(network, PromptableDecoder) and network.memory_dim is not None
        if attends or not any(isinstance(part, places) for part in sharing):
            raise ValueError(f"PromptTuning: {type(network).__name__} has no place for a prompt")
        if self.length >= network.max_length:
            raise ValueError(
                f"PromptTuning: length {self.length} leaves nothing of the network's max_length {network.max_length}"
            )
        made = PromptedEmbedding(table, self.length)
        for parent in list(network.modules()):
            for name, child in list(parent.named_children()):
                if child is table:
                    setattr(parent, name, made)
        for part in sharing:
            part.max_length -= self.length
        if self.text is None:
            weight = table.weight
            self._start(made, torch.randint(len(weight), (self.length,), device=weight.device))

    def begin(self, network: Network, tokenizer: Tokenizer | None) -> None:
        """Takes the vectors of the text's tokens, unless something was learned already."""
        made = network.token_embedding
        assert isinstance(made, PromptedEmbedding)
        if self.text is None or bool(made.prompt.any()):
            return
        if tokenizer is None:
            raise ValueError("PromptTuning: a text to start from needs a tokenizer, and the task has none")
        ids = tokenizer.encode(self.text, add_special_tokens=False).ids
        if not ids:
            raise ValueError(f"PromptTuning: the tokenizer finds no token in the text {self.text!r}")
        self._start(made, torch.tensor((ids * self.length)[: self.length], device=made.weight.device))

    def _start(self, table: PromptedEmbedding, rows: Tensor) -> None:
        with torch.no_grad():
            table.prompt.copy_(table.weight[rows])
