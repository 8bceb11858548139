"""A network, with a head if it has one, as a Hugging Face folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import Tensor

from plmlight.interop.family import Family
from plmlight.interop.folder import CONFIG, INDEX, WEIGHTS, write_weights
from plmlight.nn import Network, config_of
from plmlight.text import replace_folder, save_tokenizer, special_token_ids

_OURS = {CONFIG, WEIGHTS, INDEX, "generation_config.json"} | {
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json")
}


def write_folder(
    folder: str | Path,
    network: Network,
    *,
    task: str | None = None,
    head: Tensor | None = None,
    tokenizer: Tokenizer | None = None,
) -> Family:
    """Writes config.json, model.safetensors and the tokenizer, all of them or nothing.

    Args:
        folder: made, or replaced if it holds nothing but such files.
        network: the backbone; the first of its class's families that can express it is taken.
        task: the name of the task whose head is written; None writes the backbone alone.
        head: the language-model head's matrix [V, D]; None ties it to the token table.
        tokenizer: goes along, and its special tokens into config.json.

    Returns:
        The family it became.

    Raises:
        ValueError: when no family can express the network, with the reasons; or the folder holds other files.
    """
    folder = Path(folder)
    if folder.is_dir():
        foreign = sorted(p.name for p in folder.iterdir() if p.name not in _OURS and not _is_shard(p))
        if foreign:
            raise ValueError(f"{folder}: holds other files ({foreign[0]}), and would be replaced: name a new folder")
    family, config = _configuration(network, getattr(network, "families", ()), task)
    prefix = "" if task is None else family.prefix
    weights: dict[str, Tensor] = {}
    for key, tensor in network.state_dict().items():
        names, transposed = family.sources(key)
        for name, part in zip(names, tensor.chunk(len(names)), strict=True):
            weights[prefix + name] = part.mT if transposed else part
    if task is not None and head is not None:
        weights[family.head] = head
    config |= {"dtype": str(next(iter(weights.values())).dtype).removeprefix("torch.")}
    # Named even where there are none: the reference's defaults may lie outside the vocabulary.
    ids = special_token_ids(tokenizer) if tokenizer is not None else {}
    config |= {f"{kind}_token_id": ids.get(kind) for kind in ("bos", "eos")}
    config |= {"tie_word_embeddings": task is None or head is None}
    with replace_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_weights(temporary / WEIGHTS, weights)
        if tokenizer is not None:
            save_tokenizer(tokenizer, temporary)
    return family


def _configuration(network: Network, families: Sequence[Family], task: str | None) -> tuple[Family, dict[str, Any]]:
    arguments: Mapping[str, Any] = config_of(network)["init_args"]
    parameters = inspect.signature(type(network)).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    reasons: dict[str, str] = {}
    for family in families:
        names = [a for a, t in family.architectures.items() if t == task] if task is not None else [family.backbone]
        if not names:
            reasons[family.model_type] = f"it has no head for {task}"
            continue
        try:
            return family, {"architectures": names[:1], **family.configuration(arguments, defaults)}
        except ValueError as error:
            reasons[family.model_type] = str(error)
    told = " | ".join(f"as {name}: {reason}" for name, reason in reasons.items()) or "it belongs to no family"
    raise ValueError(f"this {type(network).__name__} cannot be written in Hugging Face format: {told}")


def _is_shard(path: Path) -> bool:
    return path.name.startswith("model-") and path.suffix == ".safetensors"
