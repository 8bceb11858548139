"""Encoder-decoders for the tests, small and without training."""

from functools import cache

import torch
from tokenizers import Tokenizer

from plmlight.networks import T5
from plmlight.nn import EncoderDecoder
from plmlight.tasks import Seq2Seq
from plmlight.text import TextForm, train_tokenizer

PREFIXES = TextForm({"german": "translate to German: ", "short": "summarise: "})
DIALOGUE = TextForm(roles=("you:", "me:"), history=3)


@cache
def byte_pairs() -> Tokenizer:
    texts = ["she opened the door and went into the garden: translate to German, summarise\n"]
    return train_tokenizer(texts * 20, "byte-bpe", 280)


def small_sequence(
    network: EncoderDecoder | None = None,
    form: TextForm = PREFIXES,
    target_tokenizer: Tokenizer | None = None,
    **arguments: object,
) -> Seq2Seq:
    """A task whose weights are large enough for answers to differ."""
    torch.manual_seed(0)
    sizes = {"vocab_size": 290, "d_model": 24, "num_layers": 1, "num_heads": 3, "max_length": 61}
    network = network if network is not None else T5(**sizes)  # type: ignore[arg-type]
    task = Seq2Seq(network, **arguments)  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.tokenizer, task.target_tokenizer, task.text_form = byte_pairs(), target_tokenizer, form
    return task.eval()
