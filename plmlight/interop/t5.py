"""The tables of T5 (t5: versions 1.0 and 1.1, FLAN-T5) and mT5 (mt5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.bart import classification
from plmlight.interop.family import Architecture, Family, Rule
from plmlight.interop.setting import Setting, padding, same, start, width
from plmlight.text import nearest

_PROJECTIONS = {
    "relu": ("relu", False),
    "gated-gelu": ("gelu_tanh", True),  # unlike "gelu" alone
    "gelu": ("gelu", False),
    "gelu_new": ("gelu_tanh", False),
    "silu": ("silu", False),
    "gated-relu": ("relu", True),
    "gated-silu": ("silu", True),
    "gated-gelu_new": ("gelu_tanh", True),
    "gated-gelu_python": ("gelu", True),
}
"""Their ``feed_forward_proj`` as our ``activation`` and ``gated``; the first of several is the one that is written."""
_INNER = {"gelu_new": "gelu_tanh", "gelu_python": "gelu"}


def _feed_forward(default: str) -> tuple[Setting, Setting]:
    def read(config: Mapping[str, Any]) -> tuple[str, bool]:
        name = config.get("feed_forward_proj", default)
        if name not in _PROJECTIONS:
            raise ValueError(f"feed_forward_proj {name!r} is not known{nearest(str(name), _PROJECTIONS)}")
        activation, gated = _PROJECTIONS[name]
        inner = config.get("dense_act_fn", activation)  # newer versions write both
        if _INNER.get(inner, inner) != activation:
            raise ValueError(f"dense_act_fn is {inner!r}, but feed_forward_proj {name!r}: they mean the same")
        if config.get("is_gated_act", gated) != gated:
            raise ValueError(f"is_gated_act is {not gated}, but feed_forward_proj {name!r}: they mean the same")
        return activation, gated

    def write(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
        for name, found in _PROJECTIONS.items():
            if found == (value, arguments.get("gated", False)):
                return {"feed_forward_proj": name}
        raise ValueError(f"activation {value!r} has no name there")

    return (
        Setting("activation", lambda config: read(config)[0], write),
        Setting("gated", lambda config: read(config)[1], lambda *_: {}),
    )


def _head_dim(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"d_kv": arguments["d_model"] // arguments["num_heads"] if value is None else value}


def _layer(ours: str, theirs: str, inner: int) -> tuple[Rule, ...]:
    """A layer's rules; ``inner`` is the number of the feed-forward among the sublayers."""
    layer, sub = f"{ours}.layers.{{i}}", f"{theirs}.block.{{i}}.layer"
    dense, attention = f"{sub}.{inner}.DenseReluDense", f"{sub}.0.SelfAttention"
    return (
        Rule(f"{layer}.attention.qkv.weight", tuple(f"{attention}.{name}.weight" for name in "qkv")),
        Rule(f"{layer}.attention.out.weight", f"{attention}.o.weight"),
        Rule(f"{layer}.attention_norm.weight", f"{sub}.0.layer_norm.weight"),
        Rule(f"{layer}.feed_forward.up.weight", f"{dense}.wi_1.weight", beside=f"{layer}.feed_forward.gate.weight"),
        Rule(f"{layer}.feed_forward.gate.weight", f"{dense}.wi_0.weight"),
        Rule(f"{layer}.feed_forward.up.weight", f"{dense}.wi.weight"),
        Rule(f"{layer}.feed_forward.down.weight", f"{dense}.wo.weight"),
        Rule(f"{layer}.feed_forward_norm.weight", f"{sub}.{inner}.layer_norm.weight"),
    )


_CROSS, _THEIR_CROSS = "decoder.layers.{i}.cross_attention", "decoder.block.{i}.layer.1"
_DISTANCES = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_RULES = (
    Rule("token_table.weight", "shared.weight", copies=("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")),
    *_layer("encoder", "encoder", 1),
    *_layer("decoder", "decoder", 2),
    Rule(f"{_CROSS}.query.weight", f"{_THEIR_CROSS}.EncDecAttention.q.weight"),
    Rule(f"{_CROSS}.key_value.weight", tuple(f"{_THEIR_CROSS}.EncDecAttention.{name}.weight" for name in "kv")),
    Rule(f"{_CROSS}.out.weight", f"{_THEIR_CROSS}.EncDecAttention.o.weight"),
    Rule(f"{_CROSS}_norm.weight", f"{_THEIR_CROSS}.layer_norm.weight"),
    *(Rule(f"{side}_bias.table.weight", f"{side}.{_DISTANCES}") for side in ("encoder", "decoder")),
    *(Rule(f"{side}_norm.weight", f"{side}.final_layer_norm.weight") for side in ("encoder", "decoder")),
)


def _family(
    model_type: str, name: str, sizes: tuple[int, int, int, int], feed_forward: str, untied: Mapping[str, Any]
) -> Family:
    """A table with the reference's defaults: V, the number of layers, H, and the width of the feed-forward."""
    vocab_size, num_layers, num_heads, d_ff = sizes

    def decoder_layers(config: Mapping[str, Any]) -> int:
        key = "num_layers" if config.get("num_decoder_layers") is None else "num_decoder_layers"
        found: int = same("num_decoder_layers", key, default=num_layers).read(config)
        return found

    return Family(
        model_type=model_type,
        backbone=f"{name}Model",
        architectures={
            f"{name}ForConditionalGeneration": Architecture("Seq2Seq", ("head.weight",)),
            f"{name}ForSequenceClassification": classification("transformer."),
            f"{name}Model": Architecture("Seq2Seq", optional={"head.weight": {}}),
        },
        prefix="",
        settings=(
            same("vocab_size", "vocab_size", default=vocab_size),
            same("d_model", "d_model", default=512),
            same("num_layers", "num_layers", default=num_layers),
            Setting(
                "num_decoder_layers",
                decoder_layers,
                lambda value, arguments: {"num_decoder_layers": value or arguments["num_layers"]},
            ),
            same("num_heads", "num_heads", default=num_heads),
            Setting("head_dim", same("head_dim", "d_kv", default=64).read, _head_dim),
            width("d_ff", d_ff),
            same("dropout", "dropout_rate", default=0.1),
            same("max_length", "n_positions", default=512),
            same("norm_eps", "layer_norm_epsilon", default=1e-6),
            same("num_buckets", "relative_attention_num_buckets", default=32),
            same("max_distance", "relative_attention_max_distance", default=128),
            *_feed_forward(feed_forward),
            padding(0),
            start(0),
        ),
        rules=_RULES,
        heads=(Rule("head.weight", "lm_head.weight"),),
        other_heads=(r"(classification_head\.(dense|out_proj)|qa_outputs|classifier)\.(weight|bias)",),
        # Old files hold a table that the reference has never read.
        derived=(r"decoder\.block\.0\.layer\.1\.EncDecAttention\.relative_attention_bias\.weight",),
        untied=untied,
    )


T5_FAMILY = _family(
    "t5",
    "T5",
    (32128, 6, 8, 2048),
    "relu",
    # What is tied is scaled: the newest version writes only whether it is.
    {"tie_word_embeddings": False, "scale_decoder_outputs": False},
)
# A head that is tied, but not scaled, does not exist here: all that are published have a head of their own.
MT5_FAMILY = _family("mt5", "MT5", (250112, 8, 6, 1024), "gated-gelu", {"model_type": "mt5"})
