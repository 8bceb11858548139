"""Hugging Face folders: where they come from, their config.json, and their safetensors."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = f"{WEIGHTS}.index.json"
_PATTERNS = (
    *(CONFIG, "model*.safetensors", INDEX, "tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt"),
    *(
        "vocab.txt",
        "*.model",
        "*.spm",
        "target_vocab.json",
        "target_tokenizer.json",
        "modules.json",
        "1_Pooling/config.json",
        "sentence_bert_config.json",
    ),
    "generation_config.json",
    *("adapter_config.json", "adapter_model.safetensors", "heads.safetensors", "task.json"),
)
_HUB_ID = r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?"
_PICKLED = ("pytorch_model.bin", "pytorch_model.bin.index.json", "tf_model.h5", "flax_model.msgpack")


def fetch(source: str | Path) -> Path:
    """The file or folder that a name stands for; a hub id is downloaded, or found in the hub's cache.

    Args:
        source: a file, a folder, or a hub id such as ``openai-community/gpt2``.

    Returns:
        A path that exists.

    Raises:
        ValueError: when there is nothing of that name, here or on the hub.
    """
    path = Path(source)
    if path.exists():
        return path
    name = str(source)
    if not re.fullmatch(_HUB_ID, name) or path.suffix in (".ckpt", ".json", ".pt"):
        raise ValueError(f"{name}: there is no such file or folder")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_PATTERNS)))
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{name}: no such file or folder here, and not to be had from the hub under that id ({_short(error)})"
        ) from None


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a folder.

    Raises:
        ValueError: when there is none, or it is not a JSON object.
    """
    config: dict[str, Any] = read_json(folder / CONFIG, dict, "a Hugging Face folder has one")
    if not isinstance(config.get("model_type"), str):
        raise ValueError(f"{folder / CONFIG}: model_type is missing")
    return config


class StoredWeights(Mapping[str, Tensor]):
    """The tensors of a folder's safetensors by name, each read when it is asked for.

    Args:
        folder: holds model.safetensors, or the shards that model.safetensors.index.json lists.

    Raises:
        ValueError: when there are none, or they are truncated, or do not fit their index.
    """

    def __init__(self, folder: Path) -> None:
        if (folder / INDEX).exists():
            listed = read_json(folder / INDEX, dict).get("weight_map")
            if not isinstance(listed, dict):
                raise ValueError(f"{folder / INDEX}: weight_map is missing")
            files = [_inside(folder, name) for name in sorted(set(listed.values()))]
        elif (folder / WEIGHTS).exists():
            listed, files = None, [folder / WEIGHTS]
        else:
            raise ValueError(_no_weights(folder))
        self._files: dict[str, Any] = {}
        for file in files:
            handle = _open(file)
            for name in handle.keys():  # noqa: SIM118 - not a mapping
                if name in self._files:
                    raise ValueError(f"{file}: {name} is in another shard too")
                self._files[name] = handle
        if listed is not None and (odd := sorted(set(listed) ^ set(self._files))):
            raise ValueError(f"{folder / INDEX}: {odd[0]} is in the index or in the shards, but not in both")

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._files[name].get_tensor(name)
        return tensor

    def __iter__(self) -> Any:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def shape(self, name: str) -> list[int]:
        """The shape of a tensor, without reading it."""
        shape: list[int] = self._files[name].get_slice(name).get_shape()
        return shape


def write_weights(path: Path, weights: Mapping[str, Tensor]) -> None:
    """Writes one safetensors file that Hugging Face libraries open.

    Args:
        path: of the file.
        weights: by their names there.

    Raises:
        OSError: when the disk does not take it.
    """
    try:
        save_file(
            {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, path, {"format": "pt"}
        )
    except SafetensorError as error:
        raise OSError(f"{path}: {error}") from None


def _open(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt", device="cpu")
    except FileNotFoundError:
        raise ValueError(f"{file}: is in the index, but there is no such file") from None
    except SafetensorError as error:
        raise ValueError(f"{file}: not a whole safetensors file ({_short(error)})") from None


def _inside(folder: Path, name: Any) -> Path:
    if not isinstance(name, str) or Path(name).name != name:
        raise ValueError(f"{folder / INDEX}: {name!r} is not the name of a file of this folder")
    return folder / name


def _no_weights(folder: Path) -> str:
    for name in _PICKLED:
        if (folder / name).exists():
            return (
                f"{folder}: has {name}, but no {WEIGHTS}, and only safetensors is read, which runs no code; convert it "
                "where you trust it: transformers.AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
    return f"{folder}: has no {WEIGHTS}"


def read_json(path: Path, kind: type[dict[str, Any]] | type[list[Any]], hint: str = "") -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        kind: what its content has to be.
        hint: what to say where there is none.

    Raises:
        ValueError: when there is no such file, or it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file" + (f"; {hint}" if hint else "")) from None
    except ValueError as error:
        raise ValueError(f"{path}: not JSON ({_short(error)})") from None
    if not isinstance(content, kind):
        raise ValueError(f"{path}: expected a JSON {'object' if kind is dict else 'list'}")
    return content


def _short(error: Exception) -> str:
    line = " ".join(str(error).split())
    line = line if len(line) <= 160 else line[:157] + "..."
    return f"{type(error).__name__}: {line}" if line else type(error).__name__
