"""A task becomes a bundle: graphs, tokenizer, manifest, golden requests, and the verdict on all of it."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
import onnx_ir
import onnxruntime
import onnxscript
import torch
from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version
from torch import nn

from plmlight import __version__
from plmlight.export.graph import WeightFile, frozen, trace
from plmlight.export.quantise import quantise_weights
from plmlight.export.recipe import Recipe, load_recipe
from plmlight.export.report import verdict_page
from plmlight.export.specification import GraphSpec
from plmlight.export.tasks import TaskExport, exporter
from plmlight.export.tensorrt import lint, profiles
from plmlight.export.verdict import Check, Verdict, judge
from plmlight.nn import class_path
from plmlight.tasks import Task
from plmlight.text import file_hash, nearest, replace_folder, special_token_ids, vocabulary_size

FORMAT = 2
WEIGHTS = "model.onnx.data"
Progress = Callable[[str], None]


@dataclass
class Graphs:
    """The graphs that were written.

    Attributes:
        specs: by name, the default one first: those that the recipe asks for and the task has.
        lints: what a lint found, by the graph's file; only where the provider has one.
        seconds: how long each took, its encoder included.
        hashes: of the files as they were written, the weights' too.
    """

    specs: dict[str, GraphSpec]
    lints: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)

    @property
    def default(self) -> GraphSpec:
        """The graph that the runtime takes unless another is named."""
        return next(iter(self.specs.values()))


def export_bundle(
    task: Task,
    recipe: Recipe | str | Path | None,
    folder: str | Path,
    tokenizer: Tokenizer | None = None,
    progress: Progress = lambda line: None,
) -> Verdict:
    """Exports a task and proves the result.

    Args:
        task: a trained task; it is not changed.
        recipe: or the path of its YAML file; None is the packaged cpu-fp32.
        folder: the bundle; one that stands there is replaced when the new one is complete.
        tokenizer: instead of the task's own.
        progress: gets a line about each thing that is done.

    Returns:
        The verdict, which lies in the bundle. One that did not pass leaves a bundle that the runtime refuses.

    Raises:
        ValueError: when there is no tokenizer or it does not fit, the recipe asks for what the task has not, or the
            folder holds something else than a bundle.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "manifest.json").exists():
        raise ValueError(f"{folder}: holds files that are no bundle; name a new folder")
    tokenizer = _fitting(task, tokenizer if tokenizer is not None else task.tokenizer)
    with frozen(task), replace_folder(folder) as written:
        export = exporter(task, tokenizer)
        graphs = write_graphs(export, recipe, written, progress)
        for key, each in {"tokenizer": tokenizer, **export.tokenizers()}.items():
            (written / f"{key}.json").write_text(each.to_str(pretty=True), "utf-8")
        verdict = prove(task, export, graphs, recipe, written, progress)
        _write_json(written / "manifest.json", manifest(task, tokenizer, export, graphs, recipe, verdict, written))
        verdict.files = {
            path.name: {"sha256": file_hash(path), "bytes": path.stat().st_size} for path in sorted(written.iterdir())
        }
        _write_json(written / "verdict.json", verdict.as_json())
        (written / "verdict.html").write_text(verdict_page(verdict), "utf-8")
    return verdict


def _fitting(task: Task, tokenizer: Tokenizer | None) -> Tokenizer:
    if tokenizer is None:
        raise ValueError(
            "the model comes without a tokenizer: name one with --tokenizer (tokenizer.json or its folder)"
        )
    needed, rows = vocabulary_size(tokenizer), task.network.vocab_size
    if needed > rows:
        raise ValueError(f"the tokenizer has ids up to {needed - 1}, but the network only {rows} tokens")
    return tokenizer


def write_graphs(export: TaskExport, recipe: Recipe, folder: Path, progress: Progress = lambda line: None) -> Graphs:
    """Traces, quantises and writes the graphs of a recipe, with one weight file for all.

    Args:
        export: of the task.
        recipe: what to write.
        folder: where.
        progress: gets a line a graph.

    Returns:
        What was written.

    Raises:
        ValueError: when the task has none of them.
    """
    offered = export.graphs(getattr(torch, recipe.dtype))
    graphs = Graphs({name: offered[name] for name in recipe.graphs if name in offered})
    if not graphs.specs:
        raise ValueError(
            f"recipe {recipe.name}: graphs: this model has no {recipe.graphs[0]!r}{nearest(recipe.graphs[0], offered)}"
        )
    with WeightFile(folder / WEIGHTS) as weights:
        for name, spec in graphs.specs.items():
            start = time.perf_counter()
            for part in spec.parts:
                began = time.perf_counter()
                model = trace(part, recipe.opset)
                how = f"opset {recipe.opset}, {recipe.dtype}"
                if recipe.quantisation is not None:
                    products = quantise_weights(model, recipe.quantisation)
                    many = f"{products} product{'s' * (products > 1)} in {recipe.quantisation.bits} bits"
                    how += f", {many}" if products else ", nothing to quantise: it has no product with a matrix"
                weights.save(model, part.file)
                if recipe.provider == "tensorrt":
                    graphs.lints[part.file] = lint(model)
                progress(f"graph {name}: {part.file} ({how}), {time.perf_counter() - began:.1f} s")
            graphs.seconds[name] = time.perf_counter() - start
    files = [WEIGHTS, *(part.file for spec in graphs.specs.values() for part in spec.parts)]
    graphs.hashes = {file: file_hash(folder / file) for file in files}
    return graphs


