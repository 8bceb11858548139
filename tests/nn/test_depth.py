import pytest
from torch import nn

from plmlight import (
    BERT,
    GPT,
    LSTMLM,
    T5,
    BagOfVectors,
    CausalLM,
    EncoderDecoderPair,
    MaskedLM,
    SentenceEmbedding,
    Seq2Seq,
    XLNet,
)
from plmlight.nn.depth import distances_from_top


def found(task: nn.Module, *names: str) -> list[int]:
    distances = distances_from_top(task)
    assert distances.keys() == {name for name, _ in task.named_parameters()}
    return [distances[f"network.{name}" if not name.startswith("head.") else name] for name in names]


def test_an_encoder() -> None:
    task = MaskedLM(BERT(31, d_model=12, num_layers=3, num_heads=3))
    names = ["head.transform.weight", "stack.layers.2.attention.qkv.weight", "stack.layers.0.feed_forward.up.bias"]
    assert found(task, *names, "embeddings.tokens.weight", "embeddings.norm.weight") == [0, 1, 3, 4, 4]


def test_a_decoder_whose_head_is_its_table() -> None:
    task = CausalLM(GPT(31, d_model=12, num_layers=2, num_heads=3))
    names = ["norm.weight", "stack.layers.1.attention_norm.bias", "stack.layers.0.attention.out.weight"]
    assert found(task, *names, "token_table.weight", "positions.weight") == [1, 1, 2, 3, 3]


def test_both_sides_count_for_themselves() -> None:
    task = Seq2Seq(T5(31, d_model=12, num_layers=3, num_decoder_layers=2, num_heads=3), tie_head=False)
    names = ["head.weight", "encoder_norm.weight", "decoder_norm.weight", "encoder.layers.0.attention.qkv.weight"]
    more = ["decoder.layers.0.attention.qkv.weight", "token_table.weight"]
    assert found(task, *names, *more) == [0, 1, 1, 3, 2, 4]


def test_two_networks_as_one_and_layers_of_other_kinds() -> None:
    small = {"d_model": 12, "num_layers": 2, "num_heads": 3}
    pair = EncoderDecoderPair(BERT(31, **small), GPT(31, **small, memory_dim=12))  # type: ignore[arg-type]
    names = [
        "encoder.embeddings.tokens.weight",
        "decoder.token_table.weight",
        "decoder.stack.layers.1.attention.out.bias",
    ]
    assert found(Seq2Seq(pair), *names) == [3, 3, 1]
    xlnet = MaskedLM(XLNet(31, **small))  # type: ignore[arg-type]
    assert found(xlnet, "layers.1.attention.query.weight", "token_table.weight") == [1, 3]
    lstm = CausalLM(LSTMLM(31, d_model=12, num_layers=2))
    assert max(distances_from_top(lstm).values()) == 3


def test_what_has_no_layers() -> None:
    with pytest.raises(ValueError, match="BagOfVectors has no stack of layers to count"):
        distances_from_top(SentenceEmbedding(BagOfVectors(31, d_model=12)))
    with pytest.raises(ValueError, match="Linear has no network"):
        distances_from_top(nn.Linear(2, 2))
