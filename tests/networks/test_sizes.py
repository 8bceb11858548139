"""The sizes of the papers, against the reference implementations on the meta device."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import nn
from transformers import (
    AlbertConfig,
    AlbertModel,
    BartConfig,
    BartModel,
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2Model,
    MarianConfig,
    MarianModel,
    OpenAIGPTConfig,
    OpenAIGPTModel,
    RobertaConfig,
    RobertaModel,
    T5Config,
    T5Model,
    XLMConfig,
    XLMModel,
    XLNetConfig,
    XLNetModel,
)

import plmlight
from plmlight import GPT

CONFIGS = Path(__file__).parents[2] / "configs" / "network"
SIZES = {
    # name: layers, width, heads, positions (Radford et al. 2018 and 2019; Brown et al. 2020, table 2.1)
    "gpt1": (12, 768, 12, 512),
    "gpt2-small": (12, 768, 12, 1024),
    "gpt2-medium": (24, 1024, 16, 1024),
    "gpt2-large": (36, 1280, 20, 1024),
    "gpt2-xl": (48, 1600, 25, 1024),
    "gpt3-small": (12, 768, 12, 2048),
    "gpt3-medium": (24, 1024, 16, 2048),
    "gpt3-large": (24, 1536, 16, 2048),
    "gpt3-xl": (24, 2048, 16, 2048),
    "gpt3-2.7b": (32, 2560, 32, 2048),
    "gpt3-6.7b": (32, 4096, 32, 2048),
    "gpt3-13b": (40, 5120, 40, 2048),
    "gpt3-175b": (96, 12288, 96, 2048),
}

ENCODERS = {
    # name: vocabulary, layers, width, heads (the papers that the configs name)
    "bert-base": (30522, 12, 768, 12),
    "bert-large": (30522, 24, 1024, 16),
    "mbert-base": (119547, 12, 768, 12),
    "bert-mini": (30522, 4, 256, 4),
    "bert-tiny": (30522, 2, 128, 2),
    "roberta-base": (50265, 12, 768, 12),
    "roberta-large": (50265, 24, 1024, 16),
    "xlm-roberta-base": (250002, 12, 768, 12),
    "xlm-roberta-large": (250002, 24, 1024, 16),
    "roberta-tiny": (50265, 2, 128, 2),
    "albert-base": (30000, 12, 768, 12),
    "albert-large": (30000, 24, 1024, 16),
    "albert-xlarge": (30000, 24, 2048, 16),
    "albert-xxlarge": (30000, 12, 4096, 64),
    "albert-tiny": (30000, 4, 256, 4),
    "xlm-xnli15": (95000, 12, 1024, 8),
    "xlm-enfr": (64139, 6, 1024, 8),
    "xlm-en": (30145, 12, 2048, 16),
    "xlm-100": (200000, 16, 1280, 16),
    "xlm-tiny": (64139, 2, 128, 2),
    "xlnet-base-cased": (32000, 12, 768, 12),
    "xlnet-large-cased": (32000, 24, 1024, 16),
    "xlnet-tiny": (32000, 2, 128, 2),
}
LANGUAGES = {"xlm-xnli15": 15, "xlm-enfr": 2, "xlm-tiny": 2}
ENCODER_DECODERS = {
    # name: vocabulary, layers, width, heads, inner width, width of a head (the papers and lists that the configs name)
    "t5-small": (32128, 6, 512, 8, 2048, 64),
    "t5-base": (32128, 12, 768, 12, 3072, 64),
    "t5-large": (32128, 24, 1024, 16, 4096, 64),
    "t5-3b": (32128, 24, 1024, 32, 16384, 128),
    "t5-11b": (32128, 24, 1024, 128, 65536, 128),
    "t5-tiny": (32128, 4, 256, 4, 1024, 32),
    "t5-v1.1-small": (32128, 8, 512, 6, 1024, 64),
    "t5-v1.1-base": (32128, 12, 768, 12, 2048, 64),
    "t5-v1.1-large": (32128, 24, 1024, 16, 2816, 64),
    "t5-v1.1-xl": (32128, 24, 2048, 32, 5120, 64),
    "t5-v1.1-xxl": (32128, 24, 4096, 64, 10240, 64),
    "transformer-base": (37000, 6, 512, 8, 2048, 64),
    "transformer-big": (37000, 6, 1024, 16, 4096, 64),
    "transformer-tiny": (10000, 3, 256, 4, 1024, 64),
    "bart-base": (50265, 6, 768, 12, 3072, 64),
    "bart-large": (50265, 12, 1024, 16, 4096, 64),
    "marian-base": (58101, 6, 512, 8, 2048, 64),
}

RECURRENT = {
    # name: vocabulary, layers, width (Luong et al. 2015, section 4.1)
    "lstm-seq2seq": (50000, 4, 1000),
    "lstm-seq2seq-tiny": (10000, 2, 256),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_a_recurrent_networks_parameters_are_as_many_as_those_of_torchs_layers(name: str) -> None:
    content = (CONFIGS / f"{name}.yaml").read_text()
    vocab_size, layers, width = RECURRENT[name]
    with torch.device("meta"):
        encoder = nn.LSTM(width, width // 2, layers, bidirectional=True)
        decoder = nn.LSTM(2 * width, width, layers)
        others = nn.Linear(width, 2 * layers * width), nn.Embedding(vocab_size, width)
        ours = plmlight.LSTMSeq2Seq(vocab_size=vocab_size, **yaml.safe_load(content)["init_args"])
    scoring, combining = width * width, 2 * width * width
    count = sum(number(module) for module in (encoder, decoder, *others)) + scoring + combining
    assert number(ours) == count
    assert f"{count:,} parameters" in " ".join(content.replace("# ", "").split())
    assert (ours.num_layers, ours.d_model, ours.decoder.input_feeding) == (layers, width, True)


CLASSIC: dict[str, tuple[int, list[nn.Module]]] = {}
"""By name, vectors of how many numbers a word has, and torch's layers above them."""
with torch.device("meta"):
    CLASSIC |= {f"glove-{width}d": (2 * width + 2, []) for width in (50, 100, 200, 300)}
    CLASSIC |= {"word2vec-cbow": (600, []), "word2vec-skip-gram": (600, []), "bag-of-vectors": (10, [])}
    CLASSIC |= {"ngram-3": (0, []), "ngram-5": (0, [])}
    CLASSIC |= {"nnlm": (30, [nn.Linear(4 * 30, 100)]), "nnlm-tiny": (128, [nn.Linear(4 * 128, 256)])}
    for size, width in (("tiny", 256), ("small", 200), ("medium", 650), ("large", 1500)):
        CLASSIC[f"lstm-{size}"] = (width, [nn.LSTM(width, width, 2)])
    CLASSIC["awd-lstm"] = (400, [nn.LSTM(400, 1150), nn.LSTM(1150, 1150), nn.LSTM(1150, 400)])
    CLASSIC["bilstm"] = (300, [nn.LSTM(300, 2048, bidirectional=True)])
    CLASSIC["bilstm-tiny"] = (100, [nn.LSTM(100, 128, bidirectional=True)])


