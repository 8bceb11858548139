"""The table of XLNet (xlnet)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.bert import ACTIVATIONS, TOKEN_CLASSIFICATION
from plmlight.interop.family import Architecture, Family, Rule, with_bias
from plmlight.interop.setting import Setting, choice, flag, padding, same, width


def _heads(config: Mapping[str, Any]) -> int:
    heads: int = same("num_heads", "n_head", default=16).read(config)
    d_model, d_head = config.get("d_model", 1024), config.get("d_head")
    if d_head is not None and heads * d_head != d_model:
        raise ValueError(f"d_head is {d_head}: only d_model {d_model} divided by n_head {heads} is supported")
    return heads


def _write_heads(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"n_head": value, "d_head": arguments["d_model"] // value}


def _length(ours: str, theirs: str, default: int | None, none: int | None) -> Setting:
    """A length of at least 1, or none at all, which is null, 0 or negative there."""

    def read(config: Mapping[str, Any]) -> int | None:
        value = config.get(theirs, default)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise ValueError(f"{theirs} is {value!r}, expected a whole number or null")
        return value if value is not None and value > 0 else None

    return Setting(ours, read, lambda value, _: {theirs: none if value is None else value})


_LAYER, _THEIRS = "layers.{i}", "layer.{i}"
_ATTENTION, _THEIR_ATTENTION = f"{_LAYER}.attention", f"{_THEIRS}.rel_attn"

XLNET_FAMILY = Family(
    model_type="xlnet",
    backbone="XLNetModel",
    architectures={
        "XLNetLMHeadModel": Architecture("PermutationLM", ("head",)),
        "XLNetForSequenceClassification": Architecture(
            "TextClassification",
            ("pooler", "head.classifier.weight", "head.classifier.bias"),
            arguments={"pooling": "pooler"},
            rules=(
                *with_bias("pooler.dense", "sequence_summary.summary", outside=True),
                *with_bias("head.classifier", "logits_proj", outside=True),
            ),
            required={"summary_type": "last", "summary_use_proj": True, "summary_activation": "tanh"},
        ),
        "XLNetForTokenClassification": TOKEN_CLASSIFICATION,
        "XLNetModel": Architecture("SentenceEmbedding"),
    },
    prefix="transformer.",
    settings=(
        same("vocab_size", "vocab_size", default=32000),
        same("d_model", "d_model", default=1024),
        same("num_layers", "n_layer", default=24),
        Setting("num_heads", _heads, _write_heads),
        width("d_inner", 4096),
        same("dropout", "dropout", default=0.1),
        choice("activation", "ff_activation", "gelu", ACTIVATIONS),
        same("norm_eps", "layer_norm_eps", default=1e-12),
        _length("memory_length", "mem_len", 512, None),
        _length("reuse_length", "reuse_len", None, None),
        _length("clamp_length", "clamp_len", -1, -1),
        Setting(
            "causal",
            lambda config: choice("causal", "attn_type", "bi", {"bi": "bi", "uni": "uni"}).read(config) == "uni",
            lambda value, _: {"attn_type": "uni" if value else "bi"},
        ),
        flag("same_length", "same_length", default=False),
        # A key of our own: their network has no limit either, and does not say how long its texts are.
        same("max_length", "max_sequence_length", default=512),
        padding(5),
    ),
    rules=(
        Rule("token_table.weight", "word_embedding.weight"),
        Rule("query_embedding", "mask_emb"),
        Rule(f"{_ATTENTION}.query.weight", f"{_THEIR_ATTENTION}.q", transposed=True, by_head=True),
        Rule(
            f"{_ATTENTION}.key_value.weight",
            (f"{_THEIR_ATTENTION}.k", f"{_THEIR_ATTENTION}.v"),
            transposed=True,
            by_head=True,
        ),
        Rule(f"{_ATTENTION}.distance.weight", f"{_THEIR_ATTENTION}.r", transposed=True, by_head=True),
        Rule(f"{_ATTENTION}.out.weight", f"{_THEIR_ATTENTION}.o", by_head=True),
        Rule(f"{_ATTENTION}.content_bias", f"{_THEIR_ATTENTION}.r_w_bias"),
        Rule(f"{_ATTENTION}.distance_bias", f"{_THEIR_ATTENTION}.r_r_bias"),
        Rule(f"{_ATTENTION}.segment_bias", f"{_THEIR_ATTENTION}.r_s_bias"),
        Rule(f"{_ATTENTION}.segments", f"{_THEIR_ATTENTION}.seg_embed"),
        *with_bias(f"{_ATTENTION}_norm", f"{_THEIR_ATTENTION}.layer_norm"),
        *with_bias(f"{_LAYER}.feed_forward.up", f"{_THEIRS}.ff.layer_1"),
        *with_bias(f"{_LAYER}.feed_forward.down", f"{_THEIRS}.ff.layer_2"),
        *with_bias(f"{_LAYER}.feed_forward_norm", f"{_THEIRS}.ff.layer_norm"),
    ),
    heads=with_bias("head", "lm_loss", outside=True),
    other_heads=(r"(sequence_summary|logits_proj|classifier|qa_outputs|start_logits|end_logits|answer_class)\..*",),
    # The published models were made with biases of each layer's own; the reference reads no others either.
    required={"bi_data": False, "untie_r": True},
    aliases={
        "n_token": "vocab_size",
        "hidden_size": "d_model",
        "num_attention_heads": "n_head",
        "num_hidden_layers": "n_layer",
    },
)
