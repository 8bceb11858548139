"""The tables of RoBERTa (roberta) and XLM-R (xlm-roberta), which differ in their names only."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.bert import (
    DERIVED,
    EMBEDDINGS,
    LAYERS,
    OTHER_HEADS,
    POOLER,
    QUESTION_ANSWERING,
    RENAMED,
    REQUIRED,
    TOKEN_CLASSIFICATION,
    classification,
    settings,
)
from plmlight.interop.family import Architecture, Family, Rule, with_bias
from plmlight.interop.setting import Setting, choice, padding, same

_PADDING = padding(1)


def _max_length(config: Mapping[str, Any]) -> int:
    """The rows of the table without the padding's and those before it, which no token uses."""
    rows: int = same("max_length", "max_position_embeddings", default=512).read(config)
    before: int = _PADDING.read(config) + 1
    if rows <= before:
        raise ValueError(f"max_position_embeddings is {rows}, expected more than pad_token_id + 1 = {before}")
    return rows - before


def _rows(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"max_position_embeddings": value + arguments["pad_token_id"] + 1}


def _segments(config: Mapping[str, Any]) -> int:
    """One row tells no segments apart: it is 0 here, where the row is added to every token."""
    rows: int = same("num_token_types", "type_vocab_size", default=2).read(config)
    if not rows:
        raise ValueError("type_vocab_size is 0, expected at least 1")
    return rows if rows > 1 else 0


def _family(model_type: str, name: str, vocab_size: int) -> Family:
    return Family(
        model_type=model_type,
        backbone=f"{name}Model",
        architectures={
            f"{name}ForMaskedLM": Architecture("MaskedLM", ("head",)),
            f"{name}ForQuestionAnswering": QUESTION_ANSWERING,
            f"{name}ForSequenceClassification": classification(
                *with_bias("pooler.dense", "classifier.dense", outside=True),
                *with_bias("head.classifier", "classifier.out_proj", outside=True),
            ),
            f"{name}ForTokenClassification": TOKEN_CLASSIFICATION,
            f"{name}Model": Architecture("SentenceEmbedding", optional={"pooler": {"pooler": True}}),
        },
        prefix="roberta.",
        settings=(
            *settings(vocab_size=vocab_size),
            Setting("max_length", _max_length, _rows),
            # Their head has the exact GELU whatever the layers have.
            choice("activation", "hidden_act", "gelu", {"gelu": "gelu"}),
            Setting("num_token_types", _segments, lambda value, _: {"type_vocab_size": max(value, 1)}),
            _PADDING,
        ),
        rules=(*EMBEDDINGS, *LAYERS),
        heads=(
            *with_bias("head.transform", "lm_head.dense", outside=True),
            *with_bias("head.norm", "lm_head.layer_norm", outside=True),
            Rule("head.weight", "lm_head.decoder.weight", outside=True),
            Rule("head.bias", "lm_head.bias", outside=True, twin="lm_head.decoder.bias"),
            *POOLER,
        ),
        other_heads=OTHER_HEADS,
        required=REQUIRED,
        derived=DERIVED,
        renamed=RENAMED,
    )


ROBERTA_FAMILY = _family("roberta", "Roberta", 50265)
XLM_ROBERTA_FAMILY = _family("xlm-roberta", "XLMRoberta", 30522)
