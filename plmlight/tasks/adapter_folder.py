"""A task's adapter and heads as a folder, without the network that they belong to."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from plmlight.adapters import adapter_weights
from plmlight.interop import Pretrained, load_network
from plmlight.interop.folder import read_json, write_weights
from plmlight.interop.peft import from_peft, peft_config, to_peft
from plmlight.nn import Network, build
from plmlight.tasks.base import Task
from plmlight.tasks.checkpoint import ARGUMENTS, DECODING_DEFAULTS, TARGET_TOKENIZER, TASK, TEXT_FORM, TOKENIZER
from plmlight.text import replace_folder

CONFIG, WEIGHTS, HEADS, BUILT = "adapter_config.json", "adapter_model.safetensors", "heads.safetensors", "task.json"
_TEXT = {TOKENIZER: "tokenizer.json", TARGET_TOKENIZER: "target_tokenizer.json"}
_FILES = {CONFIG, WEIGHTS, HEADS, BUILT, *_TEXT.values()}
_SAMPLE = 64


def is_adapter(path: Path) -> bool:
    """Whether a path is a folder with an adapter, of PEFT or of this project."""
    return (path / CONFIG).exists()


def write_adapter(task: Task, folder: str | Path, base: str | None = None) -> str | None:
    """Writes what was trained, all of it or nothing.

    Args:
        task: with an adapter.
        folder: made, or replaced if it holds nothing but such files.
        base: where the network came from; by default what the task knows of it.

    Returns:
        Why PEFT cannot open the folder; None where it can.

    Raises:
        ValueError: for a task without an adapter, or whose base is not known, or a folder that holds other files.
    """
    folder, name = Path(folder), type(task).__name__
    if task.adapter is None:
        raise ValueError(f"this {name} has no adapter: all of its weights were trained")
    if not isinstance(task.network, Pretrained):
        raise ValueError(f"a {type(task.network).__name__} starts from no weights of others: write all of the {name}")
    base = base or task.network.origin
    if base is None:
        raise ValueError(f"this {name} does not say where its network came from: name it with --base")
    foreign = sorted({path.name for path in folder.iterdir()} - _FILES) if folder.is_dir() else []
    if foreign:
        raise ValueError(f"{folder}: holds other files ({foreign[0]}), and would be replaced: name a new folder")
    checkpoint: dict[str, Any] = {}
    task.on_save_checkpoint(checkpoint)
    reason: str | None = None
    try:
        config = peft_config(task.network, task.adapter, name, base)
        weights = to_peft(task.network, task.adapter, name)
    except ValueError as error:
        reason = str(error)
        config, weights = {"base_model_name_or_path": base}, adapter_weights(task.network)
    built = {
        "task": checkpoint[TASK],
        "arguments": checkpoint[ARGUMENTS],
        "base": fingerprint(task.network),
        "peft": reason is None,
        "text": {key: checkpoint[key] for key in (TEXT_FORM, DECODING_DEFAULTS) if key in checkpoint},
    }
    with replace_folder(folder) as temporary:
        _write_json(temporary / CONFIG, config)
        _write_json(temporary / BUILT, built)
        write_weights(temporary / WEIGHTS, weights)
        if heads := _heads(task):
            write_weights(temporary / HEADS, heads)
        for key, file in _TEXT.items():
            if checkpoint.get(key):
                (temporary / file).write_text(checkpoint[key], encoding="utf-8")
    return reason


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        weights: dict[str, Tensor] = load_file(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error})") from None
    return weights


def read_adapter(folder: str | Path) -> tuple[str, dict[str, Any]]:
    """What an adapter's folder says of itself.

    Args:
        folder: as `write_adapter` wrote it.

    Returns:
        The name of its base, and what builds its task.

    Raises:
        ValueError: for a folder that was written by something else.
    """
    folder = Path(folder)
    config = read_json(folder / CONFIG, dict)
    base = config.get("base_model_name_or_path")
    if not isinstance(base, str):
        raise ValueError(f"{folder / CONFIG}: base_model_name_or_path is missing")
    if not (folder / BUILT).exists():
        raise ValueError(
            f"{folder}: an adapter without {BUILT}, which `plmlight convert --adapter` writes; merge it where it was "
            "trained (peft: merge_and_unload, save_pretrained) to open it here"
        )
    built = read_json(folder / BUILT, dict)
    if missing := [key for key in ("task", "arguments", "base", "peft", "text") if key not in built]:
        raise ValueError(f"{folder / BUILT}: {missing[0]!r} is missing")
    return base, built


def task_with_adapter(folder: str | Path, base: str | None = None) -> Task:
    """Builds the task of an adapter's folder over its base.

    Args:
        folder: as `write_adapter` wrote it.
        base: where the network is; by default where it was when the adapter was written, as a path from here or from
            the folder.

    Returns:
        The task, in evaluation mode.

    Raises:
        ValueError: for weights that do not fit, or a base that is another than that of the training.
    """
    folder = Path(folder)
    written, built = read_adapter(folder)
    if base is None:
        base = str(folder / written) if not Path(written).exists() and (folder / written).exists() else written
    task = build({"class_path": built["task"], "init_args": built["arguments"]})
    if not isinstance(task, Task) or task.adapter is None:
        raise ValueError(f"{folder / BUILT}: names no task with an adapter")
    if not isinstance(task.network, Pretrained):
        raise ValueError(f"{folder / BUILT}: a {type(task.network).__name__} starts from no weights of others")
    network = load_network(type(task.network), base)
    if fingerprint(network) != built["base"]:
        raise ValueError(f"{folder}: was trained over other weights than those of {base}")
    weights: dict[str, Tensor] = _read_weights(folder / WEIGHTS)
    if built["peft"]:
        try:
            weights = from_peft(task.network, task.adapter, type(task).__name__, weights)
        except ValueError as error:
            raise ValueError(f"{folder / WEIGHTS}: {error}") from None
    heads = _read_weights(folder / HEADS) if (folder / HEADS).exists() else {}
    state = {f"network.{name}": tensor for name, tensor in {**network.state_dict(), **weights}.items()} | heads
    tied = {name for name in task.state_dict() if name not in state} - set(_heads(task))
    try:
        missing, extra = task.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise ValueError(f"{folder}: {' '.join(str(error).split())}") from None
    if wrong := [*(set(missing) - tied), *extra]:
        raise ValueError(f"{folder}: the weight {sorted(wrong)[0]} is missing or left over")
    task.network.origin = base
    texts = {key: (folder / file).read_text("utf-8") for key, file in _TEXT.items() if (folder / file).exists()}
    task.restore_text({**built["text"], **texts})
    return task.eval()


def fingerprint(network: Network) -> str:
    """A hash of some of a network's own weights, in the precision that all types of them have in common."""
    added = adapter_weights(network).keys()
    digest = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if name not in added:
            flat = tensor.detach().reshape(-1)
            sample = flat[:: max(1, len(flat) // _SAMPLE)].to("cpu", torch.bfloat16)
            digest.update(f"{name}{tuple(tensor.shape)}".encode() + sample.view(torch.int16).numpy().tobytes())
    return digest.hexdigest()


def _heads(task: Task) -> dict[str, Tensor]:
    own = {id(parameter) for parameter in task.network.parameters()}
    state = task.state_dict(keep_vars=True)
    return {k: v.detach() for k, v in state.items() if not k.startswith("network.") and id(v) not in own}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
