"""``export``: a trained model to a bundle that is proven to be it."""

from __future__ import annotations

import sys
from pathlib import Path

from plmlight.cli.arguments import OPENED_AS, parse, parser


def main(command: str, argv: list[str]) -> int:
    """Exports a model.

    Args:
        command: the command's name.
        argv: the words after it.

    Returns:
        0, or 1 when the verdict fails: the bundle is written for inspection, but the runtime refuses it.

    Raises:
        ValueError: when the model, the recipe or the tokenizer cannot be opened, or they do not fit together.
    """
    arguments = parser(
        command,
        "Export a model to ONNX and prove that the result is the model: a folder with graphs, tokenizer, manifest, "
        "golden requests, and a verdict (verdict.html) of everything that was compared with torch.",
    )
    arguments.add_argument("--checkpoint", type=str, required=True, help="a checkpoint, Hugging Face folder or hub id")
    arguments.add_argument("--recipe", type=str | None, default=None, help="a recipe's YAML file (default: cpu-fp32)")
    arguments.add_argument("--output", type=str, required=True, help="the folder to write, or a bundle to replace")
    arguments.add_argument(
        "--tokenizer", type=str | None, default=None, help="a tokenizer.json or its folder, if the model has none"
    )
    arguments.add_argument("--task", type=str | None, default=None, help=OPENED_AS)
    values = parse(arguments, argv)

    from plmlight.export.recipe import load_recipe
    from plmlight.text import load_tokenizer

    recipe = load_recipe(values.recipe)
    tokenizer = None if values.tokenizer is None else load_tokenizer(values.tokenizer)

    from plmlight.cli.question import question
    from plmlight.export.bundle import export_bundle
    from plmlight.loading import load

    _progress(f"reading {values.checkpoint}")
    task = load(values.checkpoint, values.task)
    if tokenizer is not None:
        task.tokenizer = tokenizer
    verdict = export_bundle(task, recipe, values.output, progress=_progress)
    print(verdict.summary())
    output = Path(values.output)
    size = sum(each["bytes"] for each in verdict.files.values())
    print(
        f"{output}: {len(verdict.files) + 2} files, {size / 1e6:.1f} MB; what was measured: {output / 'verdict.html'}"
    )
    if not verdict.passed:
        print(f"plmlight {command}: the verdict fails, so the runtime refuses {output}", file=sys.stderr)
        return 1
    print(f"next: python -m plmlight infer {output} {question(task)}")
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
