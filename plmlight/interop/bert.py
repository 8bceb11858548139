"""The table of BERT (bert), and what RoBERTa and ALBERT share with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.family import Architecture, Family, Rule, with_bias
from plmlight.interop.setting import Setting, choice, padding, same, width

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "relu": "relu",
    "silu": "silu",
    "swish": "silu",
}
REQUIRED = {"is_decoder": False, "add_cross_attention": False, "position_embedding_type": "absolute"}
RENAMED = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
DERIVED = (r"embeddings\.(position_ids|token_type_ids)",)
OTHER_HEADS = (r"(classifier|qa_outputs)(\.dense|\.out_proj)?\.(weight|bias)",)
EMBEDDINGS = (
    Rule("embeddings.tokens.weight", "embeddings.word_embeddings.weight"),
    Rule("embeddings.positions.weight", "embeddings.position_embeddings.weight"),
    Rule("embeddings.token_types.weight", "embeddings.token_type_embeddings.weight"),
    *with_bias("embeddings.norm", "embeddings.LayerNorm"),
)
POOLER = with_bias("pooler.dense", "pooler.dense")
CLASSIFIER = with_bias("head.classifier", "classifier", outside=True)
TOKEN_CLASSIFICATION = Architecture(
    "TokenClassification", ("head.classifier.weight", "head.classifier.bias"), rules=CLASSIFIER
)
QUESTION_ANSWERING = Architecture(
    "QuestionAnswering",
    ("head.spans.weight", "head.spans.bias"),
    rules=with_bias("head.spans", "qa_outputs", outside=True),
)


def classification(*rules: Rule) -> Architecture:
    """A text's class by BERT's pooler and a linear layer over it.

    Args:
        rules: where these are stored, if not where the family says and ``classifier``.
    """
    return Architecture(
        "TextClassification",
        ("pooler", "head.classifier.weight", "head.classifier.bias"),
        arguments={"pooling": "pooler"},
        rules=rules or CLASSIFIER,
    )


def settings(
    vocab_size: int = 30522, d_model: int = 768, num_heads: int = 12, d_ff: int = 3072, dropout: float = 0.1
) -> tuple[Setting, ...]:
    """What is named alike in these families, with the reference's defaults."""
    return (
        same("vocab_size", "vocab_size", default=vocab_size),
        same("d_model", "hidden_size", default=d_model),
        same("num_layers", "num_hidden_layers", default=12),
        same("num_heads", "num_attention_heads", default=num_heads),
        width("intermediate_size", d_ff),
        same("dropout", "hidden_dropout_prob", "attention_probs_dropout_prob", default=dropout),
        same("norm_eps", "layer_norm_eps", default=1e-12),
    )


def _segments(value: Any, _: Mapping[str, Any]) -> dict[str, Any]:
    if not value:
        raise ValueError(f"num_token_types is {value}, and at least 1 there")
    return {"type_vocab_size": value}


SEGMENTS = Setting("num_token_types", same("num_token_types", "type_vocab_size", default=2).read, _segments)
LAYERS = (
    *with_bias(
        "stack.layers.{i}.attention.qkv",
        "encoder.layer.{i}.attention.self.query",
        "encoder.layer.{i}.attention.self.key",
        "encoder.layer.{i}.attention.self.value",
    ),
    *with_bias("stack.layers.{i}.attention.out", "encoder.layer.{i}.attention.output.dense"),
    *with_bias("stack.layers.{i}.attention_norm", "encoder.layer.{i}.attention.output.LayerNorm"),
    *with_bias("stack.layers.{i}.feed_forward.up", "encoder.layer.{i}.intermediate.dense"),
    *with_bias("stack.layers.{i}.feed_forward.down", "encoder.layer.{i}.output.dense"),
    *with_bias("stack.layers.{i}.feed_forward_norm", "encoder.layer.{i}.output.LayerNorm"),
)

BERT_FAMILY = Family(
    model_type="bert",
    backbone="BertModel",
    architectures={
        "BertForPreTraining": Architecture(
            "MaskedLM",
            ("head", "pair_head"),
            arguments={"pair_objective": {"class_path": "plmlight.NextSentencePrediction"}},
        ),
        "BertForMaskedLM": Architecture("MaskedLM", ("head",)),
        "BertForQuestionAnswering": QUESTION_ANSWERING,
        "BertForSequenceClassification": classification(),
        "BertForTokenClassification": TOKEN_CLASSIFICATION,
        "BertModel": Architecture("SentenceEmbedding", optional={"pooler": {"pooler": True}}),
    },
    prefix="bert.",
    settings=(
        *settings(),
        same("max_length", "max_position_embeddings", default=512),
        choice("activation", "hidden_act", "gelu", ACTIVATIONS),
        SEGMENTS,
        padding(0),
    ),
    rules=(*EMBEDDINGS, *LAYERS),
    heads=(
        *with_bias("head.transform", "cls.predictions.transform.dense", outside=True),
        *with_bias("head.norm", "cls.predictions.transform.LayerNorm", outside=True),
        Rule("head.weight", "cls.predictions.decoder.weight", outside=True),
        Rule("head.bias", "cls.predictions.bias", outside=True, twin="cls.predictions.decoder.bias"),
        *with_bias("pair_head.pooler.dense", "pooler.dense"),
        *with_bias("pair_head.classifier", "cls.seq_relationship", outside=True),
        *POOLER,
    ),
    other_heads=OTHER_HEADS,
    required=REQUIRED,
    derived=DERIVED,
    renamed=RENAMED,
)
