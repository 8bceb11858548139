"""The table of Marian's models as they are published (marian)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.bart import DERIVED, HEADS, LAYERS, TABLE, architectures, settings
from plmlight.interop.family import Family, Rule
from plmlight.interop.setting import Setting, always, padding, same, start


def _target(config: Mapping[str, Any]) -> int | None:
    if config.get("share_encoder_decoder_embeddings", True):
        return None
    size = config.get("decoder_vocab_size")
    key = "vocab_size" if size is None else "decoder_vocab_size"
    found: int = same("target_vocab_size", key, default=58101).read(config)
    return found


def _tell_target(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    size = arguments["vocab_size"] if value is None else value
    return {"share_encoder_decoder_embeddings": value is None, "decoder_vocab_size": size}


MARIAN_FAMILY = Family(
    model_type="marian",
    backbone="MarianModel",
    architectures=architectures("Marian", "MarianMTModel"),
    prefix="model.",
    settings=(
        *settings(58101),
        Setting("target_vocab_size", _target, _tell_target),
        always("positions", "sinusoidal_halves"),
        always("norm_embedding", False),
        always("norm_first", False),
        padding(58100),
        start(58100),
    ),
    rules=(
        Rule("token_table.weight", "encoder.embed_tokens.weight", beside="target_table.weight"),
        Rule("target_table.weight", "decoder.embed_tokens.weight"),
        TABLE,
        *LAYERS,
    ),
    heads=HEADS,
    derived=(*DERIVED, r"(encoder|decoder)\.embed_positions\.weight"),
    unties_copies=True,
)
