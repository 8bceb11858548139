from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from plmlight.export import Verdict
from plmlight.export.causal_lm import causal_lm_graphs
from plmlight.export.drivers import GraphDecoder, InPlaceDriver, driver, open_session
from plmlight.export.graph import WeightFile, trace
from plmlight.export.in_place import InPlaceAttention, attends_in_place
from plmlight.nn import SelfAttention
from plmlight.tasks import CausalLM

from .conftest import small_task

Bundle = tuple[Path, Verdict, CausalLM]


def exported(task: CausalLM, folder: Path, name: str) -> GraphDecoder:
    spec = causal_lm_graphs(task, torch.float32)[name]
    with WeightFile(folder / "weights") as weights:
        weights.save(trace(spec, 23), spec.file)
    return driver(open_session(folder / spec.file, 1), spec, task.network.max_length)


def opened(bundle: Bundle, name: str = "in_place") -> GraphDecoder:
    folder, _, task = bundle
    spec = causal_lm_graphs(task, torch.float32)[name]
    return driver(open_session(folder / spec.file, 1), spec, task.network.max_length)


def expected(task: CausalLM, tokens: list[int]) -> np.ndarray:
    with torch.no_grad():
        logits: np.ndarray = task(torch.tensor([tokens]))["logits"][0, -1].numpy()
    return logits


@pytest.mark.parametrize("name", ["in_place", "portable"])
@pytest.mark.parametrize(
    "arguments",
    [
        {"norm_first": False, "positions": "rotary", "windows": [None, 4]},
        {"positions": "sinusoidal", "bias": False, "num_heads": 1},
    ],
    ids=["post-norm, rotary, banded", "sinusoidal, one head, no bias"],
)
def test_every_kind_of_decoder_reads_a_ragged_batch(arguments: dict[str, object], name: str, tmp_path: Path) -> None:
    task = small_task(**arguments)  # type: ignore[arg-type]
    model = exported(task, tmp_path, name)
    rows = [[3, 1, 4, 1, 5, 9, 2, 6], [2, 7], [1, 8, 2, 8, 1]]
    found = [model.start(rows)]
    for step in ([11, 12, 13], [14, 15, 16]):
        found.append(model.step(step))
        rows = [[*row, token] for row, token in zip(rows, step, strict=True)]
    for index, row in enumerate(rows):
        for back, logits in enumerate(reversed(found)):
            np.testing.assert_allclose(logits[index], expected(task, row[: len(row) - back]), atol=1e-5)


@pytest.mark.parametrize("name", ["in_place", "portable"])
def test_selected_rows_go_on_as_they_would_alone(bundle: Bundle, name: str) -> None:
    model = opened(bundle, name)
    model.start([[1, 2, 3, 4], [5], [6, 7]])
    model.select([2, 0, 0])
    found = model.step([8, 9, 10])
    for logits, row in zip(found, ([6, 7, 8], [1, 2, 3, 4, 9], [1, 2, 3, 4, 10]), strict=True):
        np.testing.assert_allclose(logits, expected(bundle[2], row), atol=1e-5)


def test_row_whose_mask_is_zero_does_not_advance(bundle: Bundle) -> None:
    model = opened(bundle)
    assert isinstance(model, InPlaceDriver)
    model.start([[1, 2, 3], [4, 5]])
    model._run(np.array([[6], [99]]), np.array([[1], [0]]))
    found = model.step([7, 8])
    np.testing.assert_allclose(found[1], expected(bundle[2], [4, 5, 8]), atol=1e-5)


def test_buffer_may_be_shorter_than_max_length_and_grow(bundle: Bundle) -> None:
    model = opened(bundle)
    assert isinstance(model, InPlaceDriver)
    tokens = list(range(1, 41))
    model.start([tokens[:5]])
    assert model.capacity < 40 < bundle[2].network.max_length
    for token in tokens[5:]:
        found = model.step([token])
    np.testing.assert_allclose(found[0], expected(bundle[2], tokens), atol=1e-5)


def test_attention_is_one_operator_a_layer(bundle: Bundle) -> None:
    graph = onnx.load(bundle[0] / "model_in_place.onnx", load_external_data=False).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("GroupQueryAttention") == 2
    assert "Concat" not in kinds


def test_copy_shares_the_weights_and_leaves_the_network_alone() -> None:
    task = small_task()
    module = causal_lm_graphs(task, torch.float32)["in_place"].module
    assert {p.data_ptr() for p in module.parameters()} == {p.data_ptr() for p in task.parameters()}
    assert not any(isinstance(part, InPlaceAttention) for part in task.modules())
    assert sum(isinstance(part, InPlaceAttention) for part in module.modules()) == 2


def test_network_that_remembers_something_else_has_no_such_graph() -> None:
    network = small_task().network
    assert attends_in_place(network)
    assert not attends_in_place(SelfAttention(8, 2))
    network.cache_names = lambda: ["0.hidden"]  # type: ignore[method-assign]
    assert not attends_in_place(network)
