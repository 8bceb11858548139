"""What an adapter learned is in the graph: LoRA as weights like any other, a prefix as keys and values."""

from pathlib import Path

import onnx
import pytest
import torch

from plmlight import GPT, LoRA, PrefixTuning, TextClassification, runtime
from plmlight.export import export_bundle
from tests.runtime.labelled import LABELS, ready, small_classifier


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
