"""Encoders for the tests, small and without training, and their bundles."""

from functools import cache

import torch
from tokenizers import Tokenizer

from plmlight.networks import BERT
from plmlight.nn import Encoder
from plmlight.objectives import NextSentencePrediction
from plmlight.tasks import MaskedLM, SentenceEmbedding
from plmlight.text import train_tokenizer


@cache
def wordpiece() -> Tokenizer:
    texts = ["Paris is the capital of France .", "she opened the door and went into the garden", "天 气 很 好"]
    return train_tokenizer(texts * 5, "wordpiece", 96, lowercase=True)


def shaken(task: torch.nn.Module) -> None:
    """Makes weights large enough for answers to differ."""
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)


def small_encoder(
    network: Encoder | None = None, *, pairs: bool = False, tokenizer: Tokenizer | None = None
) -> MaskedLM:
    """A masked language model of odd sizes."""
    torch.manual_seed(0)
    network = (
        network if network is not None else BERT(vocab_size=101, d_model=24, num_layers=2, num_heads=3, max_length=37)
    )
    task = MaskedLM(network, pair_objective=NextSentencePrediction() if pairs else None)
    shaken(task)
    task.tokenizer = tokenizer if tokenizer is not None else wordpiece()
    return task.eval()


def small_embedder(network: Encoder | None = None, **arguments: object) -> SentenceEmbedding:
    """A model that embeds, of odd sizes."""
    torch.manual_seed(0)
    network = (
        network if network is not None else BERT(vocab_size=101, d_model=24, num_layers=2, num_heads=3, max_length=37)
    )
    task = SentenceEmbedding(network, **arguments)  # type: ignore[arg-type]
    shaken(task)
    task.tokenizer = wordpiece()
    return task.eval()
