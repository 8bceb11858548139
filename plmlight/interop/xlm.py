"""The table of XLM (xlm)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.bert import TOKEN_CLASSIFICATION
from plmlight.interop.family import Architecture, Family, Rule, with_bias
from plmlight.interop.setting import Setting, padding, same


def _languages(config: Mapping[str, Any]) -> int:
    count: int = same("num_token_types", "n_langs", default=1).read(config)
    return count if count > 1 and config.get("use_lang_emb", True) else 0


def _tell_languages(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    if value == 1:
        raise ValueError("num_token_types is 1, and a single language has no embedding there")
    return {"n_langs": max(value, 1), "use_lang_emb": value > 1}


def _activation(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    if value not in ("gelu", "relu"):
        raise ValueError(f"activation is {value!r}, and gelu or relu there")
    return {"gelu_activation": value == "gelu"}


XLM_FAMILY = Family(
    model_type="xlm",
    backbone="XLMModel",
    architectures={
        "XLMWithLMHeadModel": Architecture("MaskedLM", ("head",)),
        "XLMForSequenceClassification": Architecture(
            "TextClassification",
            ("head.classifier.weight", "head.classifier.bias"),
            arguments={"pooling": "cls"},
            rules=with_bias("head.classifier", "sequence_summary.summary", outside=True),
            required={
                "summary_type": "first",
                "summary_use_proj": True,
                "summary_proj_to_labels": True,
                "summary_activation": None,
            },
        ),
        "XLMForTokenClassification": TOKEN_CLASSIFICATION,
        "XLMModel": Architecture("SentenceEmbedding"),
    },
    prefix="transformer.",
    settings=(
        same("vocab_size", "vocab_size", default=30145),
        same("d_model", "emb_dim", default=2048),
        same("num_layers", "n_layers", default=12),
        same("num_heads", "n_heads", default=16),
        same("dropout", "dropout", "attention_dropout", default=0.1),
        same("max_length", "max_position_embeddings", default=512),
        same("norm_eps", "layer_norm_eps", default=1e-12),
        Setting("num_token_types", _languages, _tell_languages),
        Setting(
            "positions",
            lambda config: "sinusoidal" if config.get("sinusoidal_embeddings") else "learned",
            lambda value, _: {"sinusoidal_embeddings": value == "sinusoidal"},
        ),
        Setting("activation", lambda config: "gelu" if config.get("gelu_activation", True) else "relu", _activation),
        padding(2),
    ),
    rules=(
        Rule("embeddings.tokens.weight", "embeddings.weight"),
        Rule("embeddings.positions.weight", "position_embeddings.weight"),
        Rule("embeddings.token_types.weight", "lang_embeddings.weight"),
        *with_bias("embeddings.norm", "layer_norm_emb"),
        *with_bias(
            "stack.layers.{i}.attention.qkv", "attentions.{i}.q_lin", "attentions.{i}.k_lin", "attentions.{i}.v_lin"
        ),
        *with_bias("stack.layers.{i}.attention.out", "attentions.{i}.out_lin"),
        *with_bias("stack.layers.{i}.attention_norm", "layer_norm1.{i}"),
        *with_bias("stack.layers.{i}.feed_forward.up", "ffns.{i}.lin1"),
        *with_bias("stack.layers.{i}.feed_forward.down", "ffns.{i}.lin2"),
        *with_bias("stack.layers.{i}.feed_forward_norm", "layer_norm2.{i}"),
    ),
    heads=with_bias("head", "pred_layer.proj", outside=True),
    other_heads=(r"(sequence_summary|qa_outputs|classifier)\..*",),
    required={"causal": False, "asm": False, "is_encoder": True},
    derived=(r"position_ids",),
    aliases={
        "n_words": "vocab_size",
        "hidden_size": "emb_dim",
        "num_hidden_layers": "n_layers",
        "num_attention_heads": "n_heads",
        "pad_index": "pad_token_id",
    },
)
