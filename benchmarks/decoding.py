"""Greedy decoding of a GPT-2-small on ONNX Runtime against `transformers` generate with its cache, batch 1.

    PLMLIGHT_DATA=... python benchmarks/decoding.py --work runs/decoding [--threads 1] [--rounds 5]

The network has random weights, which do not change the speed. Both sides decode the same prompts, interleaved; the
ratio is of the medians. The tokens are compared too: with fp32 they must be equal. Bundles are made with the
recipes a user would name, and kept under --work for the next run.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

import plmlight
from plmlight.decoding import DecodingOptions, generate
from plmlight.text import load_tokenizer

CASES = [("cpu-fp32", 128, 1.7), ("cpu-int8", 128, 4.3), ("cpu-fp32", 896, 1.8)]
"""Recipe, tokens of the prompt, and the ratio that is asked for."""

NEW = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folder = model_folder(arguments.work)
    theirs = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="sdpa").eval()
    for recipe, length, wanted in CASES:
        bundle = exported(arguments.work, folder, recipe)
        ours = plmlight.runtime.load(bundle, provider="cpu", threads=arguments.threads).model
        prompt = torch.randint(0, 50257, (length,), generator=torch.Generator().manual_seed(length)).tolist()
        sides: dict[str, Callable[[int], list[int]]] = {
            "transformers": lambda new, prompt=prompt: hugging_face(theirs, prompt, new),  # type: ignore[misc]
            "plmlight": lambda new, prompt=prompt, ours=ours: (
                generate(  # type: ignore[misc]
                    ours, [prompt], DecodingOptions(max_new_tokens=new)
                )[0][0].token_ids
            ),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for side in sides.values():
            side(2)
        tokens = {}
        for _ in range(arguments.rounds):
            for name, side in sides.items():
                start = time.perf_counter()
                tokens[name] = list(side(NEW))
                seconds[name].append(time.perf_counter() - start)
        a, b = (statistics.median(seconds[name]) for name in ("transformers", "plmlight"))
        agree = sum(x == y for x, y in zip(*tokens.values(), strict=True))
        print(
            f"{recipe} prompt {length} + {NEW}: transformers {NEW / a:.1f} tokens/s, plmlight {NEW / b:.1f} tokens/s, "
            f"ratio {a / b:.2f} (asked: {wanted}); equal tokens {agree}/{NEW}",
            flush=True,
        )


@torch.no_grad()
def hugging_face(model: torch.nn.Module, prompt: list[int], new: int) -> list[int]:
    ids = torch.tensor([prompt])
    out = model.generate(  # type: ignore[operator]
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=None,
    )
    tokens: list[int] = out[0, len(prompt) :].tolist()
    return tokens


def model_folder(work: Path) -> Path:
    """A GPT-2-small of random weights with GPT-2's tokenizer, as a Hugging Face folder."""
    folder = work / "gpt2-small"
    if not (folder / "config.json").exists():
        tokenizer = work / "tokenizer"
        tokenizer.mkdir(parents=True, exist_ok=True)
        data = Path(os.environ["PLMLIGHT_DATA"]) / "tok"
        shutil.copy(data / "gpt2.encoder.json", tokenizer / "vocab.json")
        shutil.copy(data / "gpt2.vocab.bpe", tokenizer / "merges.txt")
        torch.manual_seed(0)
        task = plmlight.CausalLM(network=plmlight.GPT(50257, pad_token_id=50256))
        task.tokenizer = load_tokenizer(tokenizer)
        task.save_pretrained(str(folder))
    return folder


def exported(work: Path, folder: Path, recipe: str) -> Path:
    bundle = work / recipe
    if not (bundle / "manifest.json").exists():
        root = Path(__file__).parent.parent
        words = ["export", "--checkpoint", folder, "--recipe", root / f"export/{recipe}.yaml", "--output", bundle]
        subprocess.run([sys.executable, "-m", "plmlight", *map(str, words)], check=True)
    return bundle


if __name__ == "__main__":
    main()
