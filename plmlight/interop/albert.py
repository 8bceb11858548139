"""The table of ALBERT (albert)."""

from __future__ import annotations

from plmlight.interop.bert import (
    ACTIVATIONS,
    DERIVED,
    EMBEDDINGS,
    OTHER_HEADS,
    QUESTION_ANSWERING,
    RENAMED,
    REQUIRED,
    SEGMENTS,
    TOKEN_CLASSIFICATION,
    classification,
    settings,
)
from plmlight.interop.family import Architecture, Family, Rule, with_bias
from plmlight.interop.setting import choice, padding, same

_LAYER = "encoder.albert_layer_groups.{i}.albert_layers.0"

ALBERT_FAMILY = Family(
    model_type="albert",
    backbone="AlbertModel",
    architectures={
        "AlbertForPreTraining": Architecture(
            "MaskedLM",
            ("head", "pair_head"),
            arguments={"pair_objective": {"class_path": "plmlight.SentenceOrderPrediction"}},
        ),
        "AlbertForMaskedLM": Architecture("MaskedLM", ("head",)),
        "AlbertForQuestionAnswering": QUESTION_ANSWERING,
        "AlbertForSequenceClassification": classification(),
        "AlbertForTokenClassification": TOKEN_CLASSIFICATION,
        "AlbertModel": Architecture("SentenceEmbedding", optional={"pooler": {"pooler": True}}),
    },
    prefix="albert.",
    settings=(
        *settings(vocab_size=30000, d_model=4096, num_heads=64, d_ff=16384, dropout=0.0),
        same("d_embedding", "embedding_size", default=128),
        same("num_groups", "num_hidden_groups", default=1),
        same("max_length", "max_position_embeddings", default=512),
        choice("activation", "hidden_act", "gelu_new", ACTIVATIONS),
        SEGMENTS,
        padding(0),
    ),
    rules=(
        *EMBEDDINGS,
        *with_bias("embeddings.projection", "encoder.embedding_hidden_mapping_in"),
        *with_bias(
            "stack.layers.{i}.attention.qkv",
            f"{_LAYER}.attention.query",
            f"{_LAYER}.attention.key",
            f"{_LAYER}.attention.value",
        ),
        *with_bias("stack.layers.{i}.attention.out", f"{_LAYER}.attention.dense"),
        *with_bias("stack.layers.{i}.attention_norm", f"{_LAYER}.attention.LayerNorm"),
        *with_bias("stack.layers.{i}.feed_forward.up", f"{_LAYER}.ffn"),
        *with_bias("stack.layers.{i}.feed_forward.down", f"{_LAYER}.ffn_output"),
        *with_bias("stack.layers.{i}.feed_forward_norm", f"{_LAYER}.full_layer_layer_norm"),
    ),
    heads=(
        *with_bias("head.transform", "predictions.dense", outside=True),
        *with_bias("head.norm", "predictions.LayerNorm", outside=True),
        Rule("head.weight", "predictions.decoder.weight", outside=True),
        Rule("head.bias", "predictions.bias", outside=True, twin="predictions.decoder.bias"),
        *with_bias("pair_head.pooler.dense", "pooler"),
        *with_bias("pair_head.classifier", "sop_classifier.classifier", outside=True),
        *with_bias("pooler.dense", "pooler"),
    ),
    other_heads=OTHER_HEADS,
    required={**REQUIRED, "inner_group_num": 1},
    derived=DERIVED,
    renamed=RENAMED,
)
