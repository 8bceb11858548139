"""How a published model decodes: generation_config.json, or what older folders have in config.json, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from plmlight.decoding import DecodingOptions
from plmlight.interop.folder import CONFIG, read_config, read_json

GENERATION = "generation_config.json"
_ALIKE = (
    *("min_new_tokens", "max_new_tokens", "num_beams", "num_beam_groups", "diversity_penalty", "length_penalty"),
    *("early_stopping", "no_repeat_ngram_size", "repetition_penalty", "penalty_alpha", "eos_token_id"),
    *("forced_bos_token_id", "forced_eos_token_id", "suppress_tokens"),
)
"""Options that have the same name and meaning there."""
_SAMPLING = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}
"""Options that count where ``do_sample`` is true, with the defaults of the reference."""
_WITHOUT = {"encoder_no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0, "force_words_ids": None}


def read_decoding(folder: Path) -> dict[str, Any]:
    """How the model of a folder is to decode, a length in the reference counting the decoder's first token.

    Args:
        folder: holds config.json, and perhaps generation_config.json, which then counts alone.

    Returns:
        Fields of `DecodingOptions`; those that the folder leaves open are left out.

    Raises:
        ValueError: naming the file and the key whose value does not exist here.
    """
    file = folder / GENERATION if (folder / GENERATION).exists() else folder / CONFIG
    given: dict[str, Any] = read_json(file, dict)
    for key, value in _WITHOUT.items():
        if given.get(key) not in (None, value):
            raise ValueError(f"{file}: {key} is {given[key]!r}: only {value!r} is supported")
    try:
        found = _tokens_and_lengths(given)
        if given.get("do_sample") and found.get("num_beams", 1) == 1:  # beams do not sample here
            sampling = {key: given.get(key) for key in _SAMPLING}
            found |= {key: _SAMPLING[key] if value is None else value for key, value in sampling.items()}
        DecodingOptions(**found)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    return found


def _tokens_and_lengths(given: Mapping[str, Any]) -> dict[str, Any]:
    """What is named alike, one token where they may write a list of one, and lengths without the first token."""
    found = {key: given[key] for key in _ALIKE if given.get(key) is not None}
    for key in ("forced_bos_token_id", "forced_eos_token_id"):
        if isinstance(found.get(key), list):
            if len(found[key]) != 1:
                raise ValueError(f"{key} is {found[key]}: only one token can be forced")
            found[key] = found[key][0]
    for ours, theirs in (("max_new_tokens", "max_length"), ("min_new_tokens", "min_length")):
        length = given.get(theirs)
        if ours not in found and isinstance(length, int) and length > 1:
            found[ours] = length - 1
    if words := given.get("bad_words_ids"):
        if not (isinstance(words, list) and all(isinstance(word, list) and len(word) == 1 for word in words)):
            raise ValueError(f"bad_words_ids is {words!r}: only single tokens can be banned, as [[0], [7]]")
        found["suppress_tokens"] = [*found.get("suppress_tokens", []), *(id_ for (id_,) in words)]
    return found


def generation_config(options: Mapping[str, Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """The generation_config.json of a model; the inverse of `read_decoding`.

    Args:
        options: fields of `DecodingOptions`; those that do not exist there are left out.
        config: config.json.

    Returns:
        Its keys and values.
    """
    kept = {key: list(value) if isinstance(value, tuple) else value for key, value in options.items()}
    found = {key: config.get(key) for key in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")}
    found |= {key: kept[key] for key in _ALIKE if kept.get(key) is not None}
    if DecodingOptions(**options).samples:
        found |= {"do_sample": True, **{key: kept.get(key, _SAMPLING[key]) for key in _SAMPLING}}
        found["top_k"] = kept.get("top_k", 0)
        found["temperature"] = 1.0 if found["temperature"] is None else found["temperature"]
    return {key: value for key, value in found.items() if value is not None}


def read_prefixes(folder: Path) -> dict[str, str]:
    """What config.json says that is put before a source, by the name of the task.

    T5 (Raffel et al. 2020, arXiv:1910.10683, section 2.4): ``translation_en_to_de`` is "translate English to German: ".
    """
    tasks = read_config(folder).get("task_specific_params")
    named = tasks.items() if isinstance(tasks, Mapping) else ()
    found = {str(name): task.get("prefix") for name, task in named if isinstance(task, Mapping)}
    return {name: prefix for name, prefix in found.items() if isinstance(prefix, str) and prefix.strip()}
