"""Greedy decoding of a GPT-2-small on ONNX Runtime against `transformers` generate with its cache, batch 1.

    PLMLIGHT_DATA=... python benchmarks/decoding.py --work runs/decoding [--threads 1] [--rounds 5]

The network has random weights, which do not change the speed. Both sides decode the same prompts, interleaved; the
ratios are of the medians. Each side is timed for one new token and for 129 of them: the difference is decoding with
its cache, and the first is reading the prompt. The tokens are compared too: with fp32 they must be equal. Bundles are
made with the recipes a user would name, and kept under --work for the next run.
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

CASES = [("cpu-fp32", 128, 1.7), ("cpu-int8", 128, 4.3), ("cpu-fp32", 895, 1.8)]
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
        reading: dict[str, list[float]] = {name: [] for name in sides}
        decoding: dict[str, list[float]] = {name: [] for name in sides}
        tokens = {}
        for turn in range(arguments.rounds + 1):
            for name, side in sides.items():
                first, (whole, tokens[name]) = timed(side, 1)[0], timed(side, NEW + 1)
                if turn:  # the first is to warm up
                    reading[name].append(first)
                    decoding[name].append(whole - first)
        theirs_s, ours_s = (statistics.median(decoding[name]) for name in ("transformers", "plmlight"))
        prompt_s = [statistics.median(reading[name]) for name in ("transformers", "plmlight")]
        agree = sum(x == y for x, y in zip(*tokens.values(), strict=True))
        print(
            f"{recipe}, {NEW} tokens after {length}: transformers {NEW / theirs_s:.1f} tokens/s, "
            f"plmlight {NEW / ours_s:.1f} tokens/s, ratio {theirs_s / ours_s:.2f} (asked: {wanted}); "
            f"reading the prompt {prompt_s[0]:.2f} s and {prompt_s[1]:.2f} s, ratio {prompt_s[0] / prompt_s[1]:.2f}; "
            f"both together {(theirs_s + prompt_s[0]) / (ours_s + prompt_s[1]):.2f}; "
            f"equal tokens {agree}/{NEW + 1}",
            flush=True,
        )


def timed(side: Callable[[int], list[int]], new: int) -> tuple[float, list[int]]:
    start = time.perf_counter()
    tokens = side(new)
    return time.perf_counter() - start, tokens


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