@pytest.mark.parametrize("name", CLASSIC)
def test_a_classic_networks_parameters_are_its_tables_and_torchs_layers(name: str) -> None:
    numbers, layers = CLASSIC[name]
    content = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    with torch.device("meta"):
        ours = getattr(plmlight, content["class_path"])(vocab_size=1000, **content["init_args"])
    assert number(ours) == 1000 * numbers + sum(map(number, layers))


PAIRS = {
    # name: layers, width, heads, positions of the decoder
    "bert2gpt-base": (12, 768, 12, 1024),
    "bert2gpt-tiny": (2, 128, 2, 512),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_pairs_parameters_are_as_many_as_the_references(name: str) -> None:
    layers, width, heads, positions = PAIRS[name]
    content = (CONFIGS / f"{name}.yaml").read_text()
    sizes = {"num_hidden_layers": layers, "hidden_size": width, "num_attention_heads": heads}
    writing = {"n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": positions}
    config = yaml.safe_load(content)["init_args"]
    with torch.device("meta"):
        encoder = BertModel(BertConfig(intermediate_size=4 * width, **sizes), add_pooling_layer=False)
        decoder = GPT2Model(GPT2Config(add_cross_attention=True, **writing))
        sides = {k: getattr(plmlight, side["class_path"])(**side["init_args"]) for k, side in config.items()}
        ours = plmlight.EncoderDecoderPair(**sides)
    assert number(ours) == number(encoder) + number(decoder)
    assert f"{number(ours):,} parameters" in " ".join(content.replace("# ", "").split())
    assert (ours.vocab_size, ours.target_vocab_size) == (30522, 50257)
    assert (ours.max_length, ours.target_max_length) == (512, positions)


def encoder_decoder(name: str) -> int:
    """How many parameters the reference has."""
    vocab_size, layers, width, heads, inner, head_width = ENCODER_DECODERS[name]
    if name.startswith("t5"):
        kind = "gated-gelu" if "v1.1" in name else "relu"
        sizes = {"num_layers": layers, "d_model": width, "num_heads": heads, "d_ff": inner, "d_kv": head_width}
        return number(T5Model(T5Config(vocab_size=vocab_size, feed_forward_proj=kind, **sizes)))
    if name.startswith("transformer"):
        encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(width, heads, inner), layers, enable_nested_tensor=False
        )
        decoder = nn.TransformerDecoder(nn.TransformerDecoderLayer(width, heads, inner), layers)
        return number(encoder) + number(decoder) + vocab_size * width
    published: dict[str, Any] = {
        "vocab_size": vocab_size,
        "d_model": width,
        **{f"{side}_layers": layers for side in ("encoder", "decoder")},
        **{f"{side}_attention_heads": heads for side in ("encoder", "decoder")},
        **{f"{side}_ffn_dim": inner for side in ("encoder", "decoder")},
    }
    if name.startswith("bart"):
        return number(BartModel(BartConfig(**published))) - 2 * 2 * width  # two rows of each table stand for no place
    sines = 2 * 512 * width
    return number(MarianModel(MarianConfig(**published, pad_token_id=0, max_position_embeddings=512))) - sines