def prove(
    task: Task,
    export: TaskExport,
    graphs: Graphs,
    recipe: Recipe,
    folder: Path,
    progress: Progress = lambda line: None,
) -> Verdict:
    """Compares what was written with torch, and writes the golden requests of the default graph.

    Args:
        task: the task.
        export: of the task.
        graphs: what was written.
        recipe: its limits.
        folder: where it was written.
        progress: gets a line a check.

    Returns:
        The verdict, still without the files' hashes.
    """
    verdict = Verdict(
        recipe.name,
        recipe.provider,
        "ONNX Runtime CPUExecutionProvider" + ("" if recipe.provider == "cpu" else f" (not on {recipe.provider})"),
        weights_hash(task),
        versions=_versions(),
    )
    for check in _checks(export, graphs, recipe, folder, verdict):
        verdict.checks.append(check)
        progress(f"check {check.graph} {check.name}: {'ok' if check.passed else 'FAILED, ' + check.detail}")
    if verdict.passed:  # what cannot run cannot be timed
        verdict.timings["torch"] = export.timings(None, None)
        for name, spec in graphs.specs.items():
            verdict.timings[name] = {
                "export_s": round(graphs.seconds[name], 1),
                **export.timings(folder / spec.file, spec),
            }
    return verdict


def _checks(export: TaskExport, graphs: Graphs, recipe: Recipe, folder: Path, verdict: Verdict) -> Iterator[Check]:
    for name, spec in graphs.specs.items():
        for part in spec.parts:
            which = "" if spec.encoder is None else f" of {part.file}"

            def invalid(file: Path = folder / part.file) -> float:
                onnx.checker.check_model(file)
                return 0.0

            detail = "onnx.checker finds the file well formed"
            yield judge(f"ONNX violations{which}", name, 0, "at most", detail, invalid)
            if part.file in graphs.lints:
                found = graphs.lints[part.file]
                listed = "operators, domains and opset against TensorRT's list; necessary, not sufficient"
                detail = "; ".join(found) or listed
                yield judge(
                    f"TensorRT violations{which}",
                    name,
                    0,
                    "at most",
                    detail,
                    lambda found=found: len(found),  # type: ignore[misc]
                )
        try:
            yield from export.checks(folder / spec.file, spec, recipe.limits, verdict.measurements)
        except Exception as error:  # a graph that does not load could not be checked, and that is a failure
            reason = " ".join(str(error).split())
            yield Check("loads", name, None, 1, "at least", False, f"could not be opened: {reason}")
    default = graphs.default

    def write_golden() -> float:
        lines = export.golden(folder / default.file, default, recipe.limits)
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / "golden.jsonl").write_text(text, "utf-8")
        return len(lines)

    yield judge("golden requests", default.name, 1, "at least", "requests written with their answers", write_golden)

    def changed() -> float:
        return sum(file_hash(folder / file) != written for file, written in graphs.hashes.items())

    # last, as random tokens do not reach every row of a table: what was compared must be what was written
    yield judge("files changed since written", "", 0, "at most", "graphs and weights, byte by byte", changed)


def manifest(
    task: Task, tokenizer: Tokenizer, export: TaskExport, graphs: Graphs, recipe: Recipe, verdict: Verdict, folder: Path
) -> dict[str, Any]:
    """The content of manifest.json: all that the runtime needs to know.

    Args:
        task: the task.
        tokenizer: its tokenizer.
        export: of the task.
        graphs: what was written.
        recipe: the recipe.
        verdict: for its hash of the weights and its versions.
        folder: where the tokenizers were written.

    Returns:
        Plain data.
    """
    described = {
        name: {**spec.described(recipe.opset, recipe.dtype), "files": [*(part.file for part in spec.parts), WEIGHTS]}
        for name, spec in graphs.specs.items()
    }
    default = graphs.default
    return {
        "format": FORMAT,
        "plmlight": __version__,
        "task": type(task).__name__,
        "network": class_path(type(task.network)).rpartition(".")[2],
        "recipe": recipe.name,
        "provider": recipe.provider,
        **export.facts(),
        "special_tokens": special_token_ids(tokenizer),
        "graphs": described,
        "default_graph": default.name,
        **{
            key: {"file": f"{key}.json", "sha256": file_hash(folder / f"{key}.json")}
            for key in ("tokenizer", *export.tokenizers())
        },
        "weights_sha256": verdict.weights_sha256,
        "versions": verdict.versions,
        "session_options": recipe.session_options,
        "provider_options": recipe.provider_options,
        "profiles": profiles(default, recipe.profiles, export.max_length),
        **(
            {"encoder_profiles": profiles(default.encoder, recipe.profiles, export.max_length)}
            if default.encoder is not None
            else {}
        ),
    }


def weights_hash(module: nn.Module) -> str:
    """The SHA-256 of a module's named weights, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        array = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}\n".encode())
        digest.update(array.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def _versions() -> dict[str, str]:
    return {
        "plmlight": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnx": onnx.__version__,
        "onnx_ir": onnx_ir.__version__,
        "onnxscript": onnxscript.__version__,
        "onnxruntime": onnxruntime.__version__,
        "tokenizers": tokenizers_version,
    }


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")
