from typing import Any

import pytest

from plmlight.interop import GPT2, OPENAI_GPT, Family, Rule

DEFAULTS: dict[str, Any] = {"dropout": 0.1, "bias": True, "windows": (None,), "positions": "learned", "d_ff": None}


def arguments(**changed: Any) -> dict[str, Any]:
    return GPT2.arguments({"model_type": "gpt2"}, {}) | changed


def test_an_empty_config_means_the_references_defaults() -> None:
    found = GPT2.arguments({"eos_token_id": 50256}, {})
    assert found == {
        "vocab_size": 50257,
        "d_model": 768,
        "num_layers": 12,
        "num_heads": 12,
        "d_ff": None,
        "dropout": 0.1,
        "max_length": 1024,
        "norm_eps": 1e-5,
        "activation": "gelu_tanh",
        "memory_dim": None,
        "bias": True,
        "norm_first": True,
        "pad_token_id": 50256,
    }


@pytest.mark.parametrize("family", [GPT2, OPENAI_GPT])
def test_what_is_written_reads_back(family: Family) -> None:
    given = family.arguments({}, {}) | {"activation": "silu", "dropout": 0.25, "pad_token_id": 7, "norm_eps": 1e-6}
    assert family.arguments(family.configuration(given, DEFAULTS), {}) == given


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True: only False is supported"),
        ({"scale_attn_weights": False}, "scale_attn_weights is False: only True is supported"),
        ({"quantization_config": {"bits": 4}}, "quantization_config is set"),
        ({"auto_map": {"AutoModel": "x.Y"}}, "auto_map is set"),
        (
            {"activation_function": "gelu_newer"},
            "'gelu_newer' is not known; did you mean 'gelu_new'",
        ),
        ({"attn_pdrop": 0.0}, "resid_pdrop 0.1, embd_pdrop 0.1, attn_pdrop 0.0 differ"),
        ({"n_embd": "wide"}, "n_embd is 'wide', expected a whole number"),
        ({"n_layer": None}, "n_layer is None, expected a whole number"),
        ({"n_head": True}, "n_head is True, expected a whole number"),
        ({"n_inner": 12.5}, "n_inner is 12.5, expected a whole number"),
        ({"layer_norm_epsilon": "1e-5"}, "layer_norm_epsilon is '1e-5', expected a number"),
    ],
)
def test_what_cannot_be_honoured_is_named(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GPT2.arguments(config, {})


def test_a_given_argument_replaces_what_the_config_says() -> None:
    assert GPT2.arguments({"attn_pdrop": 0.0}, {"dropout": 0.3})["dropout"] == 0.3


def test_upcasting_changes_nothing_in_float32() -> None:
    assert GPT2.arguments({"reorder_and_upcast_attn": True}, {}) == GPT2.arguments({}, {})


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"windows": (None, 256)}, r"windows \(None, 256\) does not exist there"),
        ({"positions": "rotary"}, "positions 'rotary' does not exist there"),
        ({"memory_dim": 5}, "memory_dim is 5, and always d_model = 768 there"),
        ({"norm_first": False}, "norm_first is False, and always True there"),
        (
            {"norm_first": False, "positions": "rotary"},
            "norm_first is False, and always True there; positions 'rotary'",
        ),
    ],
)
def test_every_reason_why_it_cannot_be_written_is_given(changed: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GPT2.configuration(arguments(**changed), DEFAULTS)


def test_how_a_network_trains_is_not_the_familys_business() -> None:
    plain = GPT2.configuration(arguments(), DEFAULTS)
    same_thing = arguments(activation_checkpointing=True, windows=(None, None))
    assert GPT2.configuration(same_thing, DEFAULTS | {"activation_checkpointing": False}) == plain


def test_gpt_1s_feed_forward_is_four_times_as_wide() -> None:
    given = OPENAI_GPT.arguments({"n_embd": 8}, {})
    OPENAI_GPT.configuration(given | {"d_ff": 32}, DEFAULTS)
    with pytest.raises(ValueError, match="d_ff is 50, and always 4 d_model = 32 there"):
        OPENAI_GPT.configuration(given | {"d_ff": 50}, DEFAULTS)


def test_a_rule_carries_the_layers_number() -> None:
    rule = Rule("layers.{i}.qkv.weight", ("h.{i}.q.weight", "h.{i}.k.weight", "h.{i}.v.weight"))
    assert rule.names("layers.12.qkv.weight") == ("h.12.q.weight", "h.12.k.weight", "h.12.v.weight")
    assert rule.names("layers.12.qkv.bias") == rule.names("layers.x.qkv.weight") == ()


def test_a_weight_without_rule_is_named() -> None:
    with pytest.raises(ValueError, match=r"gpt2 has no place for the weight adapter\.weight"):
        GPT2.source("adapter.weight")


@pytest.mark.parametrize("family", [GPT2, OPENAI_GPT])
def test_no_two_rules_share_a_weight(family: Family) -> None:
    theirs = [rule.theirs for rule in family.rules]
    assert len(set(theirs)) == len(theirs)
    assert len({rule.ours for rule in family.rules}) == len(theirs)
