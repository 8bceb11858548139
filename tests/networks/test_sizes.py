"""The sizes of the papers, against the reference implementations on the meta device."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from transformers import GPT2Config, GPT2Model, OpenAIGPTConfig, OpenAIGPTModel

from plmlight import GPT

CONFIGS = Path(__file__).parents[2] / "configs" / "network"
SIZES = {
    # name: layers, width, heads, positions (Radford et al. 2018 and 2019; Brown et al. 2020, table 2.1)
    "gpt1": (12, 768, 12, 512),
    "gpt2-small": (12, 768, 12, 1024),
    "gpt2-medium": (24, 1024, 16, 1024),
    "gpt2-large": (36, 1280, 20, 1024),
    "gpt2-xl": (48, 1600, 25, 1024),
    "gpt3-small": (12, 768, 12, 2048),
    "gpt3-medium": (24, 1024, 16, 2048),
    "gpt3-large": (24, 1536, 16, 2048),
    "gpt3-xl": (24, 2048, 16, 2048),
    "gpt3-2.7b": (32, 2560, 32, 2048),
    "gpt3-6.7b": (32, 4096, 32, 2048),
    "gpt3-13b": (40, 5120, 40, 2048),
    "gpt3-175b": (96, 12288, 96, 2048),
}


@pytest.mark.parametrize("name", SIZES)
def test_the_parameters_are_as_many_as_the_references(name: str) -> None:
    layers, width, heads, positions = SIZES[name]
    sizes: dict[str, Any] = {"n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": positions}
    content = (CONFIGS / f"{name}.yaml").read_text()
    config = yaml.safe_load(content)
    assert config["class_path"] == "GPT"
    with torch.device("meta"):
        theirs = OpenAIGPTModel(OpenAIGPTConfig(**sizes)) if name == "gpt1" else GPT2Model(GPT2Config(**sizes))
        ours = GPT(vocab_size=40478 if name == "gpt1" else 50257, **config["init_args"])
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters())
    assert f"{count:,} parameters" in " ".join(content.replace("# ", "").split())
    assert (ours.num_layers, ours.d_model, ours.num_heads, ours.max_length) == SIZES[name]
    assert ours.windows == ((None, 256) if name.startswith("gpt3") else (None,))


def test_every_config_is_compared() -> None:
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == set(SIZES)
