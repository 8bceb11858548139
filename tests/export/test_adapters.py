"""What an adapter learned is in the graph: LoRA as weights like any other, a prefix as keys and values."""

from pathlib import Path

import onnx
import pytest
import torch

from plmlight import BERT, GPT, CausalLM, LoRA, PrefixTuning, PromptTuning, TextClassification, runtime
from plmlight.adapters import Adapter, adapter_weights
from plmlight.decoding import DecodingOptions, TextGenerator
from plmlight.export import export_bundle
from plmlight.tasks.generation import TorchLanguageModel
from plmlight.text import train_tokenizer
from tests.runtime.labelled import LABELS, ready, small_classifier
from tests.runtime.sequences import small_sequence


def sizes(file: Path) -> list[tuple[int, ...]]:
    graph = onnx.load(file, load_external_data=False).graph
    assert not [tensor.name for tensor in graph.initializer if "low_rank" in tensor.name or "lora" in tensor.name]
    return sorted(tuple(tensor.dims) for tensor in graph.initializer)


def test_lora_is_merged_into_the_graph_of_a_classifier(tmp_path: Path) -> None:
    task = small_classifier(adapter=LoRA(rank=5, targets=["*"]))
    assert [name for name in task.state_dict() if "low_rank" in name]
    verdict = export_bundle(task, None, tmp_path / "adapted")
    assert verdict.passed, verdict.summary()
    plain = small_classifier()
    assert export_bundle(plain, None, tmp_path / "plain").passed
    assert sizes(tmp_path / "adapted" / "model.onnx") == sizes(tmp_path / "plain" / "model.onnx")
    model = runtime.load(tmp_path / "adapted")
    assert isinstance(model, runtime.AnalysisModel)
    (answer,) = model.answers([{"text": "paris is the capital"}])
    assert task.tokenizer is not None
    with torch.no_grad():
        wanted = task(torch.tensor([task.tokenizer.encode("paris is the capital").ids]))["logits"][0].softmax(-1)
    assert answer["scores"] == pytest.approx(dict(zip(LABELS, wanted.tolist(), strict=True)), abs=1e-5)
    assert isinstance(task, TextClassification)
    assert task.adapter is not None, "the task itself keeps its adapter"
    assert [name for name in task.state_dict() if "low_rank" in name]


def test_a_prefix_is_in_the_graph_of_a_classifier(tmp_path: Path) -> None:
    network = GPT(101, d_model=24, num_layers=1, num_heads=3, max_length=37)
    task = ready(TextClassification(network, LABELS, adapter=PrefixTuning(5)))
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()


def test_a_prompt_is_in_the_graph_of_a_classifier(tmp_path: Path) -> None:
    network = BERT(101, d_model=24, num_layers=1, num_heads=3, max_length=37)
    task = ready(TextClassification(network, LABELS, adapter=PromptTuning(5)))
    verdict = export_bundle(task, None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    model = runtime.load(tmp_path / "bundle")
    assert model.bundle.manifest["max_length"] == 32, "the prompt takes five of the network's positions"
    texts = ["paris is the capital", "the " * 50]
    assert task.tokenizer is not None
    for text, answer in zip(texts, model.answers([{"text": text} for text in texts]), strict=True):
        ids = task.tokenizer.encode(text).ids
        ids = ids if len(ids) <= 32 else [*ids[:31], ids[-1]]
        with torch.no_grad():
            wanted = task(torch.tensor([ids]))["logits"][0].softmax(-1)
        assert answer["scores"] == pytest.approx(dict(zip(LABELS, wanted.tolist(), strict=True)), abs=1e-5)


@pytest.mark.parametrize("adapter", [PrefixTuning(5), PromptTuning(5)], ids=["prefix", "prompt"])
def test_a_decoder_writes_the_same_from_a_bundle(adapter: Adapter, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = GPT(60, d_model=24, num_layers=2, num_heads=3, max_length=40)
    task = CausalLM(network, adapter=adapter)
    with torch.no_grad():
        for parameter in task.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    task.tokenizer = train_tokenizer(["the cat sat on the mat"] * 9, "bpe", 60)
    verdict = export_bundle(task.eval(), None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    model = runtime.load(tmp_path / "bundle")
    texts = ["the cat", "on the mat the cat sat", "mat"]
    options = DecodingOptions(max_new_tokens=16, temperature=0, eos_token_id=())
    wanted = TextGenerator(TorchLanguageModel(task), task.tokenizer).generate(texts, options)
    found = model.generate(texts, options)
    assert [row[0].token_ids for row in found] == [row[0].token_ids for row in wanted]
    assert len({tuple(row[0].token_ids) for row in found}) == 3, "the answers differ"
    with torch.no_grad():
        for learned in adapter_weights(network).values():
            learned.zero_()
    without = TextGenerator(TorchLanguageModel(task), task.tokenizer).generate(texts, options)
    assert [row[0].token_ids for row in without] != [row[0].token_ids for row in wanted], "what was learned is seen"


def test_a_prompt_is_in_the_graphs_of_an_encoder_decoder(tmp_path: Path) -> None:
    """Translations of the bundle equal torch's, as the verdict says."""
    verdict = export_bundle(small_sequence(adapter=PromptTuning(4)), None, tmp_path / "bundle")
    assert verdict.passed, verdict.summary()
    model = runtime.load(tmp_path / "bundle")
    assert model.bundle.manifest["max_length"] == 57, "the prompt takes four of the network's positions"