def number(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", ENCODER_DECODERS)
def test_an_encoder_decoders_parameters_are_as_many_as_the_references(name: str) -> None:
    content = (CONFIGS / f"{name}.yaml").read_text()
    config = yaml.safe_load(content)
    vocab_size, layers, width, heads, _, head_width = ENCODER_DECODERS[name]
    with torch.device("meta"):
        theirs = encoder_decoder(name)
        ours = getattr(plmlight, config["class_path"])(vocab_size=vocab_size, **config["init_args"])
    assert number(ours) == theirs
    assert f"{theirs:,} parameters" in " ".join(content.replace("# ", "").split())
    assert f"vocabulary of {vocab_size:,}" in " ".join(content.replace("# ", "").split())
    assert (ours.num_layers, ours.d_model, ours.num_heads) == (layers, width, heads)
    assert ours.max_length == (1024 if name.startswith("bart") else 512)
    assert {layer.attention.head_dim for layer in (*ours.encoder.layers, *ours.decoder.layers)} == {head_width}


def reference(name: str) -> Any:
    """The backbone of transformers, whose pooler is not counted."""
    vocab_size, layers, width, heads = ENCODERS[name]
    if name.startswith("xlm-") and "roberta" not in name:
        sizes = {"emb_dim": width, "n_layers": layers, "n_heads": heads, "n_langs": LANGUAGES.get(name, 1)}
        return XLMModel(XLMConfig(vocab_size=vocab_size, **sizes))
    if name.startswith("xlnet"):
        sizes = {"d_model": width, "n_layer": layers, "n_head": heads, "d_inner": 4 * width}
        return XLNetModel(XLNetConfig(vocab_size=vocab_size, **sizes))
    sizes = {
        "vocab_size": vocab_size,
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * width,
    }
    if "roberta" in name:
        published = RobertaConfig(**sizes, max_position_embeddings=514, type_vocab_size=1)
        return RobertaModel(published, add_pooling_layer=False)
    if name.startswith("albert"):
        embedding = 64 if name == "albert-tiny" else 128
        return AlbertModel(AlbertConfig(**sizes, embedding_size=embedding), add_pooling_layer=False)
    return BertModel(BertConfig(**sizes), add_pooling_layer=False)


@pytest.mark.parametrize("name", ENCODERS)
def test_an_encoders_parameters_are_as_many_as_the_references(name: str) -> None:
    content = (CONFIGS / f"{name}.yaml").read_text()
    config = yaml.safe_load(content)
    vocab_size, layers, width, heads = ENCODERS[name]
    with torch.device("meta"):
        theirs = reference(name)
        ours = getattr(plmlight, config["class_path"])(vocab_size=vocab_size, **config["init_args"])
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters())
    assert f"{count:,} parameters" in " ".join(content.replace("# ", "").split())
    assert f"vocabulary of {vocab_size:,}" in " ".join(content.replace("# ", "").split())
    assert (ours.num_layers, ours.d_model, ours.num_heads, ours.max_length) == (layers, width, heads, 512)


@pytest.mark.parametrize("name", SIZES)
def test_the_parameters_are_as_many_as_the_references(name: str) -> None:
    layers, width, heads, positions = SIZES[name]
    sizes: dict[str, Any] = {"n_layer": layers, "n_embd": width, "n_head": heads, "n_positions": positions}
    content = (CONFIGS / f"{name}.yaml").read_text()
    config = yaml.safe_load(content)
    assert config["class_path"] == "GPT"
    with torch.device("meta"):
        theirs = OpenAIGPTModel(OpenAIGPTConfig(**sizes)) if name == "gpt1" else GPT2Model(GPT2Config(**sizes))
        ours = GPT(vocab_size=40478 if name == "gpt1" else 50257, **config["init_args"])
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters())
    assert f"{count:,} parameters" in " ".join(content.replace("# ", "").split())
    assert (ours.num_layers, ours.d_model, ours.num_heads, ours.max_length) == SIZES[name]
    assert ours.windows == ((None, 256) if name.startswith("gpt3") else (None,))


def test_every_config_is_compared() -> None:
    compared = {*SIZES, *ENCODERS, *ENCODER_DECODERS, *RECURRENT, *CLASSIC, *PAIRS}
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == compared
