"""A network, with its heads if it has any, as a Hugging Face folder."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor

from plmlight.interop.chat_template import TEMPLATE
from plmlight.interop.decoding import GENERATION, generation_config
from plmlight.interop.family import HEAD, Family
from plmlight.interop.folder import CONFIG, INDEX, WEIGHTS, write_weights
from plmlight.nn import EncoderDecoder, Network, config_of
from plmlight.text import TARGET_TOKENIZER, replace_folder, save_tokenizer, special_token_ids

_OURS = {CONFIG, WEIGHTS, INDEX, GENERATION, TEMPLATE} | {
    *("modules.json", "1_Pooling", "2_Normalize", "sentence_bert_config.json", "vocab.txt"),
    *("tokenizer.json", "tokenizer_config.json", "vocab.json", "merges.txt", "special_tokens_map.json"),
    *("source.spm", "target.spm", "target_vocab.json", TARGET_TOKENIZER),
}


def write_folder(
    folder: str | Path,
    network: Network,
    *,
    task: str | None = None,
    heads: Mapping[str, Tensor] | None = None,
    tokenizer: Tokenizer | None = None,
    target_tokenizer: Tokenizer | None = None,
    files: Mapping[str, str] | None = None,
    decoding: Mapping[str, Any] | None = None,
    prefixes: Mapping[str, str] | None = None,
    arguments: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Family:
    """Writes config.json, model.safetensors and the tokenizer, all of them or nothing.

    Args:
        folder: made, or replaced if it holds nothing but such files.
        network: the backbone; the first of its class's families that can express it is taken.
        task: the name of the task whose heads are written; None writes the backbone alone.
        heads: the weights of the task beside its network by their names in it, without a head that is tied to the
            token table.
        tokenizer: goes along, and its special tokens into config.json.
        target_tokenizer: of what is written, where it is another.
        files: texts that go along, by name.
        decoding: how a model that writes texts decodes, as fields of `plmlight.decoding.DecodingOptions`.
        prefixes: what is put before a source, by the name of its task.
        arguments: some of what the task is built with, which the family must have too.
        settings: what else config.json says.

    Returns:
        The family it became.

    Raises:
        ValueError: when no family can express the network, with the reasons; the target has other tokens than the
            source; or the folder holds other files.
    """
    folder, heads = Path(folder), heads or {}
    _check_folder(folder)
    _check_tokenizers(network, tokenizer, target_tokenizer)
    family, config = _configuration(network, getattr(network, "families", ()), task, heads, arguments)
    prefix = family.prefix_of(config["architectures"][0])
    untied = HEAD in heads
    weights = _backbone(network, family, config, prefix, copies=untied and family.unties_copies)
    architecture = family.architectures[config["architectures"][0]]
    for rule in family.head_rules(heads, architecture):
        if rule.ours in heads:
            assert isinstance(rule.theirs, str)
            name = rule.theirs if rule.outside else prefix + rule.theirs
            weights[name] = heads[rule.ours][None] if rule.row else heads[rule.ours]
            if untied and rule.twin is not None:
                weights[rule.twin] = heads[rule.ours].clone()
    config |= {"dtype": str(next(iter(weights.values())).dtype).removeprefix("torch.")}
    # Named even where there are none: the reference's defaults may lie outside the vocabulary.
    ids = special_token_ids(tokenizer) if tokenizer is not None else {}
    config |= {f"{kind}_token_id": ids.get(kind) for kind in ("bos", "eos")}
    if architecture.task == "TextClassification" and isinstance(network, EncoderDecoder):
        config["eos_token_id"] = _last_token(ids)
    config |= {"tie_word_embeddings": not untied, **architecture.required, **(settings or {})}
    files = dict(files or {})
    if decoding is not None:
        end = decoding.get("eos_token_id", ids.get("eos", ids.get("sep")))
        # An older version of theirs reads the last from here, and has a default for it.
        config |= {"eos_token_id": end, "forced_eos_token_id": decoding.get("forced_eos_token_id")}
        files[GENERATION] = json.dumps(generation_config(decoding, config), indent=2, sort_keys=True) + "\n"
    if prefixes:
        config["task_specific_params"] = {name: {"prefix": prefix} for name, prefix in prefixes.items()}
    with replace_folder(folder) as temporary:
        (temporary / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        write_weights(temporary / WEIGHTS, weights)
        if tokenizer is not None:
            save_tokenizer(tokenizer, temporary, target_tokenizer)
        for name, text in files.items():
            (temporary / name).parent.mkdir(exist_ok=True)
            (temporary / name).write_text(text, encoding="utf-8")
    return family


def _last_token(ids: Mapping[str, int]) -> int:
    """The token that ends each text, at which theirs looks to classify it with both halves."""
    found = ids.get("eos", ids.get("sep"))
    if found is None:
        raise ValueError(
            "transformers classifies a text by what is read at its end token: the task's tokenizer has none"
        )
    return found


def _check_folder(folder: Path) -> None:
    foreign = sorted(
        path.name
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name not in _OURS and not _is_shard(path)
    )
    if foreign:
        raise ValueError(f"{folder}: holds other files ({foreign[0]}), and would be replaced: name a new folder")


def _check_tokenizers(network: Network, source: Tokenizer | None, target: Tokenizer | None) -> None:
    if source is not None and target is not None and source.get_vocab() != target.get_vocab():
        raise ValueError(
            f"this {type(network).__name__} cannot be written in Hugging Face format: its target has a vocabulary of "
            "its own, and transformers would turn what it writes into text by the source's"
        )


def _backbone(
    network: Network, family: Family, config: Mapping[str, Any], prefix: str, *, copies: bool
) -> dict[str, Tensor]:
    """The network's weights by their names there, with zeros for the biases and rows that only theirs have."""
    state = network.state_dict()
    with torch.device("meta"):
        expected = type(network)(**family.arguments(config, {})).state_dict()
    weights: dict[str, Tensor] = {}
    for key, blank in expected.items():
        assert key in state or key.endswith(".bias"), key
        tensor = state[key] if key in state else torch.zeros(blank.shape, dtype=network.token_embedding.weight.dtype)
        names, rule = family.source(key, expected)
        if rule.skipped:
            tensor = torch.cat([tensor.new_zeros(rule.skipped, *tensor.shape[1:]), tensor])
        for name, part in zip(names, tensor.chunk(len(names)), strict=True):
            stored = part.mT if rule.transposed else part
            if rule.by_head:
                stored = stored.unflatten(1, (config_of(network)["init_args"]["num_heads"], -1))
            weights[prefix + name] = stored
        if copies:
            weights |= {prefix + name: tensor.clone() for name in rule.copies}
    assert state.keys() <= expected.keys()
    return weights


def _configuration(
    network: Network,
    families: Sequence[Family],
    task: str | None,
    heads: Mapping[str, Tensor],
    built_with: Mapping[str, Any] | None,
) -> tuple[Family, dict[str, Any]]:
    arguments: Mapping[str, Any] = config_of(network)["init_args"]
    parameters = inspect.signature(type(network)).parameters
    defaults = {name: p.default for name, p in parameters.items() if p.default is not inspect.Parameter.empty}
    reasons: dict[str, str] = {}
    for family in families:
        try:
            architecture = family.backbone if task is None else family.architecture_of(task, heads, built_with)
            return family, {"architectures": [architecture], **family.configuration(arguments, defaults)}
        except ValueError as error:
            reasons[family.model_type] = str(error)
    told = " | ".join(f"as {name}: {reason}" for name, reason in reasons.items()) or "it belongs to no family"
    raise ValueError(f"this {type(network).__name__} cannot be written in Hugging Face format: {told}")


def _is_shard(path: Path) -> bool:
    return path.name.startswith("model-") and path.suffix == ".safetensors"
