"""Tiny random models of transformers, and ours made of the same weights."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel, OpenAIGPTConfig, OpenAIGPTLMHeadModel

from plmlight import GPT

V, D, LAYERS, LENGTH = 97, 30, 3, 40


def gpt1(num_heads: int = 5, **options: Any) -> OpenAIGPTLMHeadModel:
    """GPT-1 with odd sizes and weights large enough to matter."""
    config = OpenAIGPTConfig(
        vocab_size=V, n_positions=LENGTH, n_embd=D, n_layer=LAYERS, n_head=num_heads, pad_token_id=0, **options
    )
    return _lively(OpenAIGPTLMHeadModel(config))


def gpt2(num_heads: int = 3, **options: Any) -> GPT2LMHeadModel:
    """GPT-2 with odd sizes and weights large enough to matter."""
    config = GPT2Config(
        **{
            "vocab_size": V,
            "n_positions": LENGTH,
            "n_embd": D,
            "n_layer": LAYERS,
            "n_head": num_heads,
            "bos_token_id": 0,
            "eos_token_id": 0,
            "pad_token_id": 0,
            **options,
        }
    )
    return _lively(GPT2LMHeadModel(config))


REFERENCES = {"gpt1": gpt1, "gpt2": gpt2}


def ours(theirs: nn.Module, folder: Path) -> GPT:
    """Our network of their weights, by way of a folder."""
    theirs.save_pretrained(folder)  # type: ignore[operator]
    return GPT.from_pretrained(str(folder)).eval()


def positions(mask: Tensor) -> Tensor:
    """The position ids that follow from a mask, which transformers' generation gives its models."""
    return (mask.cumsum(-1) - 1).clamp(min=0)


def _lively(model: nn.Module) -> Any:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            nn.init.normal_(parameter, mean=1.0 if "ln_" in name and name.endswith("weight") else 0.0, std=0.2)
    return model.eval()
