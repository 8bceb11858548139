"""The tables of GPT-1 (openai-gpt) and GPT-2 (gpt2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plmlight.interop.family import Architecture, Family, Rule
from plmlight.interop.setting import Setting, always, choice, same


def _read_padding(config: Mapping[str, Any]) -> int:
    """The padding id; the end of text where there is none, as everywhere here, unless it lies outside (a default)."""
    for key in ("pad_token_id", "eos_token_id"):
        value = config.get(key)
        value = value[0] if isinstance(value, list) and value else value
        if isinstance(value, int) and 0 <= value < config.get("vocab_size", value + 1):
            return value
    return 0


def _four_times(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if value not in (None, 4 * arguments["d_model"]):
        raise ValueError(f"d_ff is {value}, and always 4 d_model = {4 * arguments['d_model']} there")
    return {}


def _cross_attention(value: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    if value not in (None, arguments["d_model"]):
        raise ValueError(f"memory_dim is {value}, and always d_model = {arguments['d_model']} there")
    return {"add_cross_attention": value is not None}


def _architectures(name: str) -> dict[str, Architecture]:
    return {
        f"{name}LMHeadModel": Architecture("CausalLM", ("head",)),
        f"{name}ForSequenceClassification": Architecture(
            "TextClassification",
            ("head.classifier.weight",),
            arguments={"pooling": "cls"},
            rules=(Rule("head.classifier.weight", "score.weight", outside=True),),
        ),
        f"{name}Model": Architecture("CausalLM", optional={"head": {}}),
    }


_PADDING = Setting("pad_token_id", _read_padding, lambda value, _: {"pad_token_id": value})
_HEADS = (Rule("head.weight", "lm_head.weight", outside=True),)
_OTHER_HEADS = (r"(multiple_choice_head\.summary|score|classifier|qa_outputs)\.(weight|bias)",)

_LAYER = (
    Rule("stack.layers.{i}.attention.qkv.weight", "h.{i}.attn.c_attn.weight", transposed=True),
    Rule("stack.layers.{i}.attention.qkv.bias", "h.{i}.attn.c_attn.bias"),
    Rule("stack.layers.{i}.attention.out.weight", "h.{i}.attn.c_proj.weight", transposed=True),
    Rule("stack.layers.{i}.attention.out.bias", "h.{i}.attn.c_proj.bias"),
    Rule("stack.layers.{i}.attention_norm.weight", "h.{i}.ln_1.weight"),
    Rule("stack.layers.{i}.attention_norm.bias", "h.{i}.ln_1.bias"),
    Rule("stack.layers.{i}.feed_forward.up.weight", "h.{i}.mlp.c_fc.weight", transposed=True),
    Rule("stack.layers.{i}.feed_forward.up.bias", "h.{i}.mlp.c_fc.bias"),
    Rule("stack.layers.{i}.feed_forward.down.weight", "h.{i}.mlp.c_proj.weight", transposed=True),
    Rule("stack.layers.{i}.feed_forward.down.bias", "h.{i}.mlp.c_proj.bias"),
    Rule("stack.layers.{i}.feed_forward_norm.weight", "h.{i}.ln_2.weight"),
    Rule("stack.layers.{i}.feed_forward_norm.bias", "h.{i}.ln_2.bias"),
)
_CROSS_ATTENTION = (
    Rule("stack.layers.{i}.cross_attention.query.weight", "h.{i}.crossattention.q_attn.weight", transposed=True),
    Rule("stack.layers.{i}.cross_attention.query.bias", "h.{i}.crossattention.q_attn.bias"),
    Rule("stack.layers.{i}.cross_attention.key_value.weight", "h.{i}.crossattention.c_attn.weight", transposed=True),
    Rule("stack.layers.{i}.cross_attention.key_value.bias", "h.{i}.crossattention.c_attn.bias"),
    Rule("stack.layers.{i}.cross_attention.out.weight", "h.{i}.crossattention.c_proj.weight", transposed=True),
    Rule("stack.layers.{i}.cross_attention.out.bias", "h.{i}.crossattention.c_proj.bias"),
    Rule("stack.layers.{i}.cross_attention_norm.weight", "h.{i}.ln_cross_attn.weight"),
    Rule("stack.layers.{i}.cross_attention_norm.bias", "h.{i}.ln_cross_attn.bias"),
)

GPT2 = Family(
    model_type="gpt2",
    backbone="GPT2Model",
    architectures=_architectures("GPT2"),
    prefix="transformer.",
    settings=(
        same("vocab_size", "vocab_size", default=50257),
        same("d_model", "n_embd", default=768),
        same("num_layers", "n_layer", default=12),
        same("num_heads", "n_head", default=12),
        same("d_ff", "n_inner", default=None),
        same("dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", default=0.1),
        same("max_length", "n_positions", default=1024),
        same("norm_eps", "layer_norm_epsilon", default=1e-5),
        choice(
            "activation",
            "activation_function",
            "gelu_new",
            {
                "gelu_new": "gelu_tanh",
                "gelu_pytorch_tanh": "gelu_tanh",
                "gelu_fast": "gelu_tanh",
                "gelu": "gelu",
                "relu": "relu",
                "silu": "silu",
                "swish": "silu",
            },
        ),
        Setting(
            "memory_dim",
            lambda config: config.get("n_embd", 768) if config.get("add_cross_attention") else None,
            _cross_attention,
        ),
        # Theirs have biases; one without is written with zeros.
        Setting("bias", lambda _: True, lambda *_: {}),
        always("norm_first", True),
        _PADDING,
    ),
    rules=(
        Rule("token_table.weight", "wte.weight"),
        Rule("positions.weight", "wpe.weight"),
        *_LAYER,
        *_CROSS_ATTENTION,
        Rule("norm.weight", "ln_f.weight"),
        Rule("norm.bias", "ln_f.bias"),
    ),
    # reorder_and_upcast_attn is free: it changes the order of float16 arithmetic only.
    required={"scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False},
    heads=_HEADS,
    other_heads=_OTHER_HEADS,
    derived=(r"h\.\d+\.(attn|crossattention)\.(bias|masked_bias)",),
)

OPENAI_GPT = Family(
    model_type="openai-gpt",
    backbone="OpenAIGPTModel",
    architectures=_architectures("OpenAIGPT"),
    prefix="transformer.",
    settings=(
        same("vocab_size", "vocab_size", default=40478),
        same("d_model", "n_embd", default=768),
        same("num_layers", "n_layer", default=12),
        same("num_heads", "n_head", default=12),
        Setting("d_ff", lambda _: None, _four_times),
        same("dropout", "resid_pdrop", "embd_pdrop", "attn_pdrop", default=0.1),
        same("max_length", "n_positions", default=512),
        same("norm_eps", "layer_norm_epsilon", default=1e-5),
        # Their "gelu" is the tanh form, unlike everywhere else.
        choice("activation", "afn", "gelu", {"gelu": "gelu_tanh", "relu": "relu", "silu": "silu", "swish": "silu"}),
        Setting("bias", lambda _: True, lambda *_: {}),
        always("norm_first", False),
        _PADDING,
    ),
    rules=(
        Rule("token_table.weight", "tokens_embed.weight"),
        Rule("positions.weight", "positions_embed.weight"),
        *_LAYER,
    ),
    heads=_HEADS,
    other_heads=_OTHER_HEADS,
    derived=(r"h\.\d+\.attn\.bias", r"position_ids"),
)
