"""The tables of BART (bart) and mBART (mbart), and what Marian shares with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.bert import ACTIVATIONS
from plmlight.interop.family import Architecture, Family, Rule, with_bias
from plmlight.interop.setting import Setting, always, choice, flag, padding, same, start

DERIVED = (r"(encoder|decoder)\.(version|embed_positions\._float_tensor)",)
OTHER_HEADS = (r"(classification_head\.(dense|out_proj)|qa_outputs)\.(weight|bias)",)


def _both_widths(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    d_ff = 4 * arguments["d_model"] if value is None else value
    return {"encoder_ffn_dim": d_ff, "decoder_ffn_dim": d_ff}


def _decoder_layers(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"decoder_layers": arguments["num_layers"] if value is None else value}


def _dropout(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    return {"dropout": value, "attention_dropout": value, "activation_dropout": 0.0}


def settings(vocab_size: int) -> tuple[Setting, ...]:
    """What is named alike in these families, with the reference's defaults.

    They have three numbers for dropout, of which ``dropout`` is read: the others matter in training alone.
    """
    return (
        same("vocab_size", "vocab_size", default=vocab_size),
        same("d_model", "d_model", default=1024),
        same("num_layers", "encoder_layers", default=12),
        Setting("num_decoder_layers", same("num_decoder_layers", "decoder_layers", default=12).read, _decoder_layers),
        same("num_heads", "encoder_attention_heads", "decoder_attention_heads", default=16),
        Setting("d_ff", same("d_ff", "encoder_ffn_dim", "decoder_ffn_dim", default=4096).read, _both_widths),
        Setting("dropout", same("dropout", "dropout", default=0.1).read, _dropout),
        same("max_length", "max_position_embeddings", default=1024),
        choice("activation", "activation_function", "gelu", ACTIVATIONS),
        flag("scale_embedding", "scale_embedding", default=False),
        always("norm_eps", 1e-5),
    )


def _layer(ours: str, theirs: str) -> tuple[Rule, ...]:
    layer = f"{theirs}.layers.{{i}}"
    return (
        *with_bias(
            f"{ours}.layers.{{i}}.attention.qkv",
            f"{layer}.self_attn.q_proj",
            f"{layer}.self_attn.k_proj",
            f"{layer}.self_attn.v_proj",
        ),
        *with_bias(f"{ours}.layers.{{i}}.attention.out", f"{layer}.self_attn.out_proj"),
        *with_bias(f"{ours}.layers.{{i}}.attention_norm", f"{layer}.self_attn_layer_norm"),
        *with_bias(f"{ours}.layers.{{i}}.feed_forward.up", f"{layer}.fc1"),
        *with_bias(f"{ours}.layers.{{i}}.feed_forward.down", f"{layer}.fc2"),
        *with_bias(f"{ours}.layers.{{i}}.feed_forward_norm", f"{layer}.final_layer_norm"),
    )


_CROSS = "decoder.layers.{i}.cross_attention"
_THEIR_CROSS = "decoder.layers.{i}.encoder_attn"
TABLE = Rule(
    "token_table.weight", "shared.weight", copies=("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
)
LAYERS = (
    *_layer("encoder", "encoder"),
    *_layer("decoder", "decoder"),
    *with_bias(f"{_CROSS}.query", f"{_THEIR_CROSS}.q_proj"),
    *with_bias(f"{_CROSS}.key_value", f"{_THEIR_CROSS}.k_proj", f"{_THEIR_CROSS}.v_proj"),
    *with_bias(f"{_CROSS}.out", f"{_THEIR_CROSS}.out_proj"),
    *with_bias(f"{_CROSS}_norm", f"{_THEIR_CROSS}_layer_norm"),
)
HEADS = (
    Rule("head.weight", "lm_head.weight", outside=True),
    Rule("head.bias", "final_logits_bias", outside=True, row=True),
)
_POSITIONS = tuple(
    # The two rows before the first were the padding's, which fairseq counted positions from.
    Rule(f"{side}_positions.weight", f"{side}.embed_positions.weight", skipped=2)
    for side in ("encoder", "decoder")
)


def classification(prefix: str | None = None) -> Architecture:
    """A text's class by what both halves read of it: the decoder's state at its end, a layer, and a linear one.

    Args:
        prefix: as in `Architecture`.
    """
    return Architecture(
        "TextClassification",
        ("pooler", "head.classifier.weight", "head.classifier.bias"),
        arguments={"pooling": "pooler"},
        rules=(
            *with_bias("pooler.dense", "classification_head.dense", outside=True),
            *with_bias("head.classifier", "classification_head.out_proj", outside=True),
        ),
        prefix=prefix,
    )


def architectures(name: str, conditional: str) -> dict[str, Architecture]:
    """The model with a head and the one without; ``final_logits_bias`` is not stored by every version.

    Args:
        name: of the family in class names, as ``Bart``.
        conditional: their class of the model with a head.

    Returns:
        Both by the names of their classes.
    """
    bias = {"head.bias": {"head_bias": True}}
    return {
        conditional: Architecture("Seq2Seq", ("head.weight",), optional=bias),
        f"{name}Model": Architecture("Seq2Seq", optional={"head.weight": {}, **bias}),
    }


def _family(model_type: str, name: str, start_id: int | None, *, norm_first: bool) -> Family:
    ends = with_bias("encoder_norm", "encoder.layer_norm") + with_bias("decoder_norm", "decoder.layer_norm")
    return Family(
        model_type=model_type,
        backbone=f"{name}Model",
        architectures={
            # mBART's decoder begins with a text's last token, its language, and is read at the token before it
            **({} if norm_first else {f"{name}ForSequenceClassification": classification()}),
            **architectures(name, f"{name}ForConditionalGeneration"),
        },
        prefix="model.",
        settings=(
            *settings(50265),
            always("positions", "learned"),
            always("norm_embedding", True),
            always("norm_first", norm_first),
            always("target_vocab_size", None),
            padding(1),
            start(start_id),
        ),
        rules=(
            TABLE,
            *_POSITIONS,
            *with_bias("encoder_embedding_norm", "encoder.layernorm_embedding"),
            *with_bias("decoder_embedding_norm", "decoder.layernorm_embedding"),
            *LAYERS,
            *(ends if norm_first else ()),
        ),
        heads=HEADS,
        other_heads=OTHER_HEADS,
        derived=DERIVED,
        unties_copies=True,
    )


BART_FAMILY = _family("bart", "Bart", 2, norm_first=False)
MBART_FAMILY = _family("mbart", "MBart", None, norm_first=True)
