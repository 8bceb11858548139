from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer

from plmlight.export import Verdict, export_bundle
from plmlight.networks import GPT
from plmlight.tasks import CausalLM
from plmlight.text import train_tokenizer


def small_task(tokenizer: Tokenizer | None = None, **arguments: object) -> CausalLM:
    """A network of odd sizes whose weights are large enough for its answers to differ."""
    torch.manual_seed(0)
    options: dict[str, object] = {"vocab_size": 290, "d_model": 24, "num_layers": 2, "num_heads": 3, "max_length": 61}
    task = CausalLM(GPT(**(options | arguments)))  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.1)
    task.tokenizer = tokenizer
    return task.eval()


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return train_tokenizer(["def main(argv): return 1 + 1 = 2 in the beginning\n" * 20], "byte-bpe", 280)


@pytest.fixture(scope="session")
def bundle(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Verdict, CausalLM]:
    """The float32 bundle of the small task, its verdict and the task; tests must not change its files."""
    folder = tmp_path_factory.mktemp("export") / "bundle"
    task = small_task(tokenizer)
    return folder, export_bundle(task, None, folder), task
