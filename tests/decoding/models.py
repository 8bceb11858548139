"""Language models for the tests: small enough to think through, or Hugging Face's behind the protocol."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel, T5Config, T5ForConditionalGeneration

from plmlight.decoding.model import Array


class Scripted:
    """A model without a network: a function from all tokens of a row to its logits."""

    def __init__(self, logits: Callable[[list[int]], np.ndarray], max_length: int | None = None) -> None:
        self.logits = logits
        self.max_length = max_length
        self.rows: list[list[int]] = []
        self.batch_sizes: list[int] = []

    def start(self, prompts: Sequence[Sequence[int]]) -> Array:
        self.rows = [list(prompt) for prompt in prompts]
        return self._run()

    def step(self, tokens: Sequence[int]) -> Array:
        assert len(tokens) == len(self.rows)
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)
        return self._run()

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[row]) for row in rows]

    def _run(self) -> Array:
        self.batch_sizes.append(len(self.rows))
        return np.stack([self.logits(row) for row in self.rows])


def hashed(vocab_size: int, seed: int = 0) -> Callable[[list[int]], np.ndarray]:
    """Logits that look random but are a function of the row alone."""
    return lambda row: np.random.default_rng([seed, *row]).normal(size=vocab_size).astype(np.float32) * 2


def follows(sequence: Sequence[int], vocab_size: int) -> Callable[[list[int]], np.ndarray]:
    """A model that continues a prompt of one token with this sequence."""
    return lambda row: np.eye(vocab_size, dtype=np.float32)[sequence[len(row) - 1]] * 10


def tiny_gpt2(vocab_size: int = 50, max_length: int = 64) -> Any:
    """A random GPT-2 whose distributions are peaked enough for beams to differ."""
    torch.manual_seed(3)
    config = GPT2Config(
        vocab_size=vocab_size,
        n_positions=max_length,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.4,
        bos_token_id=0,
        eos_token_id=None,
    )
    return GPT2LMHeadModel(config).eval()


class HuggingFace:
    """A Hugging Face decoder behind the protocol; it recomputes everything at each step, unpadded."""

    def __init__(self, model: Any, numpy: bool) -> None:
        self.model = model
        self.numpy = numpy
        self.max_length: int | None = model.config.n_positions
        self.rows: list[list[int]] = []

    def start(self, prompts: Sequence[Sequence[int]]) -> Array:
        self.rows = [list(prompt) for prompt in prompts]
        return self._run()

    def step(self, tokens: Sequence[int]) -> Array:
        for row, token in zip(self.rows, tokens, strict=True):
            row.append(token)
        return self._run()

    def select(self, rows: Sequence[int]) -> None:
        self.rows = [list(self.rows[row]) for row in rows]

    def _run(self) -> Array:
        with torch.inference_mode():
            logits = torch.cat([self.model(torch.tensor([row])).logits[:, -1] for row in self.rows])
        return logits.numpy() if self.numpy else logits


def tiny_t5() -> Any:
    """A random T5 that goes from token to token, as its head is its table in another order."""
    torch.manual_seed(1)
    config = T5Config(
        vocab_size=61,
        d_model=32,
        d_kv=8,
        d_ff=48,
        num_layers=2,
        num_heads=4,
        relative_attention_num_buckets=8,
        relative_attention_max_distance=20,
        pad_token_id=0,
        eos_token_id=1,
        decoder_start_token_id=0,
        feed_forward_proj="gated-gelu",
        tie_word_embeddings=False,
    )
    model = T5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "layer_norm" not in name:
                parameter.normal_(0, 1.0 if "shared" in name else 0.15)
    head = model.shared.weight[torch.randperm(config.vocab_size)] * 0.15
    model.lm_head.weight = torch.nn.Parameter(head.detach())  # transformers ties it whatever the configuration says
    return model
